//! Renewal when things go wrong: nobody is logged out by anything but a dead grant.

mod lost_answers;
mod outages;

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::harness::{
    Kind, World,
    eventually::{eventually, settled},
    idp::{Endpoint, Misbehaviour, Rotation},
    logs::lines_with,
    visitor::Visitor,
};

const SOFT: Duration = Duration::from_secs(280);
const EXPIRED: Duration = Duration::from_secs(301);
/// A preset whose tokens are known to stay good: of others that is not believed before a renewal has shown it.
const REUSABLE: &str = "entra";
const GRACE: Duration = Duration::from_secs(3600);

/// Goes on as a user's page would by its scripts, while time passes, until the grant has been renewed so often.
async fn comes_back(world: &World, visitor: &Visitor, renewals: i64) {
    eventually("the grant is renewed", async || {
        world.clock.advance(Duration::from_secs(1));
        assert!(visitor.fetch("/").await.is_upstreams());
        visitor.fetch("/oauth2/userinfo").await.json()["renewals"].as_i64().unwrap() >= renewals
    })
    .await;
}

fn answers(status: u16, body: &str) -> Misbehaviour {
    Misbehaviour::Answer(status, body.to_owned(), vec![])
}

/// RF-10: the provider answers `invalid_grant`.
#[tokio::test]
async fn a_dead_grant_is_ended_once_and_never_tried_again() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    let script = visitor.fetch("/").await;
    assert_eq!((script.status, script.json()["reason"].clone()), (StatusCode::UNAUTHORIZED, json!("grant_dead")));
    for _ in 0..5 {
        assert_eq!(visitor.get("/").await.status, StatusCode::SEE_OTHER, "a navigation goes to the provider by itself");
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
    let lines = lines_with(&[world.idp.issuer(), "failed to renew OIDC token: invalid_grant"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    visitor.log_in(&world.idp, "/").await;
    assert!(visitor.get("/").await.is_upstreams());
}

/// RF-11: the provider refuses the client (`invalid_client` and its like).
#[tokio::test]
async fn a_wrong_client_secret_is_the_administrator_s_problem_and_not_the_users() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.change_secret("rotated");
    world.clock.advance(EXPIRED);
    for _ in 0..10 {
        assert!(visitor.get("/").await.is_upstreams(), "served within the grace");
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "one probe a minute");
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["client"], "refused");
    assert!(world.replicas[0].metrics.render().unwrap().contains("evergate_client_config_error 1"));
    assert_eq!(lines_with(&[world.idp.issuer(), "failed to renew OIDC token: invalid_client"]).len(), 1);
    world.idp.change_secret(crate::harness::idp::CLIENT_SECRET);
    world.clock.advance(Duration::from_secs(61));
    comes_back(&world, &visitor, 1).await;
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["client"], "ok");
}

/// RF-15: a response that cannot be read: HTML, empty, truncated, too large, a redirect, without end.
#[tokio::test]
async fn answers_that_no_one_can_read_lose_no_session() {
    let oddities = [
        answers(200, ""),
        answers(200, "<html>"),
        answers(200, "[]"),
        answers(200, "{\"access_token\":"),
        answers(200, "{}"),
        Misbehaviour::Answer(302, String::new(), vec![("location", "http://127.0.0.1:1/")]),
        answers(404, ""),
        answers(400, "nonsense"),
        answers(418, "{\"error\":{}}"),
        Misbehaviour::Endless,
    ];
    for oddity in oddities {
        let what = format!("{oddity:?}");
        let world = World::build().set("oidc_preset", REUSABLE).start_with(|idp| idp.rotate_as(Rotation::Reusable)).await;
        let visitor = world.signed_in().await;
        world.idp.misbehave(Endpoint::Refresh, oddity);
        world.clock.advance(SOFT);
        assert!(visitor.get("/").await.is_upstreams(), "{what}");
        eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
        world.idp.behave(Endpoint::Refresh);
        world.clock.advance(Duration::from_secs(120));
        comes_back(&world, &visitor, 1).await;
    }
}

/// RF-19: the store is away.
#[tokio::test]
async fn while_the_store_is_away_nothing_is_presented_and_nobody_is_logged_out() {
    let world = World::build().on(Kind::Postgres).set("store_outage_grace", "0").start().await;
    let visitor = world.signed_in().await;
    world.store_line.as_ref().unwrap().cut();
    world.clock.advance(EXPIRED);
    eventually("requests are told to wait", async || visitor.get("/").await.status == StatusCode::SERVICE_UNAVAILABLE).await;
    let refused = visitor.get("/").await;
    assert!(!refused.header("retry-after").is_empty() && refused.set_cookies().is_empty());
    assert_eq!(visitor.fetch("/").await.status, StatusCode::SERVICE_UNAVAILABLE, "not a 401");
    assert_eq!(world.idp.calls(Endpoint::Refresh), 0, "no token is presented whose successor could not be saved");
    let unready = async || visitor.get("/oauth2/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE;
    eventually("the heartbeat has found out", unready).await;
    assert_eq!(visitor.get("/oauth2/healthz").await.status, StatusCode::OK);
    world.store_line.as_ref().unwrap().mend();
    eventually("the same session is served", async || visitor.get("/").await.is_upstreams()).await;
}

/// RF-20: whether the store has committed the new tokens is unknown.
#[tokio::test]
async fn tokens_that_arrive_while_the_store_is_away_are_saved_when_it_is_back() {
    let world = World::build().on(Kind::Postgres).start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let waiting = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.get("/").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    world.store_line.as_ref().unwrap().cut();
    world.idp.behave(Endpoint::Refresh);
    eventually("the answer could not be saved", async || !lines_with(&["renewed tokens cannot be saved yet"]).is_empty()).await;
    world.store_line.as_ref().unwrap().mend();
    let _first = waiting.await.unwrap();
    eventually("the renewal is kept", async || visitor.get("/").await.is_upstreams()).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "the refresh token is presented once");
    world.clock.advance(EXPIRED);
    // Until the first one is saved, nothing else is presented.
    eventually("the next one too", async || visitor.get("/").await.is_upstreams() && world.idp.calls(Endpoint::Refresh) == 2)
        .await;
}

/// RF-27: very many access tokens expire at the same time.
#[tokio::test]
async fn renewals_of_many_grants_are_bounded() {
    let world = World::build().set("oidc_max_concurrent_renewals", "3").start().await;
    let mut visitors = Vec::new();
    for _ in 0..20 {
        visitors.push(world.signed_in().await);
    }
    world.idp.start_counting_at_once();
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let requests: Vec<_> = visitors.into_iter().map(|visitor| tokio::spawn(async move { visitor.get("/").await })).collect();
    eventually("the provider is asked for several", async || world.idp.at_once() == 3).await;
    settled().await;
    world.idp.behave(Endpoint::Refresh);
    for request in requests {
        assert!(request.await.unwrap().is_upstreams());
    }
    eventually("all are renewed", async || world.idp.calls(Endpoint::Refresh) == 20).await;
    assert_eq!(world.idp.most_at_once(), 3, "the number of concurrent renewals is bounded");
}

/// RF-23: the clocks of Evergate and of the provider differ.
#[tokio::test]
async fn what_cannot_be_judged_at_a_renewal_ends_no_grant() {
    type Edit = fn(&mut serde_json::Value);
    let untimely: Edit = |claims| claims["iat"] = json!(claims["iat"].as_i64().unwrap() + 3600);
    let expired: Edit = |claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 3600);
    for (what, edit) in [("our clock is behind", untimely), ("our clock is ahead", expired)] {
        let world = World::start().await;
        let visitor = world.signed_in().await;
        world.idp.edit_id_token(edit);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "{what}");
        assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("sub-ann"), "{what}");
    }
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.edit_userinfo(|claims| *claims = json!({"error": "temporarily_unavailable"}));
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert!(world.idp.has_live_refresh_token(), "and nothing is revoked");
}

#[tokio::test]
async fn one_grant_s_odd_answer_stops_no_other() {
    let world = World::start().await;
    let (odd, other) = (world.signed_in().await, world.signed_in().await);
    world.idp.misbehave(Endpoint::Refresh, answers(400, r#"{"error":"invalid_scope"}"#));
    world.clock.advance(EXPIRED);
    assert!(odd.fetch("/").await.is_upstreams(), "served within the grace");
    world.idp.behave(Endpoint::Refresh);
    assert!(other.get("/").await.is_upstreams());
    assert_eq!(other.fetch("/oauth2/userinfo").await.json()["renewals"], 1);
    comes_back(&world, &odd, 1).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_the_renewals_under_way_even_when_requests_are_cut_off() {
    let mut world = World::build().set("shutdown_timeout", "1s").start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Slow(Duration::from_secs(4)));
    world.clock.advance(EXPIRED);
    let waiting = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.try_send(http::Method::GET, "/", &[], "").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    world.replicas.remove(0).stop().await;
    drop(waiting);
    world.add_replica().await;
    let visitor = visitor.at(world.address());
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "what was presented was saved");
}
