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
    store::{PostgresSettings, PostgresUrl, Settings, Store},
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

/// What makes a database whose collation folds and sorts letters as few others do: its `lower('I')` is an i without a dot.
const TURKISH: &str = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'";
static TURKISH_TEMPLATE: OnceCell<()> = OnceCell::const_new();

/// The same of a database with Turkish collation.
pub async fn fresh_turkish_database() -> (String, SocketAddr) {
    let cluster = CLUSTER.get_or_init(Cluster::start).await;
    let name = format!("evergate_{}_turkish", cluster.run);
    TURKISH_TEMPLATE.get_or_init(|| make_template(&cluster.admin, &name, TURKISH)).await;
    cluster.copy_of(&name).await
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
        self.copy_of(&format!("evergate_{}_template", self.run)).await
    }

    async fn copy_of(&self, template: &str) -> (String, SocketAddr) {
        let name = format!("evergate_{}_{}", self.run, COUNT.fetch_add(1, Ordering::Relaxed));
        execute(&self.admin, format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY = FILE_COPY")).await;
        let mut url = self.admin.clone();
        url.set_path(&name);
        let address = SocketAddr::new(url.host_str().unwrap().parse().unwrap(), url.port().unwrap_or(5432));
        (url.into(), address)
    }

    /// A URL of a database of its own in which nothing is.
    pub async fn empty_database(&self) -> String {
        self.empty_database_with("").await
    }

    /// The same, with options of `CREATE DATABASE`.
    pub async fn empty_database_with(&self, options: &str) -> String {
        let name = format!("empty_{}_{}", self.run, COUNT.fetch_add(1, Ordering::Relaxed));
        execute(&self.admin, format!("CREATE DATABASE {name} {options}")).await;
        let mut url = self.admin.clone();
        url.set_path(&name);
        url.into()
    }

    /// Another server, with a database of the same name as the one at `url`, and that one's URL.
    pub async fn beside(url: &str) -> (Self, String) {
        let other = Self::start_own().await;
        let name = Url::parse(url).unwrap().path().trim_start_matches('/').to_owned();
        execute(&other.admin, format!("CREATE DATABASE {name} TEMPLATE evergate_{}_template STRATEGY = FILE_COPY", other.run))
            .await;
        let mut there = other.admin.clone();
        there.set_path(&name);
        (other, there.into())
    }

    /// Ends the server as a crash would, and starts it again. Blocks.
    pub fn restart(&self) {
        let server = self.server.as_ref().expect("a server of one's own");
        server.lines.lock().unwrap().0.write_all(b"restart\n").unwrap();
        assert_eq!(server.line(), "restarted");
    }

    /// Starts a standby, to which the server's changes are streamed, and returns its address. Blocks.
    pub fn start_standby(&self) -> SocketAddr {
        let server = self.server.as_ref().expect("a server of one's own");
        server.lines.lock().unwrap().0.write_all(b"standby\n").unwrap();
        SocketAddr::from(([127, 0, 0, 1], server.line().parse().unwrap()))
    }

    async fn prepare(admin: String, server: Option<Server>) -> Self {
        let admin = Url::parse(&admin).unwrap();
        let run = std::process::id();
        make_template(&admin, &format!("evergate_{run}_template"), "").await;
        Self { admin, run, server }
    }
}

/// Makes a migrated database, from which others are copied.
async fn make_template(admin: &Url, name: &str, options: &str) {
    execute(admin, format!("CREATE DATABASE {name} {options}")).await;
    let mut url = admin.clone();
    url.set_path(name);
    let settings = Settings::Postgres(settings(url.as_str(), 1));
    let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
    let store = Store::open(&settings, keys, Metrics::default()).unwrap();
    store.migrate().await.unwrap();
    drop(store);
    // The pool closes its connections in its own time, and a template may have none.
    let disconnect = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    execute(admin, disconnect).await;
}

/// The URL of a database with these hosts in the place of its own.
pub fn with_hosts(url: &str, hosts: &[SocketAddr], parameters: &str) -> String {
    let hosts = hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let database = url.rsplit_once('/').unwrap().1;
    format!("postgres://postgres@{hosts}/{database}{parameters}")
}

/// The settings of a store at `url`.
pub fn settings(url: &str, max_open: u32) -> PostgresSettings {
    PostgresSettings { url: PostgresUrl::parse(url).unwrap(), listen_url: None, password_file: None, max_open, max_idle: None }
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

/// The server's address.
pub fn address(url: &str) -> SocketAddr {
    let url = Url::parse(url).unwrap();
    SocketAddr::new(url.host_str().unwrap().parse().unwrap(), url.port().unwrap_or(5432))
}

/// How many sessions the database has.
pub async fn sessions(url: &str) -> i64 {
    read(url, "SELECT COUNT(*) FROM sessions").await
}

/// How many heartbeats the busiest replica has written.
pub async fn heartbeats(url: &str) -> i64 {
    read(url, "SELECT COALESCE(MAX(beats), 0) FROM replicas").await
}

/// How many announced ends of sessions the database keeps.
pub async fn announcements(url: &str) -> i64 {
    read(url, "SELECT COUNT(*) FROM public.changes WHERE payload LIKE 'session %'").await
}

/// How many standbys are connected, and which of them commits wait for.
pub async fn replication(url: &str) -> String {
    read(url, "SELECT COUNT(*) || ' ' || current_setting('synchronous_standby_names') FROM pg_stat_replication").await
}

/// The directory of the server's Unix socket.
pub async fn socket_directory(url: &str) -> String {
    read(url, "SELECT current_setting('unix_socket_directories')").await
}

/// Ends all other connections to the database.
pub async fn disconnect(url: &str) {
    run(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;
}

/// Has the role `rotating` log in with this password alone.
pub async fn require_password(url: &str, password: &str) {
    run(url, "DO $$ BEGIN CREATE ROLE rotating LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END $$").await;
    run(url, &format!("ALTER ROLE rotating PASSWORD '{password}'")).await;
    let rules = "local all all trust\nhost all rotating all scram-sha-256\nhost all all all trust";
    let file: String = read(url, "SELECT current_setting('hba_file')").await;
    run(url, &format!("COPY (SELECT unnest(string_to_array('{rules}', E'\\n'))) TO '{file}'")).await;
    run(url, "SELECT pg_reload_conf()").await;
}

/// Has the server speak TLS with this certificate.
pub async fn serve_tls(url: &str, certificate: &str, key: &str) {
    for (setting, text) in [("ssl_cert_file", certificate), ("ssl_key_file", key)] {
        let file = format!("{}/{setting}.pem", read::<String>(url, "SELECT current_setting('data_directory')").await);
        let lines =
            format!("COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM 'umask 077; cat > {file}'", text.trim());
        run(url, &lines).await;
        run(url, &format!("ALTER SYSTEM SET {setting} = '{file}'")).await;
    }
    run(url, "ALTER SYSTEM SET ssl = on").await;
    run(url, "SELECT pg_reload_conf()").await;
    crate::harness::eventually::eventually("the server speaks TLS", async || {
        read::<String>(url, "SELECT current_setting('ssl')").await == "on"
    })
    .await;
}

/// Makes the role `serving`, which may change rows and nothing else.
pub async fn make_serving_role(url: &str) {
    run(url, "DO $$ BEGIN CREATE ROLE serving LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$")
        .await;
    run(url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    run(url, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO serving").await;
}

/// Brings an empty database to where the migrations before `number` leave it.
pub async fn migrate_before(url: &str, number: i64) {
    let directory = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres"));
    let mut migrator = sqlx::migrate::Migrator::new(directory).await.unwrap();
    migrator.migrations.to_mut().retain(|migration| migration.version < number);
    migrator.run(&mut PgConnection::connect(url).await.unwrap()).await.unwrap();
}

/// Runs a statement.
pub async fn run(url: &str, statement: &str) {
    execute(&Url::parse(url).unwrap(), statement.to_owned()).await;
}

/// A connection that has run these statements, and keeps the locks that they take until it is dropped.
pub async fn held(url: &str, statements: &str) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(statements.to_owned())).await.unwrap();
    connection
}

/// How many connections wait for a lock with a statement that is `LIKE` this.
pub async fn waiting(url: &str, statement: &str) -> i64 {
    read(
        url,
        &format!(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
             AND pid <> pg_backend_pid() AND query LIKE '{statement}'"
        ),
    )
    .await
}

/// The value that a query returns.
pub async fn read<T>(url: &str, query: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await.unwrap()
}
