//! Pushed authorization requests (PAR, RFC 9126): the provider gets the request from Evergate, and a reference from the browser.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::harness::{
    World,
    idp::{Endpoint, Idp, Misbehaviour, client_check::ClientCheck},
    logs::lines_with,
};

const EXPIRED: Duration = Duration::from_secs(301);
/// Longer than no push is tried, after one failed, for browsers that can go on without.
const PAUSE: Duration = Duration::from_secs(61);

/// Form encoding does not change it, so that there is one form of each method.
const PLAIN_SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

fn refused(status: u16, code: &str) -> Misbehaviour {
    Misbehaviour::Answer(status, json!({"error": code, "error_description": "as the test asked"}).to_string(), vec![])
}

#[tokio::test]
async fn where_the_provider_demands_it_a_login_is_pushed_and_a_silent_one_too() {
    let world = World::build().start_with(|idp| idp.take_pushed_requests(true)).await;
    let visitor = world.visitor();
    let begun = visitor.get("/deep?x=1").await.location();
    let carried: Vec<_> = begun.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(carried, ["client_id", "request_uri"]);
    visitor.log_in(&world.idp, "/deep?x=1").await;
    assert!(visitor.get("/").await.is_upstreams());
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!((world.idp.prompts(), world.idp.passes()), (1, 2), "it was prompt=none that was pushed");
    assert_eq!(world.idp.calls(Endpoint::Par), 3);
}

#[tokio::test]
async fn a_setting_pushes_where_the_provider_only_offers_it_and_without_one_nothing_is_pushed() {
    for (settings, expected) in [(&[][..], 0), (&[("oidc_par", "true")], 1), (&[("oidc_par", "false")], 0)] {
        let builder = settings.iter().fold(World::build(), |builder, (name, value)| builder.set(name, value));
        let world = builder.start_with(|idp| idp.take_pushed_requests(false)).await;
        assert!(world.signed_in().await.get("/").await.is_upstreams());
        assert_eq!(world.idp.calls(Endpoint::Par), expected, "{settings:?}");
    }
}

#[tokio::test]
async fn the_client_authenticates_as_at_the_token_endpoint_and_what_one_learns_the_other_knows() {
    let prepare = |idp: &Idp| {
        idp.take_pushed_requests(true);
        idp.check_client(ClientCheck::Post);
        idp.change_secret(PLAIN_SECRET);
    };
    let world = World::build().set("oidc_client_secret", PLAIN_SECRET).start_with(prepare).await;
    world.signed_in().await;
    assert_eq!((world.idp.calls(Endpoint::Par), world.idp.calls(Endpoint::Code)), (2, 1));
}

#[tokio::test]
async fn a_login_that_cannot_be_pushed_is_told_with_the_provider_s_reason_and_begins_when_it_can() {
    let world = World::build().start_with(|idp| idp.take_pushed_requests(true)).await;
    for (misbehaviour, error, logged) in [
        (
            refused(400, "invalid_redirect_uri"),
            "provider_misconfigured",
            "status 400 Bad Request, error invalid_redirect_uri: as the test asked",
        ),
        (refused(401, "invalid_client"), "provider_misconfigured", "error invalid_client"),
        (Misbehaviour::Answer(201, "{}".to_owned(), vec![]), "provider_misconfigured", "has no request_uri"),
        (refused(503, "temporarily_unavailable"), "provider_unavailable", "error temporarily_unavailable"),
        (refused(429, "slow_down"), "provider_unavailable", "error slow_down"),
    ] {
        world.idp.misbehave(Endpoint::Par, misbehaviour);
        let reply = world.visitor().get("/").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.header("evergate-response"), error, "{logged}");
        let told = lines_with(&["a login cannot begin", "(PAR)", logged]);
        assert_eq!(told.len(), 1, "{logged}: {told:?}");
    }
    world.idp.behave(Endpoint::Par);
    assert!(world.signed_in().await.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_living_session_is_served_while_its_silent_login_cannot_be_pushed() {
    let prepare = |idp: &Idp| idp.take_pushed_requests(true);
    let mut world = World::build().set("oidc_scopes", "openid,profile,email").start_with(prepare).await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access")]).await;
    let visitor = visitor.at(world.address());
    world.idp.misbehave(Endpoint::Par, refused(503, "temporarily_unavailable"));
    for _ in 0..3 {
        assert!(visitor.get("/").await.is_upstreams());
    }
    assert_eq!(world.idp.calls(Endpoint::Par), 2, "the login's, and one that failed");
    world.idp.behave(Endpoint::Par);
    world.clock.advance(PAUSE);
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewable"], true);
}

#[tokio::test]
async fn where_requests_are_to_be_pushed_and_cannot_be_none_goes_through_the_browser() {
    let world = World::build().set("oidc_par", "true").start().await;
    let refused = world.visitor().get("/").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.idp.prompts(), 0);
    assert!(!lines_with(&["a login cannot begin", "no usable pushed_authorization_request_endpoint"]).is_empty());
}

#[tokio::test]
async fn check_says_whether_a_login_can_be_pushed() {
    let world = World::build().start_with(|idp| idp.take_pushed_requests(true)).await;
    let (code, printed) = world.command(&["check"]).await;
    assert!(code < 2 && printed.contains("the provider redirects to https://app.test/oauth2/callback"), "{printed}");
    world.idp.misbehave(Endpoint::Par, refused(400, "invalid_redirect_uri"));
    let (code, printed) = world.command(&["check"]).await;
    assert!(code == 2 && printed.contains("error invalid_redirect_uri"), "{printed}");
    assert!(printed.contains("register https://app.test/oauth2/callback at the provider"), "{printed}");
}
