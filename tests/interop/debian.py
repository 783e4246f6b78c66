#!/usr/bin/env python3
"""The Debian package of config/debian: built, examined by lintian and systemd, installed, run behind systemd's own socket, and removed.

All of it happens on an overlay of this machine, of which nothing remains. Needs root, and Debian packages, which it installs.
"""

import os
import pathlib
import re
import shutil
import subprocess
import urllib.error
import urllib.request

from booted import Booted
from packages import debian_packages
from world import REPOSITORY, Skip, binary, cases_of, eventually, run

DEBIAN = REPOSITORY / "config/debian"
CONFFILE = "/etc/evergate/evergate.env"
SETTINGS = """CODER_ACCESS_URL=http://localhost
CODER_UPSTREAM_URL=http://127.0.0.1:9
CODER_OIDC_ISSUER_URL=http://127.0.0.1:9
CODER_OIDC_CLIENT_ID=app
"""


class Machine:
    """An overlay of this machine in a mount namespace of its own."""

    def __init__(self, world):
        self.root = world.directory / "root"
        self.root.mkdir()
        self.keeper = world.spawn("namespace", ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"])
        own = pathlib.Path("/proc/self/ns/mnt")
        eventually("it has a namespace", lambda: os.readlink(f"/proc/{self.keeper.child.pid}/ns/mnt") != os.readlink(own))
        # The layers are a file system of their own, because they must not lie within each other.
        mounts = f"""
            mount -t tmpfs tmpfs {self.root}
            mkdir {self.root}/upper {self.root}/work {self.root}/all
            mount -t overlay overlay -o lowerdir=/,upperdir={self.root}/upper,workdir={self.root}/work {self.root}/all
            mount -t proc proc {self.root}/all/proc
            mount --rbind /dev {self.root}/all/dev
            mount -t tmpfs tmpfs {self.root}/all/run
        """
        done = subprocess.run([*self.inside(), "sh", "-ec", mounts], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Skip(f"no overlay can be mounted: {done.stderr.strip()}")

    def inside(self):
        return ["nsenter", "--target", str(self.keeper.child.pid), "--mount"]

    def argv(self, *command):
        return [*self.inside(), "chroot", f"{self.root}/all", *map(str, command)]

    def sh(self, script, check=True):
        """What a script of the shell prints there."""
        done = subprocess.run(self.argv("sh", "-ec", script), capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, (done.stdout + done.stderr)[-1500:]
        return done.stdout.strip()


def start(whole):
    if os.getuid() != 0:
        raise Skip("only root can mount")
    debian_packages({
        "lintian": "lintian", "strip": "binutils", "dpkg-shlibdeps": "dpkg-dev", "systemd-socket-activate": "systemd", "strace": "strace",
    })
    stripped = whole.directory / "evergate"
    subprocess.run(["strip", "-o", stripped, binary()], check=True, timeout=120)
    return stripped, build(stripped, whole.directory / "package")


def build(stripped, folder):
    done = subprocess.run([DEBIAN / "build", stripped, folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip())


def installed(machine, package):
    machine.sh(f"dpkg --install {package}")
    return machine


def the_same_binary_makes_the_same_package(world):
    stripped, package = world.shared
    # Other times, another folder, another umask.
    copy = world.directory / "evergate"
    shutil.copyfile(stripped, copy)
    before = os.umask(0o077)
    try:
        again = build(copy, world.directory / "again")
    finally:
        os.umask(before)
    assert package.read_bytes() == again.read_bytes()


def lintian_has_nothing_to_say(world):
    told = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", world.shared[1]], capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stdout


def the_service_is_confined(world):
    def exposure(unit):
        asked = ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=60)
        return told.returncode, told.stdout.strip().splitlines()[-1]

    unit = world.directory / "evergate.service"
    text = (DEBIAN / "evergate.service").read_text()
    unit.write_text(text)
    code, told = exposure(unit)
    assert code == 0 and float(re.search(r"service: ([0-9.]+)", told)[1]) < 2, told
    unit.write_text(re.sub(r"(?m)^(SystemCallFilter|CapabilityBoundingSet)=.*\n", "", text))
    code, told = exposure(unit)
    assert code != 0, f"a unit that is less confined passes: {told}"


def it_is_installed_without_being_started_and_its_units_are_valid(world):
    machine = installed(Machine(world), world.shared[1])
    assert machine.sh("evergate --version").startswith("evergate ")
    user = machine.sh("getent passwd evergate").split(":")
    assert int(user[2]) < 1000 and user[5:] == ["/var/lib/evergate", "/usr/sbin/nologin"], user
    assert machine.sh(f"stat -c '%a %U %G' /etc/evergate {CONFFILE}").splitlines() == ["750 root evergate", "640 root evergate"]
    told = machine.sh("systemd-analyze verify evergate.service evergate.socket evergate-https.socket 2>&1", check=False)
    assert not [line for line in told.splitlines() if "evergate" in line], told
    assert machine.sh("find /etc/systemd -name '*evergate*'") == ""
    machine.sh("systemctl --quiet enable evergate.service evergate.socket")
    assert machine.sh("find /etc/systemd -name '*evergate*'").count("\n") == 1


def its_settings_survive_a_new_version_and_its_removal_but_not_a_purge(world):
    machine = installed(Machine(world), world.shared[1])
    machine.sh(f"echo CODER_OIDC_CLIENT_ID=mine >>{CONFFILE}; chmod 0600 {CONFFILE}; chgrp root {CONFFILE}")
    machine.sh("install -d -o evergate -m 0700 /var/lib/evergate; touch /var/lib/evergate/token.key")
    machine.sh(f"dpkg --install {world.shared[1]}")
    assert machine.sh(f"tail -n 1 {CONFFILE}; stat -c '%a %G' {CONFFILE}") == "CODER_OIDC_CLIENT_ID=mine\n600 root"
    machine.sh("systemctl --quiet enable evergate.service; dpkg --remove evergate")
    assert machine.sh(f"ls /usr/bin/evergate {CONFFILE} /var/lib/evergate/token.key 2>/dev/null", check=False).count("\n") == 1
    assert machine.sh("find /etc/systemd /lib/systemd /usr/lib/sysusers.d -name '*evergate*'") == ""
    machine.sh("dpkg --purge evergate")
    assert machine.sh("find /etc /lib /usr /var -xdev -path '*evergate*' -not -path '*/root/*'", check=False) == ""


def it_serves_behind_systemds_socket_with_no_system_call_but_those_of_its_unit(world):
    machine, port = installed(Machine(world), world.shared[1]), world.port()
    machine.sh("install -d -o evergate -g evergate -m 0700 /var/lib/evergate")
    environment = [f"--setenv={line}" for line in [*SETTINGS.split(), "CODER_DATA_DIR=/var/lib/evergate"]]
    # The shell's process becomes the service, whose number the variables of the sockets name; strace watches from outside.
    service = world.spawn("service", machine.argv(
        "strace", "--daemonize", "--follow-forks", "--quiet=all", "--signal=none", "-o", "/var/lib/calls",
        "systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=http", *environment,
        "/usr/bin/setpriv", "--reuid=evergate", "--regid=evergate", "--clear-groups", "--no-new-privs", "/usr/bin/evergate", "serve",
    ))

    def ready():
        assert service.alive(), service.text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/oauth2/readyz", timeout=60) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    eventually("it is ready", ready, 60)
    assert machine.sh("stat -c '%U %a' /var/lib/evergate/token.key") == "evergate 600"
    service.signal(15)
    eventually("it has stopped", lambda: not service.alive(), 60)
    assert service.child.returncode == 0, service.text()
    calls = machine.sh("cat /var/lib/calls").splitlines()
    begun = next(at for at, line in enumerate(calls) if 'execve("/usr/bin/evergate"' in line)
    used = {found[1] for line in calls[begun + 1:] if (found := re.match(r"[0-9]+ +([a-z0-9_]+)\(", line))}
    # It asks for more open files, and takes what the unit gives it where that is refused.
    forbidden = used - allowed() - {"prlimit64"}
    assert len(used) > 30 and not forbidden, forbidden


def served(machine, url):
    """What a client gets there: a body, or why there is none."""
    told = machine.asked(f"curl --silent --show-error --insecure --max-time 20 {url}/oauth2/healthz")
    return (told.stdout or told.stderr).strip()


def running(world, package):
    """A booted machine on which the package serves HTTP and HTTPS behind systemd's sockets."""
    settings = world.directory / "evergate.env"
    tls = "CODER_TLS_ENABLE=true\nCODER_TLS_CERT_FILE=/etc/evergate/c.pem\nCODER_TLS_KEY_FILE=/etc/evergate/k.pem\n"
    settings.write_text(SETTINGS.replace("http://localhost\n", "https://localhost\n") + tls)
    machine = Booted(world, package, settings)
    machine.sh(f"""
        dpkg --install /run/given/{package.name}
        install -o root -g evergate -m 0640 /run/given/evergate.env {CONFFILE}
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost \\
          -keyout /etc/evergate/k.pem -out /etc/evergate/c.pem
        chgrp evergate /etc/evergate/*.pem; chmod 0640 /etc/evergate/*.pem
        systemctl --quiet enable --now evergate-https.socket evergate.socket evergate.service
    """)
    assert [served(machine, url) for url in URLS] == ["ok", "ok"]
    return machine


URLS = ["http://localhost:3000", "https://localhost"]


def settings_that_are_put_right_bring_every_socket_back(world):
    machine = running(world, world.shared[1])
    # A start that is refused at once, as the quickest machine would.
    machine.sh("mv /usr/bin/evergate /usr/bin/kept; printf '#!/bin/sh\\nexit 64\\n' >/usr/bin/evergate; chmod 755 /usr/bin/evergate")
    machine.asked("systemctl restart evergate.service")
    waiting = [subprocess.Popen(
        [*machine.inside(), "curl", "--silent", "--insecure", "--max-time", "60", f"{url}/oauth2/healthz"], stdout=subprocess.PIPE, text=True,
    ) for url in URLS for _ in range(3)]
    eventually("it is tried again and again", lambda: int(machine.sh("systemctl show --value --property NRestarts evergate.service")) > 3, 60)
    units = ["evergate.socket", "evergate-https.socket"]
    assert machine.asked(f"systemctl is-active {' '.join(units)}").stdout.split() == ["active", "active"]
    machine.sh("mv /usr/bin/kept /usr/bin/evergate")
    assert [client.communicate(timeout=90)[0].strip() for client in waiting] == ["ok"] * 6, "who came meanwhile has waited"
    # However it came to be closed: a start of the service opens it.
    machine.sh("systemctl stop evergate-https.socket evergate.service && systemctl start evergate.service")
    assert [served(machine, url) for url in URLS] == ["ok", "ok"]


def what_the_documents_say_ends_it_ends_it(world):
    machine = running(world, world.shared[1])
    command = re.search(r"`(systemctl stop evergate[^`]*)` ends all", (REPOSITORY / "docs/debian.md").read_text())[1]
    machine.sh(command)
    assert all("connect" in served(machine, url) for url in URLS)
    assert machine.asked("systemctl is-active evergate.service").stdout.strip() == "inactive"


def allowed():
    """The system calls that the unit lets through."""
    found = set()
    for filters in re.findall(r"(?m)^SystemCallFilter=(.*)$", (DEBIAN / "evergate.service").read_text()):
        named = set().union(*(members(one) for one in filters.lstrip("~").split()))
        found = found - named if filters.startswith("~") else found | named
    return found


def members(group):
    if not group.startswith("@"):
        return {group}
    told = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", group], check=True, capture_output=True, text=True, timeout=60).stdout
    names = [line.strip() for line in told.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(members(name) for name in names))


if __name__ == "__main__":
    run(cases_of(globals()), start)
