//! Under a service manager: sockets that it passes on, and what it is told. The manager is the test, by systemd's protocols.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddress, UnixDatagram},
    },
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use evergate::seal::KeyRing;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    certificates::Authority, eventually::eventually, ext_authz, postgres, process::free_port, visitor::Visitor,
};

/// A manager with the sockets of a service, and where it is told of it.
struct Manager {
    sockets: [TcpListener; 2],
    told: tokio::net::UnixDatagram,
    variables: BTreeMap<&'static str, String>,
    /// For whom the sockets are said to be, as the shell reads it.
    listen_pid: &'static str,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let told = UnixDatagram::bind(&path).unwrap();
        Self::told_at(told, path.display().to_string(), directory)
    }

    fn told_at(told: UnixDatagram, path: String, directory: tempfile::TempDir) -> Self {
        told.set_nonblocking(true).unwrap();
        let told = tokio::net::UnixDatagram::from_std(told).unwrap();
        let sockets = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let variables = BTreeMap::from([("NOTIFY_SOCKET", path)]);
        Self { sockets, told, variables, listen_pid: "$$", directory }
    }

    fn address(&self, socket: usize) -> SocketAddr {
        self.sockets[socket].local_addr().unwrap()
    }

    fn on_postgres(&mut self, url: &str) {
        self.variables.insert("CODER_PG_CONNECTION_URL", url.to_owned());
        self.variables.insert("CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS", KeyRing::generate());
    }

    /// Starts the service with the sockets of these names, which are passed on as file descriptors 3 and 4.
    fn start(&self, names: &[&str]) -> Service {
        let passed = |index: usize| match names.get(index) {
            Some(_) => Stdio::from(OwnedFd::from(self.sockets[index].try_clone().unwrap())),
            None => Stdio::null(),
        };
        // The shell's process becomes the service, so that its number is the service's.
        let script = format!("exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID={} exec \"$0\" serve", self.listen_pid);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_evergate")]).env_clear().stdin(passed(0)).stdout(passed(1));
        command
            .env("CODER_ACCESS_URL", "http://localhost")
            .env("CODER_UPSTREAM_URL", "http://127.0.0.1:9")
            .env("CODER_OIDC_ISSUER_URL", "http://127.0.0.1:9")
            .env("CODER_OIDC_CLIENT_ID", "app")
            .env("CODER_DATA_DIR", self.directory.path())
            // It is not listened on.
            .env("CODER_HTTP_ADDRESS", "127.0.0.1:1")
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .envs(&self.variables);
        Service(command.stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Waits until it is told something that begins so, and returns that.
    async fn told(&self, beginning: &str) -> String {
        let mut message = [0; 1024];
        let told = async {
            loop {
                let length = self.told.recv(&mut message).await.unwrap();
                let text = String::from_utf8(message[..length].to_vec()).unwrap();
                if text.starts_with(beginning) {
                    return text;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), told).await.unwrap_or_else(|_| panic!("it was not told {beginning}"))
    }
}

struct Service(Child);

impl Service {
    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
    }

    /// Waits for its end: its exit code and its log.
    async fn ended(mut self) -> (Option<i32>, String) {
        let ended = tokio::task::spawn_blocking(move || {
            let log = std::io::read_to_string(self.0.stderr.take().unwrap()).unwrap();
            (self.0.wait().unwrap().code(), log)
        });
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends").unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Clients that each come again and again, on a new connection each time.
struct Crowd {
    responses: Arc<[AtomicUsize; 8]>,
    /// How many connections were refused, or ended without a response.
    lost: Arc<AtomicUsize>,
    leave: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    fn come(address: SocketAddr) -> Self {
        let (responses, lost, leave) = (Arc::<[AtomicUsize; 8]>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let clients = (0..8).map(|client| {
            let (responses, lost, leave) = (Arc::clone(&responses), Arc::clone(&lost), Arc::<AtomicBool>::clone(&leave));
            tokio::spawn(async move {
                while !leave.load(Ordering::Relaxed) {
                    let is_served = match TcpStream::connect(address).await {
                        Ok(connection) => is_answered(connection).await,
                        Err(_) => false,
                    };
                    let count = if is_served { &responses[client] } else { &lost };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        Self { responses, lost, leave, clients }
    }

    /// Waits until each client has had some more responses.
    async fn is_served(&self) {
        let had: Vec<_> = self.responses.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        eventually("each client has had some more responses", async || {
            self.responses.iter().zip(&had).all(|(count, had)| count.load(Ordering::Relaxed) >= had + 10)
        })
        .await;
    }
}

async fn is_answered(mut connection: TcpStream) -> bool {
    let mut response = String::new();
    let request = b"GET /oauth2/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    connection.write_all(request).await.is_ok()
        && connection.read_to_string(&mut response).await.is_ok()
        && response.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn restarts_behind_a_socket_of_the_manager_lose_no_connection() {
    let manager = Manager::new();
    let mut service = manager.start(&["http"]);
    assert_eq!(manager.told("READY").await, "READY=1");
    let crowd = Crowd::come(manager.address(0));
    for _ in 0..5 {
        crowd.is_served().await;
        service.signal("-TERM");
        let stopping = manager.told("STOPPING").await;
        let longest: u64 = stopping.strip_prefix("STOPPING=1\nEXTEND_TIMEOUT_USEC=").unwrap().parse().unwrap();
        assert!(longest > 60_000_000, "the drain, and a token call at its end: {longest}");
        let (code, log) = service.ended().await;
        assert_eq!(code, Some(0), "{log}");
        // Nobody accepts connections now; they wait.
        service = manager.start(&["http"]);
        manager.told("READY").await;
    }
    crowd.is_served().await;
    crowd.leave.store(true, Ordering::Relaxed);
    futures_util::future::join_all(crowd.clients).await;
    assert_eq!(crowd.lost.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_start_that_waits_for_its_database_says_that_it_goes_on_and_heeds_a_signal() {
    let mut manager = Manager::new();
    manager.on_postgres("postgres://evergate@127.0.0.1:9/evergate");
    let service = manager.start(&["http"]);
    assert_eq!(manager.told("EXTEND").await, "EXTEND_TIMEOUT_USEC=30000000");
    service.signal("-TERM");
    let (code, log) = service.ended().await;
    assert!(code == Some(0) && log.contains("stopping before anything was served"), "{code:?} {log}");
}

#[tokio::test]
async fn a_signal_during_a_migration_ends_the_process_and_leaves_nothing_of_that_migration() {
    let cluster = postgres::Cluster::start_own().await;
    let url = cluster.empty_database().await;
    postgres::migrate_before(&url, 13).await;
    let mut manager = Manager::new();
    manager.on_postgres(&url);
    let reader = postgres::held(&url, "BEGIN; SELECT * FROM events").await;
    let service = manager.start(&["http"]);
    eventually("a migration waits for the table", async || postgres::waiting(&url, "%").await == 1).await;
    service.signal("-TERM");
    let (code, log) = service.ended().await;
    assert_eq!(code, Some(0), "{log}");
    drop(reader);
    eventually("the server has noticed", async || {
        let others = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        postgres::read::<i64>(&url, others).await == 0
    })
    .await;
    let applied = postgres::read::<i64>(&url, "SELECT MAX(version) FROM _sqlx_migrations").await;
    assert_eq!(applied, 17, "those before the one that waits for the table");
    let _service = manager.start(&["http"]);
    manager.told("READY").await;
}

#[tokio::test]
async fn sockets_are_told_apart_by_their_names() {
    let mut manager = Manager::new();
    manager.variables.insert("CODER_PROMETHEUS_ENABLE", "true".to_owned());
    let _service = manager.start(&["metrics", "http"]);
    manager.told("READY").await;
    let metrics = Visitor::new(manager.address(0)).get("/metrics").await;
    assert!(metrics.text().contains("evergate_"), "{}", metrics.text());
    assert_eq!(Visitor::new(manager.address(1)).get("/oauth2/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn the_administration_and_ingresses_have_sockets_that_are_passed_on() {
    let mut manager = Manager::new();
    let nobody = || "127.0.0.1:1".to_owned();
    manager.variables.extend([("CODER_ADMIN_GROUPS", "operators".to_owned()), ("CODER_OIDC_GROUP_FIELD", "groups".to_owned())]);
    manager.variables.extend([("CODER_ADMIN_ADDRESS", nobody()), ("CODER_EXT_AUTHZ_ADDRESS", nobody())]);
    manager.variables.insert("CODER_PROXY_TRUSTED_ORIGINS", "127.0.0.1".to_owned());
    let port = free_port();
    manager.variables.insert("CODER_HTTP_ADDRESS", format!("127.0.0.1:{port}"));
    let _service = manager.start(&["admin", "ext_authz"]);
    manager.told("READY").await;
    // A path of no page of ours is the app's, and there is none on the administration's listener.
    let visitor = Visitor::new(manager.address(0)).on_host("localhost");
    assert_eq!(visitor.get("/").await.status, 404);
    assert_eq!(visitor.get("/oauth2/admin").await.status, 503, "a login is tried, and the provider is away");
    assert_eq!(Visitor::new(([127, 0, 0, 1], port).into()).on_host("localhost").get("/oauth2/admin").await.status, 404);
    let asked = ext_authz::call(manager.address(1), ext_authz::HEALTH, &[], ext_authz::framed(&[])).await;
    assert_eq!((asked.status, asked.grpc.as_deref()), (200, Some("0")));
}

/// systemd gives up a socket whose service fails too often, and a start of the service does not open it again by itself.
#[tokio::test]
async fn a_start_that_is_given_sockets_and_none_for_https_says_so() {
    let (authority, mut manager) = (Authority::new(), Manager::new());
    let (certificate, key) = authority.issue("front", &["localhost"]);
    for (name, value) in [("CODER_TLS_CERT_FILE", certificate), ("CODER_TLS_KEY_FILE", key)] {
        manager.variables.insert(name, value);
    }
    manager.variables.insert("CODER_TLS_ENABLE", "true".to_owned());
    manager.variables.insert("CODER_TLS_ADDRESS", "127.0.0.1:0".to_owned());
    for (names, is_told) in [(&["http"][..], true), (&["http", "https"], false)] {
        let service = manager.start(names);
        manager.told("READY").await;
        service.signal("-TERM");
        let (code, log) = service.ended().await;
        assert_eq!((code, log.contains("none for HTTPS")), (Some(0), is_told), "{names:?}: {log}");
    }
}

#[tokio::test]
async fn a_socket_that_nothing_is_served_on_ends_the_start() {
    let manager = Manager::new();
    for (names, reason) in [
        (&["https"][..], "CODER_TLS_ENABLE is not set"),
        (&["http", "metrics"], "CODER_PROMETHEUS_ENABLE is not set"),
        (&["http", "admin"], "CODER_ADMIN_ADDRESS is not set"),
        (&["http", "ext_authz"], "CODER_EXT_AUTHZ_ADDRESS is not set"),
        (&["http", "http"], "two sockets that were passed on are called http"),
        (&["http", "evergate.socket"], "is called evergate.socket"),
    ] {
        let (code, log) = manager.start(names).ended().await;
        assert_eq!(code, Some(69), "{log}");
        assert!(log.contains(reason), "{names:?}: {log}");
    }
}

#[tokio::test]
async fn a_socket_for_another_process_is_not_taken() {
    let mut manager = Manager::new();
    let port = free_port();
    manager.variables.insert("CODER_HTTP_ADDRESS", format!("127.0.0.1:{port}"));
    manager.listen_pid = "1";
    let _service = manager.start(&["http"]);
    manager.told("READY").await;
    assert_eq!(Visitor::new(([127, 0, 0, 1], port).into()).get("/oauth2/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn a_reload_is_told_with_its_beginning_and_its_end() {
    let manager = Manager::new();
    let service = manager.start(&["http"]);
    manager.told("READY").await;
    service.signal("-HUP");
    let reloading = manager.told("RELOADING").await;
    let since: u64 = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(since > 0);
    manager.told("READY").await;
}

#[tokio::test]
async fn a_watchdog_is_told_again_and_again_that_the_process_lives() {
    let directory = tempfile::tempdir().unwrap();
    // A name that is none of the file system's, as service managers of users and containers have it.
    let name = format!("evergate-{}", directory.path().display());
    let told = UnixDatagram::bind_addr(&UnixAddress::from_abstract_name(&name).unwrap()).unwrap();
    let mut manager = Manager::told_at(told, format!("@{name}"), directory);
    manager.variables.insert("WATCHDOG_USEC", "200000".to_owned());
    let _service = manager.start(&["http"]);
    manager.told("READY").await;
    for _ in 0..3 {
        manager.told("WATCHDOG=1").await;
    }
}
