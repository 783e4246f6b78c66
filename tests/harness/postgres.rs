//! One Postgres for the whole run, and a fresh database for each test, copied from a migrated template. A test that
//! restarts its Postgres has one of its own.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use evergate::{
    seal::KeyRing,
    secret::Secret,
    store::{PostgresSettings, Settings, Store},
    telemetry::metrics::Metrics,
};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::OnceCell;
use url::Url;

pub struct Cluster {
    admin: Url,
    run: u32,
    server: Option<Server>,
}

/// Holds the server's standard input open; when this process ends, so does the server.
struct Server {
    _child: Child,
    lines: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A URL of a database of its own, and the server's address.
pub async fn fresh_database() -> (String, SocketAddr) {
    CLUSTER.get_or_init(Cluster::start).await.fresh_database().await
}

impl Server {
    fn start() -> (String, Self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres.sh");
        let mut child = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let server = Self { _child: child, lines: Mutex::new(lines) };
        let url = server.line();
        assert!(!url.is_empty(), "Postgres did not start; tests/run installs it");
        (url, server)
    }

    fn line(&self) -> String {
        let mut line = String::new();
        self.lines.lock().unwrap().1.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Cluster {
    /// A server of its own.
    pub async fn start_own() -> Self {
        let (url, server) = Server::start();
        Self::prepare(url, Some(server)).await
    }

    async fn start() -> Self {
        match std::env::var_os("TEST_DATABASE_URL") {
            Some(url) => Self::prepare(url.into_string().unwrap(), None).await,
            None => Self::start_own().await,
        }
    }

    /// A URL of a database of its own, and the server's address.
    pub async fn fresh_database(&self) -> (String, SocketAddr) {
        let name = format!("evergate_{}_{}", self.run, COUNT.fetch_add(1, Ordering::Relaxed));
        execute(&self.admin, format!("CREATE DATABASE {name} TEMPLATE evergate_{}_template STRATEGY = FILE_COPY", self.run))
            .await;
        let mut url = self.admin.clone();
        url.set_path(&name);
        let address = SocketAddr::new(url.host_str().unwrap().parse().unwrap(), url.port().unwrap_or(5432));
        (url.into(), address)
    }

    /// Ends the server as a crash would, and starts it again. Blocks.
    pub fn restart(&self) {
        let server = self.server.as_ref().expect("a server of one's own");
        server.lines.lock().unwrap().0.write_all(b"restart\n").unwrap();
        assert_eq!(server.line(), "restarted");
    }

    async fn prepare(admin: String, server: Option<Server>) -> Self {
        let admin = Url::parse(&admin).unwrap();
        let run = std::process::id();
        let template = format!("evergate_{run}_template");
        execute(&admin, format!("CREATE DATABASE {template}")).await;
        let mut url = admin.clone();
        url.set_path(&template);
        let settings = Settings::Postgres(PostgresSettings { url: Secret::new(url.to_string()), max_open: 1 });
        let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
        let store = Store::open(&settings, keys, Metrics::default()).unwrap();
        store.migrate().await.unwrap();
        drop(store);
        // The pool closes its connections in its own time, and a template may have none.
        let disconnect = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{template}'");
        execute(&admin, disconnect).await;
        Self { admin, run, server }
    }
}

/// Lets the database at `url` take writes or not, as far as connections that are opened from now on are concerned, and ends
/// those that are open if told to.
pub async fn set_read_only(url: &str, read_only: bool, disconnect: bool) {
    let mut admin = Url::parse(url).unwrap();
    let name = admin.path().trim_start_matches('/').to_owned();
    admin.set_path("postgres");
    let change = if read_only { "SET default_transaction_read_only = on" } else { "RESET default_transaction_read_only" };
    execute(&admin, format!("ALTER DATABASE {name} {change}")).await;
    if disconnect {
        execute(&admin, format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")).await;
    }
}

/// The names of databases cannot be bound, and these are our own.
async fn execute(url: &Url, statement: String) {
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    connection.close().await.unwrap();
}
