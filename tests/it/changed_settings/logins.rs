//! What becomes of logins that are under way, and whom a changed setting sends to the provider.

use std::time::Duration;

use http::StatusCode;
use url::Url;

use crate::harness::{
    Kind, World,
    faults::FaultProxy,
    idp::{CLIENT_ID, CLIENT_SECRET, Endpoint, Idp, Misbehaviour},
    visitor::{Visitor, path_of},
};

const EXPIRED: Duration = Duration::from_secs(301);

/// Where a browser is sent that comes back from the provider to a gateway with other settings.
async fn comes_back_to(world: &mut World, settings: &[(&str, &str)]) -> Url {
    let browser = world.visitor();
    let callback = world.idp.authorize(&browser.get("/deep?x=1").await.location()).await;
    world.restart_with(settings).await;
    browser.at(world.address()).get(&path_of(&callback)).await.location()
}

#[tokio::test]
async fn a_login_that_went_to_the_provider_with_other_settings_begins_again() {
    let mut world = World::start().await;
    let again = comes_back_to(&mut world, &[("oidc_client_id", "another")]).await;
    assert!(again.as_str().starts_with(world.idp.issuer()), "{again}");
    assert!(again.query_pairs().any(|(name, value)| name == "client_id" && value == "another"), "{again}");
}

/// The response of a user who declines.
fn declined(request: &Url) -> String {
    let parameter = |name: &str| request.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned());
    let mut callback = Url::parse(&parameter("redirect_uri").unwrap()).unwrap();
    callback.query_pairs_mut().append_pair("error", "access_denied").append_pair("state", &parameter("state").unwrap());
    path_of(&callback)
}

/// A user of a living session, and the request by which the provider is to ask them for a scope that the settings name since.
async fn asked_for_a_new_scope() -> (World, Visitor, Url) {
    let mut world = World::build().set("oidc_scopes", "openid,profile,email,offline_access").start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access,files")]).await;
    let visitor = visitor.at(world.address());
    world.idp.want_consent(true);
    let refused = world.idp.authorize(&visitor.get("/page").await.location()).await;
    let asked = visitor.get(&path_of(&refused)).await.location();
    (world, visitor, asked)
}

#[tokio::test]
async fn who_declines_a_new_scope_goes_on_and_is_not_asked_again() {
    let (world, visitor, asked) = asked_for_a_new_scope().await;
    assert!(asked.as_str().starts_with(world.idp.issuer()) && !asked.as_str().contains("prompt=none"), "{asked}");
    let back = visitor.get(&declined(&asked)).await;
    assert_eq!(back.location().as_str(), "https://app.test/page", "the session is alive");
    let twice = visitor.get(&declined(&asked)).await;
    assert_eq!(twice.location().as_str(), "https://app.test/page", "after a double click too");
    for _ in 0..3 {
        assert!(visitor.get("/page").await.is_upstreams());
        world.clock.advance(EXPIRED);
    }
}

#[tokio::test]
async fn a_failed_code_exchange_is_no_user_s_no_to_a_new_scope() {
    let (world, visitor, asked) = asked_for_a_new_scope().await;
    world.idp.want_consent(false);
    let agreed = world.idp.authorize(&asked).await;
    world.idp.misbehave(Endpoint::Code, Misbehaviour::Answer(500, String::new(), vec![]));
    assert_eq!(path_of(&visitor.get(&path_of(&agreed)).await.location()), "/page", "the session is alive");
    world.idp.behave(Endpoint::Code);
    assert!(visitor.get("/page").await.is_upstreams(), "not again at once");
    world.clock.advance(2 * EXPIRED);
    let again = visitor.get("/page").await.location();
    assert!(again.as_str().starts_with(world.idp.issuer()), "{again}");
}

#[tokio::test]
async fn a_silent_login_of_a_replica_with_another_client_leaves_a_session_alone_that_lives_here() {
    let mut world = World::build().on(Kind::Postgres).start().await;
    world.change(&[("oidc_client_id", "after")]);
    world.add_replica().await;
    let [here, there] = [0, 1].map(|replica| world.replicas[replica].address);
    let browser = world.signed_in().await;
    let asked = browser.at(there).get("/page").await.location();
    let parameter = |name: &str| asked.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned());
    assert_eq!((parameter("client_id").as_deref(), parameter("prompt").as_deref()), (Some("after"), Some("none")));
    let mut callback = Url::parse(&parameter("redirect_uri").unwrap()).unwrap();
    let (state, issuer) = (parameter("state").unwrap(), world.idp.issuer().to_owned());
    callback
        .query_pairs_mut()
        .append_pair("code", "of-the-other-client")
        .append_pair("state", &state)
        .append_pair("iss", &issuer);
    let back = browser.at(here).get(&path_of(&callback)).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.text());
    assert_eq!(path_of(&back.location()), "/page");
    assert_eq!(world.idp.calls(Endpoint::Code), 1, "the login's alone");
    assert!(browser.at(here).get("/page").await.is_upstreams());
}

#[tokio::test]
async fn a_login_at_a_provider_that_has_another_name_meanwhile_begins_again_once() {
    let mut world = World::build().routes(|_| String::new()).start().await;
    let file = |name: &str| {
        format!(
            "[[provider]]\nname = \"{name}\"\noidc_issuer_url = \"{}\"\noidc_client_id = \"{CLIENT_ID}\"\n\
             oidc_client_secret = \"{CLIENT_SECRET}\"\n",
            world.idp.issuer()
        )
    };
    let (first, second) = (file("first"), file("second"));
    world.forget(&["oidc_issuer_url", "oidc_client_id", "oidc_client_secret", "oidc_group_field"]);
    std::fs::write(world.settings_file(), first).unwrap();
    world.restart_with(&[]).await;
    let browser = world.visitor();
    let callback = world.idp.authorize(&browser.get("/deep?x=1").await.location()).await;
    assert!(callback.path().ends_with("/callback/first"), "{callback}");
    std::fs::write(world.settings_file(), second).unwrap();
    world.restart_with(&[]).await;
    let browser = browser.at(world.address());
    let again = browser.get(&path_of(&callback)).await.location();
    let codes = world.idp.calls(Endpoint::Code);
    assert!(again.as_str().starts_with(world.idp.issuer()) && again.as_str().contains("callback%2Fsecond"), "{again}");
    let landed = browser.get(&path_of(&world.idp.authorize(&again).await)).await.location();
    assert_eq!((path_of(&landed).as_str(), world.idp.calls(Endpoint::Code) - codes), ("/deep?x=1", 1));
    assert!(browser.get("/").await.is_upstreams());
    let unknown = browser.get("/oauth2/callback/third?code=x&state=y").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{}", unknown.text());
    let theirs = path_of(&again).split_once("state=").map(|(_, rest)| rest.split('&').next().unwrap().to_owned()).unwrap();
    let misled = browser.get(&format!("/oauth2/callback/third?code=x&state={theirs}")).await;
    assert_eq!(misled.status, StatusCode::NOT_FOUND, "what is another provider's goes to no address but its own");
}

#[tokio::test]
async fn a_login_that_went_to_another_issuer_begins_again_and_its_code_is_shown_to_no_other() {
    for says_issuer in [true, false] {
        let (mut world, line) = (World::start().await, FaultProxy::start().await);
        let next = Idp::start(&line.url(), world.clock.clone()).await;
        line.forward_to(next.address);
        let browser = world.visitor();
        let mut callback = world.idp.authorize(&browser.get("/deep?x=1").await.location()).await;
        if !says_issuer {
            let kept: Vec<_> = callback.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
            callback.query_pairs_mut().clear().extend_pairs(kept);
        }
        world.restart_with(&[("oidc_issuer_url", next.issuer())]).await;
        let browser = browser.at(world.address());
        let again = browser.get(&path_of(&callback)).await.location();
        assert!(again.as_str().starts_with(next.issuer()), "{says_issuer}: {again}");
        assert_eq!(next.calls(Endpoint::Code), 0, "{says_issuer}");
        let landed = browser.get(&path_of(&next.authorize(&again).await)).await.location();
        assert_eq!(path_of(&landed), "/deep?x=1");
    }
}
