//! A database that goes back in time: a failover to a standby that lagged, or a restored backup, played by copies of the tables.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::{
    ACCESS, Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour},
    logs::lines_with,
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);
const OWN: [(&str, &str); 2] = [("sec-fetch-site", "same-origin"), ("accept", "text/html")];
const ROLLBACKS: &str = "evergate_store_rollbacks_total";
const PUT_RIGHT: &str = "evergate_store_put_right_total";

/// Remembers the database as it is now.
async fn take_copy(world: &World) {
    for statement in ["CREATE TABLE saved_grants AS TABLE grants", "CREATE TABLE saved_sessions AS TABLE sessions"] {
        world.sql(statement).await;
    }
}

/// Gives the tables back what they had when they were copied.
const REWIND: [&str; 6] = [
    "DELETE FROM grants WHERE id NOT IN (SELECT id FROM saved_grants)",
    "INSERT INTO grants SELECT * FROM saved_grants ON CONFLICT DO NOTHING",
    "INSERT INTO sessions SELECT * FROM saved_sessions ON CONFLICT DO NOTHING",
    "UPDATE grants SET access_token = saved.access_token, refresh_token = saved.refresh_token, id_token = saved.id_token, \
     expires_at = saved.expires_at, renewed_at = saved.renewed_at, generation = saved.generation, rotation = saved.rotation, \
     attempt = saved.attempt, attempt_owner = saved.attempt_owner, lease_until = saved.lease_until, \
     last_attempt = saved.last_attempt, presented = saved.presented, presented_at = saved.presented_at \
     FROM saved_grants AS saved WHERE grants.id = saved.id",
    "DELETE FROM ended_users",
    "UPDATE replicas SET beats = GREATEST(beats - 5, 0)",
];

/// The database is away, and when it is back it is as it was when the copy was taken.
async fn go_back(world: &World) {
    let line = world.store_line.as_ref().unwrap();
    line.cut();
    for replica in &world.replicas {
        let there = world.visitor().at(replica.address);
        let state = async || there.get("/oauth2/readyz").await.json()["store"].clone();
        eventually("the store is away", async || state().await == "unavailable").await;
    }
    for statement in REWIND {
        world.sql(statement).await;
    }
    line.mend();
}

async fn renewals(visitor: &Visitor) -> i64 {
    visitor.fetch("/oauth2/userinfo").await.json()["renewals"].as_i64().unwrap_or_default()
}

#[tokio::test]
async fn renewals_that_the_database_forgot_are_put_right_and_no_spent_token_is_presented_by_any_replica() {
    let world = World::build().replicas(2).set("oidc_outage_grace", "1h").start().await;
    let visitor = world.signed_in().await;
    let elsewhere = visitor.at(world.replicas[1].address);
    take_copy(&world).await;
    for renewed in 1..=2 {
        world.clock.advance(EXPIRED);
        eventually("it is renewed", async || visitor.get("/").await.is_upstreams() && renewals(&visitor).await == renewed).await;
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
    go_back(&world).await;
    // The replica that renewed nothing itself is asked alone: it has only the row to go by.
    world.clock.advance(EXPIRED);
    eventually("the grant is renewed from where it was", async || {
        elsewhere.get("/").await.is_upstreams() && renewals(&elsewhere).await == 3
    })
    .await;
    assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.reuses(), world.idp.prompts()), (3, 0, 1));
    assert_eq!(world.metric(0, PUT_RIGHT), 1.0);
    assert_eq!((world.metric(0, ROLLBACKS), world.metric(1, ROLLBACKS)), (1.0, 1.0), "each replica says it once");
    assert!(lines_with(&["the database is older than what was committed"]).len() >= 2);
    eventually("what was done is said", async || !lines_with(&["is put right", "\"grants.put_right\":1"]).is_empty()).await;
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_row_that_is_older_than_what_a_replica_knows_is_put_right_even_if_nothing_else_shows_it() {
    let world = World::build().replicas(1).start().await;
    let visitor = world.signed_in().await;
    take_copy(&world).await;
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    // The heartbeats are all there.
    world
        .sql(
            "UPDATE grants SET access_token = saved.access_token, refresh_token = saved.refresh_token, \
             expires_at = saved.expires_at, generation = saved.generation FROM saved_grants AS saved WHERE grants.id = saved.id",
        )
        .await;
    world.clock.advance(EXPIRED);
    eventually("it is renewed", async || visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 2).await;
    assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.reuses(), world.idp.prompts()), (2, 0, 1));
    assert_eq!(world.metric(0, PUT_RIGHT), 1.0);
}

#[tokio::test]
async fn a_replica_whose_heartbeat_has_not_noticed_yet_presents_no_token_to_a_database_that_went_back() {
    let world = World::build().on(Kind::Postgres).replicas(2).set("oidc_outage_grace", "1h").start().await;
    let visitor = world.signed_in().await;
    let elsewhere = visitor.at(world.replicas[1].address);
    assert!(elsewhere.get("/").await.is_upstreams());
    take_copy(&world).await;
    world.clock.advance(EXPIRED);
    eventually("it is renewed", async || visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 1).await;
    // Heartbeats wait, and the database goes back without an outage.
    world
        .sql(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$",
        )
        .await;
    world.sql("CREATE TRIGGER wait BEFORE INSERT ON replicas FOR EACH STATEMENT EXECUTE FUNCTION wait()").await;
    let mut holder = PgConnection::connect(&world.database_url()).await.unwrap();
    holder.execute("SELECT pg_advisory_lock(1)").await.unwrap();
    for statement in REWIND {
        holder.execute(statement).await.unwrap();
    }
    world.clock.advance(EXPIRED);
    let _stale = elsewhere.get("/").await;
    assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.reuses()), (1, 0));
    holder.close().await.unwrap();
    eventually("the grant is renewed from where it was", async || {
        elsewhere.get("/").await.is_upstreams() && renewals(&elsewhere).await == 2
    })
    .await;
    assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.reuses(), world.idp.prompts()), (2, 0, 1));
}

#[tokio::test]
async fn a_row_that_can_never_be_put_right_holds_up_no_repair() {
    let world = World::build().on(Kind::Postgres).set("oidc_outage_grace", "1h").start().await;
    let (broken, whole) = (world.signed_in().await, world.signed_in().await);
    take_copy(&world).await;
    world.clock.advance(EXPIRED);
    for visitor in [&broken, &whole] {
        eventually("it is renewed", async || visitor.get("/").await.is_upstreams() && renewals(visitor).await == 1).await;
    }
    // Whoever can write to the database has it refuse one of the rows.
    world
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE undefined_table; END $$",
        )
        .await;
    world
        .sql(
            "DO $$ BEGIN EXECUTE format('CREATE TRIGGER refuse BEFORE UPDATE ON grants FOR EACH ROW WHEN (OLD.id = %L AND NEW.generation \
             = 1) EXECUTE FUNCTION refuse()', (SELECT id FROM grants ORDER BY created_at, id LIMIT 1)); END $$",
        )
        .await;
    go_back(&world).await;
    eventually("the other is put right", async || world.metric(0, PUT_RIGHT) >= 1.0).await;
    eventually("the repair ends", async || !lines_with(&["is put right", "\"grants.failed\":1"]).is_empty()).await;
}

#[tokio::test]
async fn a_grant_that_was_renewed_on_or_ended_by_others_is_left_alone() {
    let world = World::build().replicas(2).start().await;
    let visitor = world.signed_in().await;
    let elsewhere = visitor.at(world.replicas[1].address);
    for (renewed, replica) in [(1, &visitor), (2, &elsewhere), (3, &visitor)] {
        world.clock.advance(EXPIRED);
        eventually("it is renewed", async || replica.get("/").await.is_upstreams() && renewals(replica).await == renewed).await;
    }
    assert_eq!((world.idp.calls(Endpoint::Refresh), renewals(&elsewhere).await), (3, 3));
    elsewhere.send(Method::POST, "/oauth2/sign_out", &OWN, "").await;
    eventually("it has ended here too", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    assert_eq!(world.metric(0, PUT_RIGHT) + world.metric(1, PUT_RIGHT), 0.0);
    assert_eq!(world.metric(0, ROLLBACKS) + world.metric(1, ROLLBACKS), 0.0);
}

#[tokio::test]
async fn an_intent_that_the_database_forgot_is_written_again_before_another_replica_presents_its_token() {
    let world = World::build().replicas(2).set("oidc_token_timeout", "10m").set("oidc_outage_grace", "1h").start().await;
    let visitor = world.signed_in().await;
    let elsewhere = visitor.at(world.replicas[1].address);
    take_copy(&world).await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let waiting = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.get("/").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    go_back(&world).await;
    eventually("the intent is there again", async || world.metric(0, PUT_RIGHT) == 1.0).await;
    world.idp.behave(Endpoint::Refresh);
    let _first = waiting.await.unwrap();
    eventually("it is renewed", async || elsewhere.get("/").await.is_upstreams() && renewals(&elsewhere).await == 1).await;
    assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.reuses(), world.idp.prompts()), (1, 0, 1));
}

#[tokio::test]
async fn a_renewal_that_waits_to_be_saved_is_not_lost_with_the_one_before() {
    let world = World::build().replicas(2).set("oidc_token_timeout", "10m").set("oidc_outage_grace", "1h").start().await;
    let visitor = world.signed_in().await;
    let elsewhere = visitor.at(world.replicas[1].address);
    take_copy(&world).await;
    // One replica renews the grant, and another presents the token that this brought.
    world.clock.advance(EXPIRED);
    eventually("it is renewed", async || elsewhere.get("/").await.is_upstreams() && renewals(&elsewhere).await == 1).await;
    eventually("the other hears of it", async || renewals(&visitor).await == 1).await;
    world.clock.advance(EXPIRED);
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    let waiting = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.get("/").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 2).await;
    world.store_line.as_ref().unwrap().cut();
    world.idp.behave(Endpoint::Refresh);
    eventually("its answer waits", async || !lines_with(&["renewed tokens cannot be saved yet"]).is_empty()).await;
    go_back(&world).await;
    let _first = waiting.await.unwrap();
    eventually("both are there", async || visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 2).await;
    world.clock.advance(EXPIRED);
    eventually("the next one too", async || elsewhere.get("/").await.is_upstreams() && renewals(&elsewhere).await == 3).await;
    assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.reuses(), world.idp.prompts()), (3, 0, 1));
}

#[tokio::test]
async fn sessions_whose_end_the_database_forgot_are_ended_again() {
    let world = World::build().replicas(1).start().await;
    let (signed_out, revoked, stays) = (world.signed_in().await, world.signed_in().await, world.signed_in().await);
    let stolen = signed_out.copy();
    take_copy(&world).await;
    signed_out.send(Method::POST, "/oauth2/sign_out", &OWN, "").await;
    let hash = evergate::session::SessionHash::of(&revoked.session().unwrap()).short();
    let (code, text) = world.command(&["sessions", "revoke", &hash]).await;
    assert_eq!(code, 0, "{text}");
    let remembered = "evergate_store_remembered{record=\"session\"} 2";
    eventually("both ends are remembered", async || world.replicas[0].metrics.render().unwrap().contains(remembered)).await;
    go_back(&world).await;
    for ended in [&stolen, &revoked] {
        eventually("it is ended again", async || ended.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    }
    eventually("it goes on", async || stays.get("/").await.is_upstreams()).await;
    assert_eq!(world.idp.prompts(), 1);
    eventually("what was done is said", async || !lines_with(&["is put right", "\"sessions.ended_again\":2"]).is_empty()).await;
    eventually("both ends are told, whose first events the database may have forgotten", async || {
        let (_, why) = world.command(&["sessions", "why", "ann"]).await;
        why.matches("had ended before the database went back in time").count() == 2
    })
    .await;
}

#[tokio::test]
async fn users_whose_end_the_database_forgot_are_ended_again_on_every_replica() {
    const SECRET: &str = "a-secret-of-a-security-tool-0123456789";
    let routes = "[[route]]\npath = \"/api\"\nbearer_tokens = [\"provider\"]\n";
    let settings = World::build().routes(|_| routes.to_owned()).replicas(2);
    let world = settings.set("oidc_revocation_secret", SECRET).set("scim_auth_header", SECRET).start().await;
    let token = world.idp.signed_access_token(&format!("{ACCESS}/api"), json!({"sub": "sub-bob"}), json!({}));
    let (bearer, secret) = (format!("Bearer {token}"), format!("Bearer {SECRET}"));
    let call = async |replica: usize| {
        let there = world.visitor().at(world.replicas[replica].address);
        there.send(Method::GET, "/api", &[("authorization", bearer.as_str())], "").await.status
    };
    assert_eq!((call(0).await, call(1).await), (StatusCode::OK, StatusCode::OK));
    take_copy(&world).await;
    let told = [("authorization", secret.as_str()), ("content-type", "application/json")];
    let bob = json!({"sub_id": {"format": "iss_sub", "iss": world.idp.issuer(), "sub": "sub-bob"}}).to_string();
    let done = world.visitor().send(Method::POST, "/oauth2/global_token_revocation", &told, &bob).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT, "{}", done.text());
    let ann = json!({"userName": "ann@example.com", "externalId": "sub-ann", "active": false}).to_string();
    let done = world.visitor().send(Method::POST, "/oauth2/scim/v2/Users", &told, &ann).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text());
    for replica in 0..2 {
        eventually("the token is refused", async || call(replica).await == StatusCode::UNAUTHORIZED).await;
    }
    go_back(&world).await;
    eventually("each replica has put right what it remembers", async || {
        lines_with(&["is put right", "\"users.ended_again\":"]).len() >= 2
    })
    .await;
    for replica in 0..2 {
        eventually("the token is refused again", async || call(replica).await == StatusCode::UNAUTHORIZED).await;
    }
    world.clock.advance(Duration::from_secs(10));
    let refused = world.visitor().try_browse(&world.idp, "/").await.unwrap();
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
}
