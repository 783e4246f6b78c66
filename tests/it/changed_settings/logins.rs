//! What becomes of logins that are under way, and whom a changed setting sends to the provider.

use std::time::Duration;

use url::Url;

use crate::harness::{World, visitor::path_of};

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

#[tokio::test]
async fn who_declines_a_new_scope_goes_on_and_is_not_asked_again() {
    let mut world = World::build().set("oidc_scopes", "openid,profile,email,offline_access").start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access,files")]).await;
    let visitor = visitor.at(world.address());
    world.idp.want_consent(true);
    let refused = world.idp.authorize(&visitor.get("/page").await.location()).await;
    let asked = visitor.get(&path_of(&refused)).await.location();
    assert!(asked.as_str().starts_with(world.idp.issuer()) && !asked.as_str().contains("prompt=none"), "{asked}");
    let back = visitor.get(&declined(&asked)).await;
    assert_eq!(back.location().as_str(), "https://app.test/page", "the session is alive");
    for _ in 0..3 {
        assert!(visitor.get("/page").await.is_upstreams());
        world.clock.advance(EXPIRED);
    }
}
