//! Refresh tokens that nobody uses any more are revoked at the provider, whatever happens on the way.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    Kind, World,
    eventually::{eventually, looking_each},
    idp::{Endpoint, Idp, Misbehaviour, user},
    visitor::{Visitor, path_of},
};

const LONG: Duration = Duration::from_secs(120);

async fn sign_out(visitor: &Visitor) {
    visitor.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
}

/// Waits for what comes of revocations that are put off: a token that nobody asked to revoke is left for a minute, and one that
/// the provider failed to revoke is tried again after a pause. That time is moved, because it is the database's.
async fn sooner_or_later(world: &World, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    looking_each(Duration::from_millis(300), LONG, what, async || {
        world.sql("UPDATE revocations SET due_at = due_at - 60000").await;
        holds().await
    })
    .await;
}

/// The history of Ann says so, sooner or later.
async fn is_told(world: &World, outcome: &str) {
    sooner_or_later(world, outcome, async || world.command(&["sessions", "show", "sub-ann"]).await.1.contains(outcome)).await;
}

#[tokio::test]
async fn a_revocation_survives_an_outage_of_the_provider_and_a_restart() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        world.idp.misbehave(Endpoint::Revocation, Misbehaviour::Answer(503, String::new(), vec![]));
        sign_out(&visitor).await;
        eventually("it was tried", async || world.idp.calls(Endpoint::Revocation) >= 1).await;
        world.restart_with(&[]).await;
        assert!(world.idp.has_live_refresh_token());
        world.idp.behave(Endpoint::Revocation);
        sooner_or_later(&world, "it is revoked", async || !world.idp.has_live_refresh_token()).await;
    }
}

#[tokio::test]
async fn the_refresh_token_of_a_denied_login_is_revoked() {
    let world = World::build().set("oidc_group_field", "groups").set("oidc_allowed_groups", "admins").start().await;
    let denied = world.visitor().browse(&world.idp, "/").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    eventually("it is revoked", async || !world.idp.has_live_refresh_token()).await;
}

#[tokio::test]
async fn the_refresh_token_of_a_session_that_another_login_replaced_is_revoked_and_the_new_one_lives() {
    let world = World::start().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("first"));
    let visitor = world.signed_in().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("second"));
    visitor.log_in(&world.idp, "/oauth2/start").await;
    assert!(world.idp.revoked().is_empty(), "it is left for a while");
    sooner_or_later(&world, "the first is revoked", async || world.idp.revoked().len() == 1).await;
    world.clock.advance(Duration::from_secs(301));
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "with the second, which is renewed");
}

#[tokio::test]
async fn where_a_revocation_ends_a_whole_session_at_the_provider_none_that_is_in_use_is_ended_so() {
    // The same session there, and one of which nobody knows whether it is.
    let cases = [json!("the-same"), json!(null)].map(async |sid| {
        let world = World::start().await;
        world.idp.edit_id_token(move |claims| claims["sid"] = sid.clone());
        let visitor = world.signed_in().await;
        visitor.log_in(&world.idp, "/oauth2/start").await;
        is_told(&world, "in_use").await;
        assert!(world.idp.revoked().is_empty());
        assert!(visitor.get("/").await.is_upstreams());
        sign_out(&visitor).await;
        eventually("a logout revokes it all the same", async || world.idp.revoked().len() == 1).await;
    });
    futures_util::future::join_all(cases).await;
}

#[tokio::test]
async fn a_logout_during_a_renewal_revokes_the_new_token_although_its_user_has_another_browser() {
    let world = World::start().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("other"));
    let other = world.signed_in().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("own"));
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(Duration::from_secs(301));
    let waiting = tokio::spawn({
        let visitor = visitor.copy();
        async move { visitor.fetch("/").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    sign_out(&visitor).await;
    world.idp.behave(Endpoint::Refresh);
    assert_eq!(waiting.await.unwrap().status, StatusCode::UNAUTHORIZED, "the logout wins");
    sooner_or_later(&world, "both of its tokens are revoked", async || world.idp.revoked().len() == 2).await;
    assert!(other.get("/").await.is_upstreams());
}

#[tokio::test]
async fn the_refresh_token_of_a_session_that_reached_its_limit_is_revoked() {
    let mut world = World::build().set("session_duration", "1h").start().await;
    world.idp.log_in_as(user("bob"));
    world.signed_in().await;
    world.clock.advance(Duration::from_secs(2 * 3600));
    // A gateway sweeps when it starts.
    world.restart_with(&[]).await;
    sooner_or_later(&world, "it is revoked", async || !world.idp.has_live_refresh_token()).await;
}

#[tokio::test]
async fn a_sign_out_that_is_late_ends_no_login_that_came_after_it() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Revocation, Misbehaviour::Answer(503, String::new(), vec![]));
    sign_out(&visitor).await;
    eventually("it was tried", async || world.idp.calls(Endpoint::Revocation) >= 1).await;
    visitor.log_in(&world.idp, "/oauth2/start").await;
    world.idp.behave(Endpoint::Revocation);
    is_told(&world, "in_use").await;
    assert!(world.idp.revoked().is_empty(), "the provider may end both with it");
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_provider_that_refuses_to_revoke_is_not_asked_again_and_one_that_fails_is_asked_for_one_token_at_a_time() {
    let world = World::start().await;
    world.idp.misbehave(Endpoint::Revocation, Misbehaviour::Answer(400, r#"{"error":"unsupported_token_type"}"#.into(), vec![]));
    sign_out(&world.signed_in().await).await;
    is_told(&world, "failed").await;
    assert_eq!(world.idp.calls(Endpoint::Revocation), 1);
    world.idp.misbehave(Endpoint::Revocation, Misbehaviour::Slow(Duration::from_millis(200)));
    let mut visitors = Vec::new();
    for number in 0..12 {
        world.idp.log_in_as(user(&format!("number-{number}")));
        visitors.push(world.signed_in().await);
    }
    world.idp.start_counting_at_once();
    futures_util::future::join_all(visitors.iter().map(sign_out)).await;
    eventually("all are revoked", async || !world.idp.has_live_refresh_token() || world.idp.revoked().len() >= 12).await;
    assert_eq!(world.idp.most_at_once(), 1, "however many sign out together");
}

/// A browser whose session has no refresh token, at a gateway that has come to ask for one, and the answer to its silent attempt.
async fn on_its_way_back(who: &str) -> (World, Visitor, String) {
    let mut world = World::build().set("oidc_scopes", "openid,profile,email").start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access")]).await;
    let visitor = visitor.at(world.address());
    world.idp.log_in_as(user(who));
    if who != "ann" {
        // So that the provider knows them, as one of that browser's.
        world.idp.authorize(&world.visitor().get("/").await.location()).await;
    }
    let request = visitor.get("/page").await.location();
    assert!(request.query_pairs().any(|pair| pair == ("prompt".into(), "none".into())));
    let answer = path_of(&world.idp.authorize(&request).await);
    (world, visitor, answer)
}

#[tokio::test]
async fn a_sign_out_is_not_undone_by_a_silent_login_that_was_under_way() {
    for everywhere in [false, true] {
        let (world, visitor, answer) = on_its_way_back("ann").await;
        if everywhere {
            let other = world.visitor();
            other.log_in(&world.idp, "/").await;
            other.send(Method::POST, "/oauth2/sign_out?everywhere=true", &[("sec-fetch-site", "same-origin")], "").await;
        } else {
            sign_out(&visitor).await;
        }
        world.clock.advance(Duration::from_secs(1));
        let login = visitor.get(&answer).await.location();
        assert!(login.as_str().starts_with(world.idp.issuer()), "{login}");
        assert!(!login.query_pairs().any(|(name, _)| name == "prompt"), "a login that its user sees");
        assert_eq!(visitor.fetch("/page").await.status, StatusCode::UNAUTHORIZED);
        eventually("what it brought is revoked", async || !world.idp.has_live_refresh_token()).await;
        visitor.get(&path_of(&world.idp.authorize(&login).await)).await.location();
        assert!(visitor.get("/page").await.is_upstreams());
    }
}

#[tokio::test]
async fn the_refresh_token_of_another_user_at_the_provider_is_not_left_over_when_a_session_goes_on() {
    let (world, visitor, answer) = on_its_way_back("bob").await;
    let session = visitor.session();
    assert_eq!(visitor.get(&answer).await.location().path(), "/page");
    assert!(world.idp.calls(Endpoint::Code) >= 2 && visitor.session() == session);
    assert!(visitor.get("/page").await.is_upstreams());
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["email"], "ann@example.com");
    eventually("it is revoked", async || !world.idp.has_live_refresh_token()).await;
}

#[tokio::test]
async fn the_refresh_token_of_a_session_that_ends_while_its_login_is_saved_is_revoked() {
    let (world, visitor, answer) = {
        let mut world = World::build().on(Kind::Postgres).set("oidc_scopes", "openid,profile,email").start().await;
        let visitor = world.signed_in().await;
        world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access")]).await;
        let visitor = visitor.at(world.address());
        let answer = path_of(&world.idp.authorize(&visitor.get("/").await.location()).await);
        (world, visitor, answer)
    };
    world
        .sql("CREATE FUNCTION sign_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM sessions; RETURN NEW; END $$")
        .await;
    world.sql("CREATE TRIGGER sign_out AFTER INSERT ON grants FOR EACH ROW EXECUTE FUNCTION sign_out()").await;
    assert!(visitor.get(&answer).await.location().as_str().starts_with(world.idp.issuer()), "its user logs in again");
    is_told(&world, "session_ended").await;
}

#[tokio::test]
async fn the_refresh_token_of_a_login_that_cannot_be_verified_is_revoked() {
    let spoil: [fn(&Idp); 3] = [
        |idp| idp.edit_id_token(|claims| claims["nonce"] = json!("of another login")),
        |idp| idp.rotate_keys(false),
        |idp| idp.edit_userinfo(|claims| claims["sub"] = json!("somebody else")),
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let world = World::start().await;
        spoil(&world.idp);
        let visitor = world.visitor();
        assert!(!visitor.browse(&world.idp, "/").await.is_upstreams(), "{number}");
        assert!(visitor.session().is_none() && world.idp.calls(Endpoint::Code) >= 1, "{number}");
        eventually("it is revoked", async || !world.idp.has_live_refresh_token()).await;
    }
    // The provider may end all that is of one session there, so one that is in use is spared.
    let world = World::start().await;
    let own = world.signed_in().await;
    world.idp.edit_id_token(|claims| claims["nonce"] = json!("of another login"));
    world.visitor().browse(&world.idp, "/").await;
    is_told(&world, "in_use").await;
    assert!(world.idp.revoked().is_empty());
    world.clock.advance(Duration::from_secs(301));
    assert!(own.fetch("/").await.is_upstreams());
}
