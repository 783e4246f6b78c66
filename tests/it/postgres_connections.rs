//! How Postgres is reached: over which of several hosts, with which password, over which socket.

use http::{Method, StatusCode};

use evergate::{
    seal::KeyRing,
    store::{Condition, Settings, Store},
    telemetry::metrics::Metrics,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::harness::{
    ACCESS, Kind, World,
    eventually::eventually,
    faults::FaultProxy,
    idp::Endpoint,
    logs::{Log, lines_with},
    pgbouncer::Pooling,
    postgres::{self, Cluster, with_hosts},
    visitor::path_of,
};

fn open(url: &str) -> Store {
    let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
    Store::open(&Settings::Postgres(postgres::settings(url, 4)), keys, Metrics::default()).unwrap()
}

#[tokio::test]
async fn a_host_that_is_gone_and_one_that_hangs_are_passed_over() {
    let (url, address) = postgres::fresh_database().await;
    let (gone, hanging) = (FaultProxy::start().await, FaultProxy::start().await);
    gone.cut();
    hanging.forward_to(address);
    hanging.stall();
    let store = open(&with_hosts(&url, &[gone.address, hanging.address, address], ""));
    // A busy machine may need longer than the hosts are given.
    eventually("the third host is used", async || store.now().await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_never_answers_does_not_hold_up_a_start_without_end() {
    let (url, address) = postgres::fresh_database().await;
    let hanging = FaultProxy::start().await;
    hanging.forward_to(address);
    hanging.stall();
    let store = open(&with_hosts(&url, &[hanging.address], ""));
    let migrated = tokio::time::timeout(std::time::Duration::from_secs(120), store.migrate()).await;
    assert!(migrated.expect("it ends").is_err());
}

#[tokio::test]
async fn of_several_hosts_the_one_that_takes_writes_is_used_and_followed_at_a_failover() {
    let mut world = World::build().on_own_postgres().replicas(0).start().await;
    let url = world.database_url();
    // Another server with a database of the same name, which is like a standby as long as it takes no writes.
    let (standby, standby_url) = Cluster::beside(&url).await;
    let hosts = [postgres::address(&standby_url), postgres::address(&url)];
    postgres::set_read_only(&standby_url, true, false).await;
    world.change(&[("pg_connection_url", &with_hosts(&url, &hosts, ""))]);
    world.add_replica().await;
    let visitor = world.signed_in().await;
    assert_eq!((postgres::sessions(&url).await, postgres::sessions(&standby_url).await), (1, 0));

    postgres::set_read_only(&url, true, true).await;
    postgres::set_read_only(&standby_url, false, true).await;
    eventually("logins go to the new primary", async || {
        let other = world.visitor();
        other.try_browse(&world.idp, "/").await;
        postgres::sessions(&standby_url).await > 0
    })
    .await;
    drop((visitor, standby));
}

#[tokio::test]
async fn a_database_that_moves_while_the_one_before_goes_on_is_followed_by_every_connection() {
    let world = World::build().on_own_postgres().replicas(2).start().await;
    let url = world.database_url();
    world.signed_in().await;
    assert_eq!(postgres::sessions(&url).await, 1);
    let (moved, moved_url) = Cluster::beside(&url).await;
    // The connections that are open lead where they led.
    world.store_line.as_ref().unwrap().forward_to(postgres::address(&moved_url));
    eventually("logins go to the other server", async || {
        world.visitor().try_browse(&world.idp, "/").await;
        postgres::sessions(&moved_url).await > 0
    })
    .await;
    let there = world.signed_in().await;
    let copy = there.copy().at(world.replicas[1].address);
    eventually("by each replica", async || copy.get("/").await.is_upstreams()).await;
    let renewed = async || there.fetch("/oauth2/userinfo").await.json()["renewals"] == 1;
    world.clock.advance(std::time::Duration::from_secs(301));
    eventually("tokens are refreshed", async || there.get("/").await.is_upstreams() && renewed().await).await;
    copy.copy().send(Method::POST, "/oauth2/sign_out", &[("origin", ACCESS)], "").await;
    eventually("the end is heard of", async || there.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    drop(moved);
}

#[tokio::test]
async fn a_server_that_takes_no_new_connections_is_no_outage_while_the_old_ones_work() {
    let world = World::build().on(Kind::Postgres).start().await;
    let (url, visitor) = (world.database_url(), world.signed_in().await);
    world.store_line.as_ref().unwrap().connect_in(std::time::Duration::from_secs(3600));
    let before = postgres::heartbeats(&url).await;
    // Past the time at which the heartbeat's connection would be made anew.
    eventually("heartbeats go on", async || postgres::heartbeats(&url).await > before + 14).await;
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["store"], "ok");
    assert!(visitor.get("/").await.is_upstreams());
}

/// A statement that waits for a lock must not keep its server process once nobody waits for it any more.
#[tokio::test]
async fn what_waits_for_a_lock_is_given_up_by_the_server_too() {
    for build in [World::build().on(Kind::Postgres), World::build().behind_pgbouncer(Pooling::Transaction)] {
        let world = build.start().await;
        let url = world.database_url();
        world.signed_in().await;
        let lock = postgres::held(&url, "BEGIN; LOCK TABLE grants IN SHARE MODE").await;
        let visitor = world.visitor();
        let login = path_of(&world.idp.authorize(&visitor.get("/").await.location()).await);
        let waiting = async || postgres::waiting(&url, "INSERT INTO grants%").await;
        let (reply, ()) = tokio::join!(visitor.get(&login), async {
            eventually("the login waits", async || waiting().await > 0).await;
        });
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        eventually("it is given up", async || waiting().await == 0).await;
        drop(lock);
        eventually("and logins go on", async || world.visitor().browse(&world.idp, "/").await.is_upstreams()).await;
    }
    eventually("the log says so", async || !lines_with(&["calls of the store time out"]).is_empty()).await;
}

#[tokio::test]
async fn the_forms_of_a_url_lead_to_the_database() {
    let (url, address) = postgres::fresh_database().await;
    let database = url.rsplit_once('/').unwrap().1;
    let directory = postgres::socket_directory(&url).await;
    let encoded = directory.replace('/', "%2F");
    let port = address.port();
    for form in [
        format!("postgres://postgres@/{database}?host={directory}&port={port}"),
        format!("postgres://postgres@{encoded}:{port}/{database}"),
        format!("postgresql://127.0.0.1:{port}/?user=postgres&dbname={database}&sslmode=disable&connect_timeout=5"),
        format!("postgres://postgres@127.0.0.1:{port}/{database}?options=-c%20statement_timeout%3D4000&keepalives=1"),
        format!("postgres://postgres@127.0.0.1:{port}/{database}?target_session_attrs=read-write"),
    ] {
        open(&form).now().await.unwrap_or_else(|error| panic!("{form}: {error:?}"));
    }
    assert_eq!(open(&url).condition(), Condition::Writable);
}

#[tokio::test]
async fn a_password_that_is_rotated_is_read_again_and_a_server_is_known_by_its_certificate() {
    let mut world = World::build().on_own_postgres().replicas(0).start().await;
    let url = world.database_url();
    let port = postgres::address(&url).port();
    let database = url.rsplit_once('/').unwrap().1;
    let files = tempfile::tempdir().unwrap();
    let (authority, password) = (files.path().join("ca.pem"), files.path().join("password"));
    std::fs::write(&authority, serve_tls(&url).await).unwrap();
    std::fs::write(&password, "first\n").unwrap();
    postgres::require_password(&url, "first").await;

    let through = |mode: &str, host: &str| {
        format!("postgres://rotating@{host}:{port}/{database}?sslmode={mode}&sslrootcert={}", authority.display())
    };
    world.change(&[
        ("pg_connection_url", &through("verify-full", "localhost")),
        ("pg_password_file", &password.display().to_string()),
    ]);
    world.add_replica().await;
    let visitor = world.signed_in().await;

    postgres::require_password(&url, "second").await;
    std::fs::write(&password, "second\n").unwrap();
    postgres::disconnect(&url).await;
    world.clock.advance(std::time::Duration::from_secs(301));
    eventually("a token refresh is saved over a connection with the new password", async || {
        visitor.get("/").await.is_upstreams() && world.idp.calls(Endpoint::Refresh) == 1
    })
    .await;

    let with_password = |mode: &str, host: &str| through(mode, host).replace("rotating@", "rotating:second@");
    for (mode, host, works) in [
        ("require", "127.0.0.1", true),
        ("verify-ca", "127.0.0.1", true),
        ("verify-full", "localhost", true),
        // The certificate is another host's.
        ("verify-full", "127.0.0.1", false),
    ] {
        assert_eq!(open(&with_password(mode, host)).now().await.is_ok(), works, "{mode} {host}");
    }
    let unknown =
        with_password("verify-full", "localhost").replace(&format!("sslrootcert={}", authority.display()), "sslrootcert=system");
    assert!(open(&unknown).now().await.is_err(), "nobody vouches for the server's authority");
}

/// Has a server speak TLS, and returns the authority of its certificate, which is for `localhost`.
async fn serve_tls(url: &str) -> String {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    postgres::serve_tls(url, &own.pem(), &key.serialize_pem()).await;
    certificate
}

#[tokio::test]
async fn a_role_with_rights_on_rows_alone_serves_once_the_owner_has_migrated() {
    let mut world = World::build().on_own_postgres().replicas(0).start().await;
    let url = world.database_url();
    postgres::make_serving_role(&url).await;
    let serving = url.replace("postgres@", "serving@");
    world.change(&[("pg_connection_url", &serving)]);
    world.add_replica().await;
    world.add_replica().await;
    let visitor = world.signed_in().await;
    world.clock.advance(std::time::Duration::from_secs(301));
    assert!(visitor.get("/").await.is_upstreams());
    let other = visitor.copy().at(world.replicas[1].address);
    assert!(other.get("/").await.is_upstreams());
    visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    eventually("the other replica hears of it", async || other.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_role_s_own_table_is_not_taken_for_that_of_the_announcements() {
    let world = World::build().on_own_postgres().start().await;
    let url = world.database_url();
    postgres::make_serving_role(&url).await;
    world.signed_in().await;
    let serving = url.replace("postgres@", "serving@");
    postgres::run(&serving, "CREATE TEMP TABLE changes (LIKE public.changes); DELETE FROM sessions").await;
    assert_eq!(postgres::announcements(&url).await, 1);
}

#[tokio::test]
async fn where_a_failover_could_lose_what_was_committed_a_start_says_so() {
    let _log = Log::capture();
    let cluster = Cluster::start_own().await;
    let (url, _) = cluster.fresh_database().await;
    let warnings = async || {
        open(&url).migrate().await.unwrap();
        lines_with(&["replication is asynchronous in this Postgres"]).len()
    };
    assert_eq!(warnings().await, 0, "there is no standby");
    cluster.start_standby();
    eventually("the standby is connected", async || postgres::replication(&url).await == "1 ").await;
    assert_eq!(warnings().await, 1);
    postgres::run(&url, "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    postgres::run(&url, "SELECT pg_reload_conf()").await;
    eventually("commits wait for it", async || postgres::replication(&url).await == "1 *").await;
    assert_eq!(warnings().await, 1, "nothing that was committed can be lost");
}

#[tokio::test]
async fn a_schema_that_may_not_be_changed_and_is_not_up_to_date_is_told() {
    let cluster = Cluster::start_own().await;
    let url = cluster.empty_database().await;
    postgres::make_serving_role(&url).await;
    let error = open(&url.replace("postgres@", "serving@")).migrate().await.unwrap_err();
    let told = evergate::telemetry::logs::causes(&error);
    assert!(told.contains("permission denied"), "{told}");
}

/// Nobody listens there.
const REFUSING: &str = "postgres://u:hunter2@127.0.0.1:9/d";

#[tokio::test]
async fn a_database_that_refuses_connections_is_told_of_as_that_by_every_command() {
    let mut world = World::build().on(Kind::Postgres).replicas(0).start().await;
    world.change(&[("pg_connection_url", REFUSING)]);
    let commands: [&[&str]; 4] = [&["sessions", "list"], &["sessions", "audit"], &["keys", "status"], &["migrate"]];
    for command in commands {
        let (code, said) = world.command(command).await;
        assert!(code == 69 && said.contains("Connection refused") && !said.contains("timed out"), "{command:?}: {code} {said}");
    }
}

#[tokio::test]
async fn a_script_can_tell_that_nobody_is_signed_in_from_a_database_that_is_away() {
    const VERBS: [&str; 4] = ["show", "why", "renew", "revoke"];
    let mut world = World::build().on(Kind::Postgres).start().await;
    for verb in VERBS {
        let (code, said) = world.command(&["sessions", verb, "nobody"]).await;
        assert!(code == 67 && said.contains("nobody by that name"), "{verb}: {code} {said}");
    }
    world.change(&[("pg_connection_url", REFUSING)]);
    for verb in VERBS {
        let (code, said) = world.command(&["sessions", verb, "nobody"]).await;
        assert!(code == 69 && said.contains("Connection refused"), "{verb}: {code} {said}");
    }
}

#[tokio::test]
async fn a_command_at_an_empty_database_names_evergate_migrate() {
    let cluster = Cluster::start_own().await;
    let mut world = World::build().on(Kind::Postgres).replicas(0).start().await;
    world.change(&[("pg_connection_url", &cluster.empty_database().await)]);
    let commands: [&[&str]; 4] =
        [&["sessions", "list"], &["sessions", "restored"], &["sessions", "revoke", "ann"], &["keys", "status"]];
    for command in commands {
        let (code, said) = world.command(command).await;
        assert!(code == 69 && said.contains("`evergate migrate` comes first"), "{command:?}: {code} {said}");
        assert!(!said.contains("at line"), "the line of Postgres' own source is of no use: {said}");
    }
    assert_eq!(world.command(&["migrate"]).await.0, 0);
    let (code, said) = world.command(&["sessions", "list"]).await;
    assert_eq!(code, 0, "{said}");
}
