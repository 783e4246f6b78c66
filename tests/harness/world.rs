//! A world for a test: a provider, an upstream, one or more gateways, and visitors.

pub mod assertion;
pub mod behind_ingress;
pub mod certificates;
pub mod client_key;
pub mod connect_proxy;
pub mod doctor;
pub mod eventually;
pub mod ext_authz;
pub mod faults;
pub mod frames;
pub mod idp;
pub mod ingress;
pub mod logs;
pub mod otlp;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod protobuf;
pub mod python;
pub mod silent;
pub mod tls_front;
pub mod transmitter;
pub mod upstream;
pub mod visitor;
pub mod wire;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use evergate::{
    app::{self, Running},
    clock::Clock,
    config::{Environment, Problems, check},
    seal::KeyRing,
    timings::Timings,
};

use certificates::Authority;
use faults::FaultProxy;
use idp::Idp;
use logs::Log;
use pgbouncer::Pooling;
use upstream::Upstream;
use visitor::Visitor;

/// The address that browsers know the gateways of a world by.
pub const ACCESS: &str = "https://app.test";

/// A figure from the environment: how large a run is, is for whoever starts it to say.
#[expect(clippy::disallowed_methods, reason = "tests have no settings")]
pub fn figure(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Says how long something took; nothing is decided by it but whether that was too long.
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

pub struct World {
    pub idp: Arc<Idp>,
    /// Between the gateways and the provider.
    pub idp_line: FaultProxy,
    pub upstream: Upstream,
    /// Between the gateways and Postgres, if there is one.
    pub store_line: Option<FaultProxy>,
    pub replicas: Vec<Running>,
    pub clock: Clock,
    timings: Timings,
    pub database: Database,
    /// A Postgres of its own, which may be restarted.
    pub cluster: Option<postgres::Cluster>,
    environment: Environment,
    has_provider: bool,
    is_deaf: bool,
    /// What is logged from before any of its secrets is made.
    log: Log,
    _files: tempfile::TempDir,
}

/// Where a world's grants are kept.
pub enum Database {
    Postgres { url: String },
    Sqlite { directory: tempfile::TempDir },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Postgres,
    Sqlite,
}

/// The timings of a world whose test says nothing of them: background work runs soon, and nobody is waited for who does not come.
/// A request waits as long as it does for users, so that no slow machine changes an outcome.
const QUICK: Timings = Timings {
    housekeeping_interval: Duration::from_millis(500),
    last_seen_interval: Duration::from_millis(500),
    idle_refresh_interval: Duration::from_millis(500),
    revocation_interval: Duration::from_millis(250),
    event_poll_interval: Duration::from_millis(250),
    event_poll_wait: Duration::from_secs(60),
    email_files_interval: Duration::from_millis(100),
    blocking_refresh_wait: Duration::from_secs(8),
    // Whoever waits for a store that comes back gets in, however slow the machine is.
    login_store_wait: Duration::from_secs(60),
    // However far apart a slow machine lets them come.
    tabs_apart: Duration::from_secs(60),
    // Which connection bears a request depends on no machine's speed.
    upstream_min_idle: Duration::ZERO,
    unready_before_stop: Duration::from_millis(20),
};

/// Makes the text of routes from the address of the world's upstream.
type Routes = Box<dyn Fn(&str) -> String>;

/// Makes all settings from the issuer and the address of the world's upstream.
type Configuration = Box<dyn Fn(&str, &str) -> Environment>;

pub struct Builder {
    log: Log,
    kind: Kind,
    replicas: usize,
    settings: BTreeMap<String, String>,
    left_out: Vec<&'static str>,
    clock: Clock,
    timings: Timings,
    has_provider: bool,
    own_postgres: bool,
    pooling: Option<Pooling>,
    is_deaf: bool,
    routes: Option<Routes>,
    configuration: Option<Configuration>,
    provider_url: Option<String>,
    variables: BTreeMap<String, String>,
}

impl World {
    /// One gateway on SQLite, with a clock that stands still.
    pub fn build() -> Builder {
        Builder {
            log: Log::capture(),
            kind: Kind::Sqlite,
            replicas: 1,
            settings: BTreeMap::new(),
            left_out: Vec::new(),
            clock: Clock::manual(),
            timings: QUICK,
            has_provider: true,
            own_postgres: false,
            pooling: None,
            is_deaf: false,
            routes: None,
            configuration: None,
            provider_url: None,
            variables: BTreeMap::new(),
        }
    }

    pub async fn start() -> Self {
        Self::build().start().await
    }

    pub fn address(&self) -> SocketAddr {
        self.replicas[0].address
    }

    /// A browser without cookies, at the first gateway.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(self.address())
    }

    /// A browser that has logged in.
    pub async fn signed_in(&self) -> Visitor {
        let visitor = self.visitor();
        visitor.log_in(&self.idp, "/").await;
        visitor
    }

    /// The URL of its Postgres database, past every line and pooler.
    pub fn database_url(&self) -> String {
        match &self.database {
            Database::Postgres { url } => url.clone(),
            Database::Sqlite { .. } => String::new(),
        }
    }

    /// Starts another gateway with the same settings and store.
    pub async fn add_replica(&mut self) {
        let finds = Finds { provider: self.has_provider && self.idp_line.is_whole(), announcements: !self.is_deaf };
        let running = replica(&self.environment, &self.clock, self.timings, finds).await;
        self.replicas.push(running);
    }

    /// Changes settings for the gateways that come next.
    pub fn change(&mut self, settings: &[(&str, &str)]) {
        self.environment.flags.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }

    /// Leaves settings out for the gateways that come next.
    pub fn forget(&mut self, settings: &[&str]) {
        self.environment.flags.retain(|name, _| !settings.contains(&name.as_str()));
    }

    /// Replaces the gateways by new ones, with settings changed.
    pub async fn restart_with(&mut self, settings: &[(&str, &str)]) {
        self.change(settings);
        let count = self.replicas.len();
        for running in self.replicas.drain(..) {
            assert!(running.stop().await, "a gateway did not stop in time");
        }
        for _ in 0..count {
            self.add_replica().await;
        }
    }

    /// The binary with the world's settings.
    /// The binary with the world's settings.
    pub fn binary(&self) -> std::process::Command {
        let variables = self.environment.flags.iter().map(|(name, value)| (format!("CODER_{}", name.to_uppercase()), value));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_evergate"));
        command.env_clear().envs(&self.environment.variables).envs(variables);
        if let Some(path) = &self.environment.config_path {
            command.env("CODER_CONFIG_PATH", path);
        }
        command
    }

    /// The file of settings and routes, where there are routes.
    pub fn settings_file(&self) -> &str {
        self.environment.config_path.as_deref().unwrap()
    }

    /// Runs a command of the binary: its exit code, and what it printed.
    pub async fn command(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = self.binary();
        command.args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
    }

    /// Has the world's Postgres take writes or not; see [`postgres::set_read_only`].
    pub async fn set_store_read_only(&self, read_only: bool, disconnect: bool) {
        let Database::Postgres { url } = &self.database else { panic!("only Postgres can be told so") };
        postgres::set_read_only(url, read_only, disconnect).await;
    }

    /// A figure of a gateway's metrics; the sum of all its lines where it has labels.
    pub fn metric(&self, replica: usize, name: &str) -> f64 {
        let text = self.replicas[replica].metrics.render().unwrap();
        let is_meant = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        text.lines().filter(is_meant).filter_map(|line| line.split(' ').next_back()?.parse::<f64>().ok()).sum()
    }

    /// Runs a statement on the world's database.
    pub async fn sql(&self, statement: &'static str) {
        match &self.database {
            Database::Postgres { url } => {
                let pool = sqlx::PgPool::connect(url).await.unwrap();
                sqlx::query(statement).execute(&pool).await.unwrap();
                pool.close().await;
            }
            Database::Sqlite { directory } => {
                let pool =
                    sqlx::SqlitePool::connect(&format!("sqlite://{}/evergate.sqlite", directory.path().display())).await.unwrap();
                sqlx::query(statement).execute(&pool).await.unwrap();
                pool.close().await;
            }
        }
    }
}

impl Builder {
    pub fn on(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub fn replicas(mut self, count: usize) -> Self {
        self.kind = Kind::Postgres;
        self.replicas = count;
        self
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Leaves out what worlds have otherwise.
    pub fn without(mut self, name: &'static str) -> Self {
        self.left_out.push(name);
        self
    }

    /// For gateways that are processes of their own, which no clock of ours moves.
    pub fn in_real_time(mut self) -> Self {
        self.clock = Clock::System;
        self
    }

    /// With this clock.
    pub fn by(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// With a provider that calls itself by this address, at which the test has to make it reachable.
    pub fn provider_at(mut self, url: &str) -> Self {
        self.provider_url = Some(url.to_owned());
        self
    }

    /// With a variable of the environment that is no setting.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With timings changed.
    pub fn timed(mut self, change: impl FnOnce(&mut Timings)) -> Self {
        change(&mut self.timings);
        self
    }

    /// On a Postgres that no other test uses.
    pub fn on_own_postgres(mut self) -> Self {
        self.own_postgres = true;
        self.on(Kind::Postgres)
    }

    /// Where gateways hear of no changes.
    pub fn deaf(mut self) -> Self {
        self.is_deaf = true;
        self
    }

    /// On Postgres behind a pooler.
    pub fn behind_pgbouncer(mut self, pooling: Pooling) -> Self {
        self.pooling = Some(pooling);
        self.on(Kind::Postgres)
    }

    /// With these `[[route]]` tables; the text is made when the address of the world's upstream is known.
    pub fn routes(mut self, text: impl Fn(&str) -> String + 'static) -> Self {
        self.routes = Some(Box::new(text));
        self
    }

    /// With no settings but these, and where a gateway of a test listens and keeps its grants.
    pub fn configured(mut self, environment: impl Fn(&str, &str) -> Environment + 'static) -> Self {
        self.configuration = Some(Box::new(environment));
        self
    }

    /// TLS is spoken as well, with a certificate of this authority.
    pub fn secure(self, authority: &Authority) -> Self {
        let (certificate, key) = authority.issue("front", &["app.test"]);
        self.set("tls_enable", "true")
            .set("tls_address", "127.0.0.1:0")
            .set("tls_cert_file", &certificate)
            .set("tls_key_file", &key)
    }

    /// The provider's metadata are not to be believed, so that the gateways never find it.
    pub fn without_provider(mut self) -> Self {
        self.has_provider = false;
        self
    }

    pub async fn start(self) -> World {
        self.start_with(|_| {}).await
    }

    /// Prepares the provider before the gateways see it.
    pub async fn start_with(self, prepare: impl FnOnce(&Idp)) -> World {
        // Boxed, because each test's future would carry it.
        Box::pin(self.start_all(prepare)).await
    }

    async fn start_all(self, prepare: impl FnOnce(&Idp)) -> World {
        let upstream = Upstream::start().await;
        // The line's address is the issuer, so that every call can be cut.
        let idp_line = FaultProxy::start().await;
        let url = self.provider_url.unwrap_or_else(|| idp_line.url());
        let idp = Idp::start(&url, self.clock.clone()).await;
        idp_line.forward_to(idp.address);
        prepare(&idp);
        let cluster = if self.own_postgres { Some(postgres::Cluster::start_own().await) } else { None };
        let (database, store_line) = match self.kind {
            Kind::Postgres => {
                let (url, address) = match &cluster {
                    Some(cluster) => cluster.fresh_database().await,
                    None => postgres::fresh_database().await,
                };
                let line = FaultProxy::start().await;
                line.forward_to(match self.pooling {
                    Some(pooling) => pgbouncer::before(address, pooling).await.address,
                    None => address,
                });
                (Database::Postgres { url }, Some(line))
            }
            Kind::Sqlite => (Database::Sqlite { directory: in_memory() }, None),
        };
        let mut flags: BTreeMap<String, String> = [
            ("access_url", ACCESS.to_owned()),
            ("http_address", "127.0.0.1:0".to_owned()),
            ("prometheus_enable", "true".to_owned()),
            ("prometheus_address", "127.0.0.1:0".to_owned()),
            ("upstream_url", format!("http://{}", upstream.address)),
            ("oidc_issuer_url", idp.issuer().to_owned()),
            ("oidc_client_id", idp::CLIENT_ID.to_owned()),
            ("oidc_client_secret", idp::CLIENT_SECRET.to_owned()),
            ("oidc_group_field", "groups".to_owned()),
            ("shutdown_timeout", "10s".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        match &database {
            Database::Postgres { url } => {
                let line = store_line.as_ref().unwrap();
                let mut through = url::Url::parse(url).unwrap();
                through.set_port(Some(line.address.port())).unwrap();
                flags.insert("pg_connection_url".to_owned(), through.into());
                flags.insert("external_token_encryption_keys".to_owned(), KeyRing::generate());
            }
            Database::Sqlite { directory } => {
                flags.insert("data_dir".to_owned(), directory.path().display().to_string());
            }
        }
        flags.retain(|name, _| !self.left_out.contains(&name.as_str()));
        flags.extend(self.settings);
        let files = tempfile::tempdir().unwrap();
        let config_path = self.routes.map(|text| {
            let path = files.path().join("evergate.toml");
            std::fs::write(&path, text(&format!("http://{}", upstream.address))).unwrap();
            path.display().to_string()
        });
        let environment = match self.configuration {
            Some(configuration) => {
                let mut given = configuration(idp.issuer(), &format!("http://{}", upstream.address));
                flags.retain(|name, _| {
                    ["http_address", "data_dir", "pg_connection_url", "external_token_encryption_keys"].contains(&name.as_str())
                });
                given.flags.extend(flags);
                given
            }
            None => Environment { flags, config_path, variables: self.variables, ..Environment::default() },
        };
        let mut world = World {
            idp,
            idp_line,
            upstream,
            store_line,
            replicas: Vec::new(),
            clock: self.clock,
            timings: self.timings,
            database,
            cluster,
            environment,
            has_provider: self.has_provider,
            is_deaf: self.is_deaf,
            log: self.log,
            _files: files,
        };
        for _ in 0..self.replicas {
            world.add_replica().await;
        }
        world
    }
}

/// A directory whose writes wait for no disk, where the system has one: a machine that is busy with other files would hold up a
/// test's database for longer than calls to it may take.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What a gateway finds, and is waited for to find.
struct Finds {
    provider: bool,
    announcements: bool,
}

async fn replica(environment: &Environment, clock: &Clock, timings: Timings, finds: Finds) -> Running {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let checked = check(&raw, problems).expect("the harness's settings are right");
    let running = app::start(checked, clock.clone(), timings).await.unwrap();
    let ready = Visitor::new(running.address);
    let prefix = environment.flags.get("path_prefix").or_else(|| environment.variables.get("CODER_PATH_PREFIX"));
    let prefix = prefix.map_or("/oauth2", String::as_str);
    eventually::eventually("the gateway hears of its store's changes, and has its provider", async || {
        let state = ready.get(&format!("{prefix}/readyz")).await.json();
        state["store"] == "ok"
            && (state["announcements"] != "none" || !finds.announcements)
            && (state["provider"] == "ok" || !finds.provider)
    })
    .await;
    running
}

impl Drop for World {
    /// What must hold at the end of every test.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let told = self.upstream.everything();
        assert!(!told.contains("evergate_"), "a cookie of ours reached the upstream");
        assert_eq!(self.idp.reuses(), 0, "a used refresh token was presented again");
        self.log.assert_absent(&self.idp.secrets());
    }
}
