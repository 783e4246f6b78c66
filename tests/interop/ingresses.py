"""Real ingresses before two replicas of Evergate: as load balancers, or asking about each request as docs/forward-auth.md has them."""

import os
import pathlib
import re
import shutil
import subprocess

from world import REPOSITORY, Skip

PACKAGES = REPOSITORY / "tests" / "peers" / "python"


def program(name):
    """A program of Debian's, or of the Python packages that tests/run installs."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:{PACKAGES / 'bin'}")
    if not found:
        raise Skip(f"{name}, which tests/run installs")
    return found


def block_of_guide(language, start):
    """The block of docs/forward-auth.md in this language that begins so."""
    blocks = (REPOSITORY / "docs" / "forward-auth.md").read_text().split("\n```")[1::2]
    found = [block.split("\n", 1)[1] for block in blocks if block.startswith(f"{language}\n{start}")]
    assert len(found) == 1, f"{len(found)} blocks of {language} begin with {start}"
    return found[0]


def replaced(text, *pairs):
    """The text with each of the `(old, new)` in it, which must be there."""
    for old, new in pairs:
        assert old in text, f"the guide does not say {old}"
        text = text.replace(old, new)
    return text


class Ingress:
    """Terminates TLS for the host of a `Front`."""

    # Whether it forwards requests itself and asks Evergate about each.
    asks = False

    def __init__(self, front):
        self.front, self.directory = front, front.world.directory / "ingress"
        self.directory.mkdir()
        self.certificate, self.key = self.directory / "tls.pem", self.directory / "tls.key"
        subprocess.run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
            f"/CN={front.host}", "-addext", f"subjectAltName=DNS:{front.host}", "-keyout", self.key, "-out", self.certificate,
        ], check=True, capture_output=True, timeout=30)
        self.listens = f"127.0.0.1:{front.port}"
        self.first, self.second = (f"127.0.0.1:{replica.address[1]}" for replica in front.replicas)
        self.app = f"127.0.0.1:{front.app.port}"
        name, *arguments = self.command()
        env = {**os.environ, "PYTHONPATH": str(PACKAGES), "HOME": str(self.directory), "XDG_DATA_HOME": str(self.directory)}
        front.world.spawn("ingress", [program(name), *arguments], env, self.directory)

    def command(self):
        """Writes its configuration; returns its command line."""
        raise NotImplementedError

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path


class Nginx(Ingress):
    """Asks, as the guide has it."""

    asks = True

    def command(self):
        server = replaced(
            block_of_guide("nginx", "upstream"),
            ("server 127.0.0.1:3000;", f"server {self.first} max_fails=0; server {self.second} max_fails=0;"),
            ("127.0.0.1:8080", self.app), ("listen 443 ssl;", f"listen {self.listens} ssl;"),
            ("/etc/nginx/app.example.com.pem", str(self.certificate)), ("/etc/nginx/app.example.com.key", str(self.key)),
            ("app.example.com", self.front.host),
        )
        temporary = "".join(f"{what}_temp_path {self.directory}/{what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = self.write("nginx.conf", (
            f"daemon off;\nmaster_process off;\npid {self.directory}/pid;\nerror_log stderr warn;\nevents {{}}\n"
            f"http {{\naccess_log off;\nclient_max_body_size 100m;\n{temporary}{server}\n}}\n"
        ))
        return "nginx", "-e", "stderr", "-p", self.directory, "-c", config


class Caddy(Ingress):
    """Asks, as the guide has it, and asks the other replica where one does not answer."""

    asks = True

    def command(self):
        both, again = f"{self.first} {self.second}", "lb_try_duration 5s"
        site = replaced(
            block_of_guide("caddyfile", "app"),
            ("forward_auth 127.0.0.1:3000 {", f"forward_auth {both} {{\n            {again}"),
            ("reverse_proxy @evergate 127.0.0.1:3000", f"reverse_proxy @evergate {both} {{\n            {again}\n        }}"),
            ("127.0.0.1:8080", self.app), ("app.example.com {", f"{self.front.host}:{self.front.port} {{\n    tls {self.certificate} {self.key}"),
        )
        options = "{\n    admin off\n    default_bind 127.0.0.1\n    auto_https disable_redirects\n    log {\n        level WARN\n    }\n}\n"
        return "caddy", "run", "--adapter", "caddyfile", "--config", self.write("Caddyfile", options + site)


class Traefik(Ingress):
    """Balances the load."""

    def command(self):
        servers = ", ".join(f'{{url: "http://{address}"}}' for address in (self.first, self.second))
        dynamic = self.write("dynamic.yaml", f"""
http:
  routers:
    app: {{rule: "Host(`{self.front.host}`)", service: evergate, middlewares: [again], tls: {{}}}}
  middlewares:
    again: {{retry: {{attempts: 3, initialInterval: 100ms}}}}
  services:
    evergate:
      loadBalancer:
        servers: [{servers}]
        healthCheck: {{path: /oauth2/readyz, hostname: {self.front.host}, interval: 200ms, timeout: 2s}}
tls:
  certificates: [{{certFile: {self.certificate}, keyFile: {self.key}}}]
""")
        config = self.write("traefik.yaml", (
            f'entryPoints:\n  web:\n    address: "{self.listens}"\nproviders:\n  file:\n    filename: {dynamic}\nlog:\n  level: WARN\n'
        ))
        return "traefik", f"--configFile={config}"


class HaProxy(Ingress):
    """Balances the load."""

    def command(self):
        both = self.write("tls.both.pem", self.certificate.read_text() + self.key.read_text())
        return "haproxy", "-db", "-q", "-f", self.write("haproxy.cfg", f"""
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response

frontend https
    bind {self.listens} ssl crt {both}
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    default_backend evergate

backend evergate
    option httpchk
    http-check send meth GET uri /oauth2/readyz ver HTTP/1.1 hdr Host {self.front.host}
    default-server check inter 200ms fall 1 rise 1
    server first {self.first}
    server second {self.second}
""")


INGRESSES = {"nginx": Nginx, "caddy": Caddy, "traefik": Traefik, "haproxy": HaProxy}
