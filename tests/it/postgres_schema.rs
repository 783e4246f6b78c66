//! What Postgres' schema lets whom do, and how it is brought up to date where tables are large.

use evergate::{
    seal::KeyRing,
    store::{Settings, Store},
    telemetry::{logs::causes, metrics::Metrics},
};
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{
    World,
    postgres::{self, Cluster},
};

fn open(url: &str) -> Store {
    let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
    Store::open(&Settings::Postgres(postgres::settings(url, 4)), keys, Metrics::default()).unwrap()
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.map(drop)
}

async fn texts(connection: &mut PgConnection, query: &str) -> Vec<String> {
    sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_all(connection).await.unwrap()
}

#[tokio::test]
async fn a_role_that_serves_does_not_become_the_owner_by_tables_of_its_own() {
    let world = World::build().on_own_postgres().start().await;
    let url = world.database_url();
    postgres::make_serving_role(&url).await;
    world.signed_in().await;
    let mut serving = connect(&url.replace("postgres@", "serving@")).await;
    for table in ["changes", "left_grants", "keep_alive"] {
        let own = format!(
            "CREATE TEMP TABLE {table} (LIKE public.{table} INCLUDING ALL); \
             CREATE FUNCTION pg_temp.take_{table}() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$; \
             CREATE TRIGGER take AFTER INSERT ON pg_temp.{table} FOR EACH ROW EXECUTE FUNCTION pg_temp.take_{table}()"
        );
        run(&mut serving, &own).await.unwrap();
    }
    for change in [
        "UPDATE public.grants SET refresh_life = 1, refresh_until = 1",
        "UPDATE public.grants SET refresh_life = 1, refresh_until = 0",
        "DELETE FROM public.sessions",
    ] {
        run(&mut serving, change).await.unwrap_or_else(|error| panic!("{change}: {error}"));
    }
    assert_eq!(texts(&mut serving, "SELECT COUNT(*)::TEXT FROM public.left_grants").await, ["1"]);
}

#[tokio::test]
async fn a_function_with_its_owner_s_rights_names_nothing_that_its_caller_could_put_in_its_way() {
    let (url, _) = postgres::fresh_database().await;
    let functions = texts(
        &mut connect(&url).await,
        "SELECT proname || ' ' || array_to_string(proconfig, ';') FROM pg_proc \
         WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY 1",
    )
    .await;
    assert!(functions.len() >= 5, "{functions:?}");
    for function in functions {
        assert!(function.ends_with(" search_path=pg_catalog, public, pg_temp"), "{function}");
    }
}

#[tokio::test]
async fn a_stranger_in_the_database_neither_announces_nor_deletes_an_announcement() {
    let world = World::build().on_own_postgres().start().await;
    let url = world.database_url();
    world.signed_in().await;
    let mut owner = connect(&url).await;
    run(&mut owner, "CREATE ROLE stranger LOGIN; DELETE FROM sessions").await.unwrap();
    let mut stranger = connect(&url.replace("postgres@", "stranger@")).await;
    for call in ["evergate_forget_announcements(9223372036854775807)", "evergate_announce_grants('ab')"] {
        let error = run(&mut stranger, &format!("SELECT {call}")).await.unwrap_err();
        assert!(error.to_string().contains("may not change grants"), "{call}: {error}");
    }
    assert_eq!(postgres::announcements(&url).await, 1);
}

/// The statements of docs/postgres.md by which indexes are built before a migration needs them.
fn documented_indexes() -> Vec<String> {
    documented("    ALTER TABLE sessions ADD COLUMN IF NOT EXISTS")
}

/// The statements of the block of docs/postgres.md that begins so.
fn documented(beginning: &str) -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/postgres.md")).unwrap();
    let lines = page.lines().skip_while(|line| !line.starts_with(beginning));
    let block: Vec<_> = lines.take_while(|line| line.starts_with("    ")).collect();
    let statements = block.join("\n");
    statements.split(';').map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

/// A database as the migrations before `number` leave it.
async fn database_before(cluster: &Cluster, number: i64) -> String {
    let url = cluster.empty_database().await;
    postgres::migrate_before(&url, number).await;
    url
}

const INDEXES: &str = "SELECT indexname || ': ' || indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1";
const BUILT: &str = "SELECT indexrelid::TEXT || ' ' || relfilenode FROM pg_index JOIN pg_class ON oid = indexrelid \
                     WHERE relname IN ('sessions_by_seen_floor', 'grants_by_user', 'grants_by_username', 'grants_by_email', 'sessions_by_login') ORDER BY 1";

#[tokio::test]
async fn indexes_that_an_administrator_has_built_before_are_not_built_again() {
    let cluster = Cluster::start_own().await;
    let fresh = cluster.fresh_database().await.0;
    let url = database_before(&cluster, 6).await;
    let mut admin = connect(&url).await;
    for statement in documented_indexes() {
        run(&mut admin, &statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let before = texts(&mut admin, BUILT).await;
    assert_eq!(before.len(), 5);
    open(&url).migrate().await.unwrap();
    assert_eq!(texts(&mut admin, BUILT).await, before);
    assert_eq!(texts(&mut admin, INDEXES).await, texts(&mut connect(&fresh).await, INDEXES).await);
}

#[tokio::test]
async fn an_index_whose_building_failed_is_told_of_and_not_taken() {
    let cluster = Cluster::start_own().await;
    let url = database_before(&cluster, 6).await;
    let mut admin = connect(&url).await;
    run(&mut admin, "CREATE INDEX grants_by_user ON grants (subject, issuer, client_id)").await.unwrap();
    run(&mut admin, "UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'grants_by_user'::regclass").await.unwrap();
    let told = causes(&open(&url).migrate().await.unwrap_err());
    assert!(told.contains("CREATE INDEX CONCURRENTLY left grants_by_user invalid"), "{told}");
}

#[tokio::test]
async fn another_role_s_tables_are_given_to_the_two_roles_by_the_statements_for_that() {
    let cluster = Cluster::start_own().await;
    let url = cluster.empty_database().await;
    let mut admin = connect(&url).await;
    run(&mut admin, "CREATE ROLE old_owner LOGIN; CREATE ROLE evergate_owner LOGIN; CREATE ROLE evergate LOGIN").await.unwrap();
    run(&mut admin, "GRANT CREATE ON SCHEMA public TO old_owner").await.unwrap();
    let of = |role: &str| url.replace("postgres@", &format!("{role}@"));
    postgres::migrate_before(&of("old_owner"), 13).await;
    let statements = documented("    REASSIGN OWNED BY old_owner TO evergate_owner");
    assert_eq!(statements.len(), 5, "{statements:#?}");
    for statement in statements {
        run(&mut admin, &statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let refused = causes(&open(&of("evergate")).migrate().await.unwrap_err());
    assert!(refused.contains("permission denied"), "the role that serves changes no schema: {refused}");
    open(&of("evergate_owner")).migrate().await.unwrap();
    open(&of("evergate")).migrate().await.expect("it starts where nothing is to be migrated");
    let facts = open(&of("evergate")).examine().await.unwrap().unwrap();
    assert_eq!((facts.tables_without_rights, facts.may_create), (Vec::new(), false), "tables of before and those made since");
}
