//! Ingresses that nobody here wrote, each with the configuration that `docs/forward-auth.md` shows, before an app and a gateway that
//! they ask.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tokio::net::TcpStream;

use evergate::app::Running;

use super::{eventually::eventually, process::free_port};

/// What is known of an ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Caddy,
    HaProxy,
    Traefik,
    /// Traefik as the README shows it.
    TraefikOfReadme,
    Envoy,
    /// Envoy that asks over gRPC.
    EnvoyGrpc,
    /// The same, and hands header lines on as they are.
    EnvoyGrpcRaw,
}

impl Kind {
    /// Whether it asks over gRPC.
    pub fn asks_over_grpc(self) -> bool {
        matches!(self, Self::EnvoyGrpc | Self::EnvoyGrpcRaw)
    }
}

/// One that runs, and ends with the test.
pub struct Ingress {
    pub address: SocketAddr,
    process: Child,
    _files: tempfile::TempDir,
}

impl Drop for Ingress {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// The block of the guide that is written in this language, and begins with this text.
fn block(language: &str, start: &str) -> String {
    block_of(include_str!("../../docs/forward-auth.md"), language, start)
}

/// The block of a document that is written in this language, and begins with this text.
pub fn block_of(guide: &str, language: &str, start: &str) -> String {
    let blocks = guide.split("\n```").skip(1).step_by(2);
    let mut found =
        blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).filter(|text| text.starts_with(start));
    let text = found.next().unwrap_or_else(|| panic!("no block of {language} begins with {start}"));
    assert!(found.next().is_none(), "several blocks of {language} begin with {start}");
    text.to_owned()
}

/// A program of Debian's, which may be where only the superuser looks, or one of the Python packages.
fn program(name: &str) -> Command {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/python/bin").join(name);
    let places = [PathBuf::from("/usr/sbin").join(name), packages];
    let mut command = Command::new(places.iter().find(|place| place.exists()).unwrap_or(&PathBuf::from(name)));
    command.env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/python"));
    command
}

impl Ingress {
    /// One for `app.test` before `app`, which asks this gateway.
    pub async fn start(kind: Kind, gateway: &Running, app: SocketAddr) -> Self {
        Self::start_edited(kind, gateway, app, |config| config).await
    }

    /// The same with its configuration edited.
    pub async fn start_edited(kind: Kind, gateway: &Running, app: SocketAddr, edit: impl Fn(String) -> String) -> Self {
        let (evergate, asked) = (gateway.address, gateway.ext_authz_address);
        let (files, port) = (tempfile::tempdir().unwrap(), free_port());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let here = |text: String| {
            text.replace("127.0.0.1:3000", &evergate.to_string())
                .replace("127.0.0.1:8080", &app.to_string())
                .replace("port_value: 3000", &format!("port_value: {}", evergate.port()))
                .replace("port_value: 8080", &format!("port_value: {}", app.port()))
                .replace("port_value: 9191", &format!("port_value: {}", asked.map_or(0, |asked| asked.port())))
                .replace("app.example.com", "app.test")
        };
        let write = |name: &str, text: String| {
            let path = files.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let directory = files.path().display().to_string();
        let mut command = match kind {
            Kind::Nginx => {
                let server = here(block("nginx", "upstream"));
                assert!(server.contains("listen 443 ssl;"));
                let server = server.replace("listen 443 ssl;", &format!("listen {address};"));
                let plain: Vec<&str> = server.lines().filter(|line| !line.trim_start().starts_with("ssl_certificate")).collect();
                let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|what| format!("{what}_temp_path {directory}/{what};\n"))
                    .concat();
                let whole = format!(
                    "daemon off;\nmaster_process off;\npid {directory}/pid;\nerror_log stderr crit;\nevents {{}}\n\
                     http {{\naccess_log off;\n{temporary}{}\n}}\n",
                    plain.join("\n")
                );
                let mut command = program("nginx");
                command.args(["-e", "stderr", "-p"]).arg(files.path()).arg("-c").arg(write("nginx.conf", whole));
                command
            }
            Kind::Caddy => {
                let site = here(block("caddyfile", "app")).replace("app.test {", &format!("http://app.test:{port} {{"));
                let mut command = program("caddy");
                let config = write(
                    "Caddyfile",
                    format!("{{\n    admin off\n    default_bind 127.0.0.1\n    log {{\n        level ERROR\n    }}\n}}\n{site}"),
                );
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
                command.env("HOME", files.path()).env("XDG_DATA_HOME", files.path()).env("XDG_CONFIG_HOME", files.path());
                command
            }
            Kind::HaProxy => {
                let lua = write("evergate.lua", block("lua", ""));
                let bind = "bind :443 ssl crt /etc/haproxy/app.test.pem";
                let config = here(block("haproxy", "global"));
                assert!(config.contains(bind));
                let config = config.replace("/etc/haproxy/evergate.lua", &lua.display().to_string());
                let config = config.replace(bind, &format!("bind {address}"));
                let mut command = program("haproxy");
                command.args(["-db", "-q", "-f"]).arg(write("haproxy.cfg", config + "\n"));
                command
            }
            Kind::Traefik | Kind::TraefikOfReadme => {
                let readme = include_str!("../../README.md");
                let text = if kind == Kind::Traefik { block("yaml", "# traefik") } else { block_of(readme, "yaml", "# traefik") };
                let dynamic = write("dynamic.yaml", here(text));
                let entry = format!("entryPoints:\n  web:\n    address: \"{address}\"\n");
                let config = format!("{entry}providers:\n  file:\n    filename: {}\nlog:\n  level: ERROR\n", dynamic.display());
                let mut command = program("traefik");
                command.arg(format!("--configFile={}", write("traefik.yaml", config).display())).current_dir(files.path());
                command
            }
            Kind::Envoy | Kind::EnvoyGrpc | Kind::EnvoyGrpcRaw => {
                let start = if kind.asks_over_grpc() { "# ext_authz over gRPC" } else { "# envoy" };
                let mut config = edit(here(block("yaml", start)));
                if kind == Kind::EnvoyGrpcRaw {
                    let version = "transport_api_version: V3\n";
                    assert!(config.contains(version));
                    config = config.replacen(version, &format!("{version}              encode_raw_headers: true\n"), 1);
                }
                let listener = "{address: 0.0.0.0, port_value: 443}";
                assert!(config.contains(listener));
                let config = config.replace(listener, &format!("{{address: 127.0.0.1, port_value: {port}}}"));
                let mut command = program("envoy");
                command
                    .args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "error", "-c"])
                    .arg(write("envoy.yaml", config));
                command
            }
        };
        let process = command.stdin(Stdio::null()).spawn().expect("tests/run installs it");
        let ingress = Self { address, process, _files: files };
        eventually("the ingress listens", async || TcpStream::connect(address).await.is_ok()).await;
        ingress
    }
}
