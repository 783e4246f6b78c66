//! One Postgres for the whole run, and a fresh database for each test, copied from a migrated template.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
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

struct Cluster {
    admin: Url,
    run: u32,
    /// Holds the server's standard input open; when this process ends, so does the server.
    _server: Option<Child>,
}

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A URL of a database of its own, and the server's address.
pub async fn fresh_database() -> (String, SocketAddr) {
    let cluster = CLUSTER.get_or_init(start).await;
    let name = format!("evergate_{}_{}", cluster.run, COUNT.fetch_add(1, Ordering::Relaxed));
    execute(&cluster.admin, format!("CREATE DATABASE {name} TEMPLATE evergate_{}_template STRATEGY = FILE_COPY", cluster.run))
        .await;
    let mut url = cluster.admin.clone();
    url.set_path(&name);
    let address = SocketAddr::new(url.host_str().unwrap().parse().unwrap(), url.port().unwrap_or(5432));
    (url.into(), address)
}

async fn start() -> Cluster {
    let (admin, server) = match std::env::var_os("TEST_DATABASE_URL") {
        Some(url) => (url.into_string().unwrap(), None),
        None => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres.sh");
            let mut server = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut url = String::new();
            BufReader::new(server.stdout.take().unwrap()).read_line(&mut url).unwrap();
            assert!(!url.is_empty(), "Postgres did not start; tests/setup installs it");
            (url.trim().to_owned(), Some(server))
        }
    };
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
    Cluster { admin, run, _server: server }
}

/// The names of databases cannot be bound, and these are our own.
async fn execute(url: &Url, statement: String) {
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    connection.close().await.unwrap();
}
