//! Behind a pooler: no statement's name outlives its transaction, no session's state is relied upon, and a listener that hears
//! nothing is known to.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    ACCESS, Builder, Kind, World, eventually::eventually, idp::Endpoint, logs::lines_with, pgbouncer::Pooling, postgres,
};

const EXPIRED: Duration = Duration::from_secs(301);
const REVOCATION_SECRET: &str = "a-secret-of-a-security-tool-0123456789";

async fn hears_by(world: &World, replica: usize, voice: &str) {
    eventually(&format!("replica {replica} hears by {voice}"), async || {
        world.visitor().at(world.replicas[replica].address).get("/oauth2/readyz").await.json()["announcements"] == voice
    })
    .await;
}

/// Users log in and have their tokens refreshed, on two replicas; a session that ends on one is refused by the other.
async fn serves_users(world: &World) {
    let other = world.replicas[1].address;
    for _ in 0..6 {
        let visitor = world.signed_in().await;
        // With cookies of its own, which signing out does not take away.
        let copy = visitor.copy().at(other);
        assert!(copy.get("/").await.is_upstreams());
        let calls = world.idp.calls(Endpoint::Refresh);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams() && copy.get("/").await.is_upstreams());
        assert_eq!(world.idp.calls(Endpoint::Refresh), calls + 1);
        let signed_out = visitor.send(Method::POST, "/oauth2/sign_out", &[("origin", ACCESS)], "").await;
        assert!(signed_out.status.is_redirection() || signed_out.status == StatusCode::OK, "{}", signed_out.text());
        // What is in memory counts for half a second where no change is heard of, by a clock that stands otherwise.
        world.clock.advance(Duration::from_millis(500));
        eventually("the other replica refuses the session", async || copy.fetch("/").await.status == StatusCode::UNAUTHORIZED)
            .await;
    }
}

/// The same on two new replicas, which listen for notifications there and hear by this voice.
async fn serves_two_replicas_that_listen_at(world: &mut World, listen_url: &str, voice: &str) {
    world.change(&[("pg_listen_url", listen_url)]);
    for replica in 0..2 {
        world.add_replica().await;
        hears_by(world, replica, voice).await;
    }
    serves_users(world).await;
}

#[tokio::test]
async fn in_transaction_mode_changes_are_polled_for() {
    let world = World::build().behind_pgbouncer(Pooling::Transaction).replicas(2).start().await;
    hears_by(&world, 0, "polling").await;
    hears_by(&world, 1, "polling").await;
    eventually("a metric tells", async || world.metric(0, "evergate_store_announcements{voice=\"polling\"}") == 1.0).await;
    serves_users(&world).await;
}

#[tokio::test]
async fn in_session_mode_notifications_arrive_where_they_are_told_to_be_listened_for() {
    let mut world = World::build().behind_pgbouncer(Pooling::Session).set("pg_conn_max_open", "1").replicas(0).start().await;
    let through = world.store_line.as_ref().unwrap().address;
    let same = format!("postgres://postgres@{through}/{}", world.database_url().rsplit_once('/').unwrap().1);
    serves_two_replicas_that_listen_at(&mut world, &same, "notifications").await;
}

#[tokio::test]
async fn notifications_are_listened_for_at_an_address_of_their_own() {
    let mut world = World::build().behind_pgbouncer(Pooling::Transaction).replicas(0).start().await;
    let direct = world.database_url();
    serves_two_replicas_that_listen_at(&mut world, &direct, "notifications").await;
}

/// Two replicas of which neither hears of changes.
async fn unheard(build: Builder) -> World {
    let mut world = build.behind_pgbouncer(Pooling::Transaction).deaf().replicas(0).start().await;
    let url = world.database_url();
    postgres::make_serving_role(&url).await;
    postgres::run(&url, "REVOKE ALL ON changes FROM serving").await;
    let through = world.store_line.as_ref().unwrap().address;
    let database = url.rsplit_once('/').unwrap().1;
    world.change(&[("pg_connection_url", &format!("postgres://serving@{through}/{database}"))]);
    world.add_replica().await;
    world.add_replica().await;
    hears_by(&world, 0, "none").await;
    world
}

#[tokio::test]
async fn a_replica_that_hears_of_nothing_but_its_own_many_changes_learns_of_a_user_who_was_ended() {
    let routes = |_: &str| "[[route]]\npath = \"/api\"\nbearer_tokens = [\"provider\"]\n".to_owned();
    let world = unheard(World::build().routes(routes).set("oidc_revocation_secret", REVOCATION_SECRET)).await;
    let token = world.idp.signed_access_token(&format!("{ACCESS}/api"), json!({"sub": "sub-gone"}), json!({}));
    let bearer = format!("Bearer {token}");
    let call = async || world.visitor().send(Method::GET, "/api", &[("authorization", bearer.as_str())], "").await.status;
    assert_eq!(call().await, StatusCode::OK);
    let secret = format!("Bearer {REVOCATION_SECRET}");
    let lines = [("authorization", secret.as_str()), ("content-type", "application/json")];
    let named = json!({"sub_id": {"format": "iss_sub", "iss": world.idp.issuer(), "sub": "sub-gone"}}).to_string();
    let busy = async {
        loop {
            // The end of a session is a change that a replica tells itself of.
            world.signed_in().await.send(Method::POST, "/oauth2/sign_out", &[("origin", ACCESS)], "").await;
        }
    };
    let ended = async {
        let other = world.visitor().at(world.replicas[1].address);
        let done = other.send(Method::POST, "/oauth2/global_token_revocation", &lines, &named).await;
        assert_eq!(done.status, StatusCode::NO_CONTENT, "{}", done.text());
        eventually("the token is refused", async || call().await == StatusCode::UNAUTHORIZED).await;
    };
    tokio::select! {
        () = busy => {}
        () = ended => {}
    }
}

#[tokio::test]
async fn where_neither_notifications_nor_polling_work_the_database_is_asked() {
    let world = unheard(World::build()).await;
    serves_users(&world).await;
    eventually("the log tells", async || !lines_with(&["changes of other replicas are not heard of"]).is_empty()).await;
}

#[tokio::test]
async fn where_notifications_are_listened_for_at_another_database_changes_are_polled_for() {
    let mut world = World::build().on(Kind::Postgres).replicas(0).start().await;
    let (elsewhere, _) = postgres::fresh_database().await;
    serves_two_replicas_that_listen_at(&mut world, &elsewhere, "polling").await;
}
