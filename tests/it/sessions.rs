//! How long sessions live, on both stores.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    Builder, Database, Kind, World,
    eventually::eventually,
    idp::{Endpoint, user},
    visitor::Visitor,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A world in which no sweep takes a session away before a request meets its limit.
fn unswept() -> Builder {
    World::build().timed(|timings| timings.housekeeping_interval = 1000 * HOUR)
}

async fn reason(visitor: &Visitor) -> serde_json::Value {
    let reply = visitor.fetch("/").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{}", reply.text());
    reply.json()["reason"].clone()
}

#[tokio::test]
async fn a_session_that_is_used_lives_on_and_one_that_is_idle_ends() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = unswept().on(kind).set("session_duration", "2h").start().await;
        let visitor = world.signed_in().await;
        for _ in 0..4 {
            world.clock.advance(HOUR);
            let reply = visitor.fetch("/").await;
            assert!(reply.is_upstreams(), "{kind:?}: {} {}", reply.status, reply.text());
        }
        world.clock.advance(2 * HOUR + Duration::from_secs(61));
        assert_eq!(reason(&visitor).await, json!("session_expired"), "{kind:?}");
    }
}

#[tokio::test]
async fn a_session_ends_at_its_absolute_limit_however_much_it_is_used() {
    let world = unswept().set("session_max_duration", "3h").start().await;
    let visitor = world.signed_in().await;
    for _ in 0..2 {
        world.clock.advance(HOUR);
        assert!(visitor.get("/").await.is_upstreams());
    }
    world.clock.advance(HOUR);
    assert_eq!(reason(&visitor).await, json!("session_expired"));
}

#[tokio::test]
async fn without_expiry_refresh_a_session_ends_when_it_was_told_to() {
    let world = unswept().set("session_duration", "2h").set("disable_session_expiry_refresh", "true").start().await;
    let visitor = world.signed_in().await;
    world.clock.advance(2 * HOUR - Duration::from_secs(1));
    assert!(visitor.get("/").await.is_upstreams());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(reason(&visitor).await, json!("session_expired"));
}

#[tokio::test]
async fn a_session_that_was_used_through_one_replica_is_not_idle_at_another() {
    let mut world = World::build().replicas(2).set("session_duration", "2h").start().await;
    let visitor = world.signed_in().await;
    let other = visitor.at(world.replicas[1].address);
    assert!(other.get("/").await.is_upstreams());
    world.clock.advance(HOUR + HOUR / 2);
    assert!(visitor.get("/").await.is_upstreams());
    // What the first replica saw is written at the latest when it stops.
    assert!(world.replicas.remove(0).stop().await);
    world.clock.advance(HOUR);
    assert!(other.get("/").await.is_upstreams());
}

#[tokio::test]
async fn sessions_outlive_a_restart_and_a_crash() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        world.restart_with(&[]).await;
        assert!(visitor.at(world.address()).get("/").await.is_upstreams(), "{kind:?}");
        world.replicas.remove(0).abort();
        world.add_replica().await;
        assert!(visitor.at(world.address()).get("/").await.is_upstreams(), "{kind:?}");
    }
}

#[tokio::test]
async fn sessions_outlive_a_change_of_the_cookie_s_name() {
    let mut world = World::start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("cookie_name", "staff"), ("cookie_former_names", "evergate, first")]).await;
    let there = visitor.at(world.address());
    assert!(there.get("/").await.is_upstreams());
    assert!(!world.upstream.last().header("cookie").unwrap_or_default().contains("session"));
    there.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(there.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn no_token_stands_in_the_database_as_it_is() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        world.clock.advance(HOUR);
        visitor.get("/").await;
        let dump = match &world.database {
            Database::Postgres { url } => {
                let output = std::process::Command::new("pg_dump").arg(url).output().unwrap();
                assert!(output.status.success());
                output.stdout
            }
            Database::Sqlite { directory } => {
                let files = std::fs::read_dir(directory.path())
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .filter(|path| path.extension().is_none_or(|kind| kind != "key"));
                files.flat_map(|path| std::fs::read(path).unwrap()).collect()
            }
        };
        // What is no UTF-8 is replaced, and no token is that.
        let dump = String::from_utf8_lossy(&dump);
        let holds = |text: &str| dump.contains(text);
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert!(holds("sub-ann"), "{kind:?}: the dump is a dump");
        for secret in world.idp.secrets().iter().chain(visitor.session().iter()) {
            assert!(!holds(secret) && !holds(&hex(secret)), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_copied_to_another_row_does_not_open() {
    let world = World::build().on(Kind::Postgres).start().await;
    let (first, second) = (world.signed_in().await, world.signed_in().await);
    world.sql("UPDATE grants SET access_token = (SELECT access_token FROM grants ORDER BY id LIMIT 1)").await;
    let statuses = [first.get("/").await.status, second.get("/").await.status];
    assert_eq!(statuses, [StatusCode::OK; 2]);
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "a value copied to another row does not decrypt, and is replaced");
}

#[tokio::test]
async fn expired_rows_are_swept() {
    let mut world = World::build().on(Kind::Postgres).set("session_duration", "1h").start().await;
    for _ in 0..3 {
        world.signed_in().await;
    }
    world.clock.advance(3 * HOUR);
    let fresh = world.signed_in().await;
    // A gateway sweeps when it starts, and then now and again.
    world.add_replica().await;
    let metrics = world.replicas[1].metrics.clone();
    world.add_replica().await;
    let last = world.replicas[2].metrics.clone();
    eventually("one session is left", async || {
        metrics.render().unwrap().contains("evergate_sessions 1\n") || last.render().unwrap().contains("evergate_sessions 1\n")
    })
    .await;
    assert!(fresh.get("/").await.is_upstreams());
}

#[tokio::test]
async fn the_files_of_the_embedded_store_are_their_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::start().await;
    world.signed_in().await;
    let Database::Sqlite { directory } = &world.database else { panic!("SQLite is the default") };
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

/// One connection of HTTP/1.1, over which several browsers speak, as through a proxy before us.
struct Shared(hyper::client::conn::http1::SendRequest<http_body_util::Empty<bytes::Bytes>>);

impl Shared {
    async fn to(world: &World) -> Self {
        let stream = tokio::net::TcpStream::connect(world.address()).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn status(&mut self, cookie: &str) -> StatusCode {
        let request = http::Request::get("/").header("host", "app.test").header("cookie", cookie);
        self.0.ready().await.unwrap();
        let response = self.0.send_request(request.body(http_body_util::Empty::new()).unwrap()).await.unwrap();
        let status = response.status();
        http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        status
    }
}

#[tokio::test]
async fn on_one_connection_everybody_is_who_their_cookie_says_and_for_no_longer_than_they_are() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).set("pass_access_token", "true").start().await;
        let [ann, bob] = ["ann", "bob"].map(|name| Visitor::of(world.address(), user(name)));
        ann.log_in(&world.idp, "/").await;
        bob.log_in(&world.idp, "/").await;
        let [as_ann, as_bob] = [&ann, &bob].map(Visitor::cookie_header);
        let mut shared = Shared::to(&world).await;
        for _ in 0..3 {
            for (cookie, name) in [(&as_ann, "sub-ann"), (&as_ann, "sub-ann"), (&as_bob, "sub-bob")] {
                assert_eq!(shared.status(cookie).await, StatusCode::OK, "{kind:?}");
                assert_eq!(world.upstream.last().header("x-forwarded-user"), Some(name));
            }
            assert_eq!(shared.status("theme=dark").await, StatusCode::UNAUTHORIZED);
        }
        // What is known of somebody is as new as if they had come for the first time.
        assert_eq!(shared.status(&as_bob).await, StatusCode::OK);
        let before = world.upstream.last().header("x-forwarded-access-token").map(str::to_owned);
        world.clock.advance(Duration::from_secs(301));
        assert_eq!(shared.status(&as_bob).await, StatusCode::OK);
        assert_ne!(world.upstream.last().header("x-forwarded-access-token").map(str::to_owned), before, "{kind:?}");
        // Ended over another connection.
        assert_eq!(shared.status(&as_bob).await, StatusCode::OK);
        bob.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
        eventually("bob is out", async || shared.status(&as_bob).await == StatusCode::UNAUTHORIZED).await;
        // A limit is reached without anybody's saying so.
        assert_eq!(shared.status(&as_ann).await, StatusCode::OK);
        world.clock.advance(400 * 24 * HOUR);
        assert_eq!(shared.status(&as_ann).await, StatusCode::UNAUTHORIZED);
    }
}
