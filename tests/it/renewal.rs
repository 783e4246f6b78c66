//! Renewal when all is well.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::harness::{
    Kind, World,
    eventually::{eventually, settled},
    idp::{Endpoint, Misbehaviour, Offline, Rotation},
    visitor::Reply,
};

const EXPIRED: Duration = Duration::from_secs(301);

#[tokio::test]
async fn an_expired_token_is_renewed_before_the_request_is_served() {
    for rotation in [Rotation::Strict, Rotation::Grace(Duration::from_secs(60)), Rotation::Reusable, Rotation::Single] {
        let world = World::build().start_with(|idp| idp.rotate_as(rotation)).await;
        let visitor = world.signed_in().await;
        for renewals in 1..=3 {
            world.clock.advance(EXPIRED);
            assert!(visitor.get("/").await.is_upstreams(), "{rotation:?}");
            assert_eq!(world.idp.calls(Endpoint::Refresh), renewals, "{rotation:?}");
        }
        let info = visitor.fetch("/oauth2/userinfo").await.json();
        assert_eq!((&info["renewals"], &info["renewable"]), (&json!(3), &json!(true)));
    }
}

#[tokio::test]
async fn in_the_background_window_nobody_waits() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(Duration::from_secs(270));
    assert!(visitor.get("/").await.is_upstreams(), "while the provider has not answered");
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    assert!(visitor.get("/").await.is_upstreams(), "nor has it now");
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewals"], 0);
    world.idp.behave(Endpoint::Refresh);
    eventually("the renewal is kept", async || visitor.fetch("/oauth2/userinfo").await.json()["renewals"] == 1).await;
    visitor.get("/").await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn a_token_that_is_fresh_or_idle_is_not_renewed() {
    let mut world = World::start().await;
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    world.clock.advance(Duration::from_secs(200));
    assert!(visitor.get("/").await.is_upstreams());
    // A gateway that stops waits for the renewals that it has begun.
    world.restart_with(&[]).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 0, "its token was fresh");
    world.clock.advance(Duration::from_secs(90));
    let calls = || world.metric(0, "evergate_store_seconds_count");
    let before = calls();
    eventually("what runs in the background has run", async || calls() >= before + 10.0).await;
    world.restart_with(&[]).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 0, "nobody used it");
    assert!(visitor.at(world.address()).get("/").await.is_upstreams());
    eventually("it is renewed once it is used", async || world.idp.calls(Endpoint::Refresh) == 1).await;
}

#[tokio::test]
async fn a_hundred_requests_on_an_expired_token_make_one_call() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let (replies, ()) = tokio::join!(visitor.fetch_at_once(100, "/"), async {
        eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
        settled().await;
        world.idp.behave(Endpoint::Refresh);
    });
    assert!(replies.iter().all(Reply::is_upstreams));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

/// RF-21: the client disconnects during a refresh.
#[tokio::test]
async fn a_client_that_leaves_cancels_nothing() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let leaving = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.get("/").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    world.idp.behave(Endpoint::Refresh);
    eventually("the renewal is kept", async || visitor.fetch("/oauth2/userinfo").await.json()["renewals"] == 1).await;
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "the client's leaving cancels nothing");
}

/// RF-14: a response whose `expires_in` is missing, or no sensible number.
#[tokio::test]
async fn a_missing_or_absurd_lifetime_is_neither_believed_nor_asked_for_at_every_request() {
    let year = json!(365 * 86_400);
    for life in [None, Some(json!("300")), Some(json!(0)), Some(json!(-1)), Some(json!("soon")), Some(json!(1e300)), Some(year)] {
        let world = World::build().start_with(|idp| idp.access_tokens_live(life.clone())).await;
        let visitor = world.signed_in().await;
        for _ in 0..5 {
            assert!(visitor.get("/").await.is_upstreams(), "{life:?}");
        }
        assert_eq!(world.idp.calls(Endpoint::Refresh), 0, "no refresh per request with {life:?}");
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "{life:?}");
        assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "nor is it used forever with {life:?}");
    }
}

/// RF-16: a login that brings no refresh token.
#[tokio::test]
async fn without_a_refresh_token_the_session_lasts_as_long_as_the_access_token() {
    let world = World::build().start_with(|idp| idp.give_refresh_tokens(Offline::Never)).await;
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    world.clock.advance(EXPIRED);
    let script = visitor.fetch("/").await;
    assert_eq!((script.status, script.json()["reason"].clone()), (StatusCode::UNAUTHORIZED, json!("token_expired")));
    assert_eq!(visitor.get("/").await.status, StatusCode::SEE_OTHER, "a login, once the access token has expired");
    let lines = crate::harness::logs::lines_with(&[world.idp.issuer(), "failed to renew OIDC token: token has expired"]);
    assert_eq!(lines.len(), 1, "said once: {lines:?}");
    visitor.log_in(&world.idp, "/").await;
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_renewal_without_an_id_token_keeps_the_identity() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.edit_answer(|answer| answer["id_token"] = json!(null));
    let before = world.idp.calls(Endpoint::Refresh);
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    let seen = world.upstream.last();
    assert_eq!(seen.header("x-forwarded-groups"), Some("staff"));
    assert_eq!((world.idp.calls(Endpoint::Refresh) - before, seen.header("x-evergate-renewed-at")), (1, None), "it is not stale");
    visitor.get("/").await;
    assert_eq!(world.idp.calls(Endpoint::Refresh) - before, 1, "what the renewal brought is kept");
}

#[tokio::test]
async fn a_renewal_that_speaks_of_somebody_else_ends_the_grant_and_its_new_token() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.edit_id_token(|claims| claims["sub"] = json!("somebody-else"));
    world.clock.advance(EXPIRED);
    let reply = visitor.fetch("/").await;
    assert_eq!((reply.status, reply.json()["reason"].clone()), (StatusCode::UNAUTHORIZED, json!("identity_refused")));
    eventually("the new refresh token is revoked", async || !world.idp.has_live_refresh_token()).await;
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test]
async fn keys_or_user_info_that_are_away_at_a_renewal_lose_nothing() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.rotate_keys(false);
    world.idp.misbehave(Endpoint::Jwks, Misbehaviour::Answer(503, String::new(), vec![]));
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(500, String::new(), vec![]));
    for renewals in 1..=2 {
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(world.idp.calls(Endpoint::Refresh), renewals);
        assert_eq!(world.upstream.last().header("x-forwarded-email"), Some("ann@example.com"));
    }
}

/// RF-06: a logout is committed while a refresh is in flight.
#[tokio::test]
async fn a_logout_during_a_renewal_wins_and_the_new_token_is_revoked() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let waiting = tokio::spawn({
        let visitor = visitor.copy();
        async move { visitor.fetch("/").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    visitor.send(http::Method::POST, "/oauth2/sign_out", &[], "").await;
    world.idp.behave(Endpoint::Refresh);
    assert_eq!(waiting.await.unwrap().status, StatusCode::UNAUTHORIZED, "the logout wins");
    eventually("every refresh token is revoked", async || !world.idp.has_live_refresh_token()).await;
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

/// RF-06: the same where nobody can tell which of the user's sessions at the provider a grant belongs to.
#[tokio::test]
async fn a_logout_during_a_renewal_revokes_the_new_token_also_while_the_user_has_another_browser() {
    let without_sid = |claims: &mut serde_json::Value| drop(claims.as_object_mut().unwrap().remove("sid"));
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start_with(|idp| idp.edit_id_token(without_sid)).await;
        let (visitor, other) = (world.signed_in().await, world.signed_in().await);
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::HeldAnswer);
        world.clock.advance(EXPIRED);
        let waiting = tokio::spawn({
            let visitor = visitor.copy();
            async move { visitor.fetch("/").await }
        });
        eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
        visitor.send(http::Method::POST, "/oauth2/sign_out", &[], "").await;
        eventually("the old token is revoked", async || world.idp.revoked().len() == 1).await;
        world.idp.behave(Endpoint::Refresh);
        assert_eq!(waiting.await.unwrap().status, StatusCode::UNAUTHORIZED, "the logout wins");
        eventually("the new token is revoked", async || world.idp.revoked().len() == 2).await;
        assert!(other.fetch("/").await.is_upstreams(), "the other browser goes on");
    }
}
