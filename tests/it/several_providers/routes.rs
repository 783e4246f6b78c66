//! Routes for the users of some providers alone.

use http::StatusCode;

use super::{Both, links};
use crate::harness::{
    World,
    visitor::{Visitor, path_of},
};

const ROUTES: &str = "[[route]]\npath = \"/staff\"\nproviders = [\"default\"]\n\n\
    [[route]]\npath = \"/partners\"\nproviders = [\"partners\"]\n\n[[route]]\npath = \"/all\"\nproviders = [\"default\", \"partners\"]\n\n";

async fn is_denied(visitor: &Visitor, path: &str) -> bool {
    let reply = visitor.fetch(path).await;
    let is_denied = reply.status == StatusCode::FORBIDDEN;
    assert!(is_denied || reply.is_upstreams(), "{} {}", reply.status, reply.text());
    assert!(!is_denied || reply.json()["reason"] == "provider", "{}", reply.text());
    is_denied
}

#[tokio::test]
async fn a_route_takes_the_users_of_its_providers_and_sends_nobody_round_in_circles() {
    let both = Both::with("", ROUTES).await;
    let anonymous = both.world.visitor();
    for (path, idp) in [("/staff/x", &both.world.idp), ("/partners/x", &both.partners)] {
        assert!(anonymous.get(path).await.location().as_str().starts_with(idp.issuer()), "straight there: {path}");
        let start = anonymous.get(&format!("/oauth2/start?rd={path}")).await.location();
        assert!(start.as_str().starts_with(idp.issuer()), "by hand too: {path}");
    }
    assert_eq!(links(&anonymous.get(&path_of(&anonymous.get("/all").await.location())).await).len(), 2, "they choose");
    let (ours, theirs) = (both.of_default().await, both.of_partners().await);
    for (visitor, staff, partners) in [(&ours, false, true), (&theirs, true, false)] {
        assert_eq!(is_denied(visitor, "/staff").await, staff);
        assert_eq!(is_denied(visitor, "/partners").await, partners);
        assert!(!is_denied(visitor, "/all").await && !is_denied(visitor, "/").await);
    }
    let page = ours.get("/partners/x").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text().contains("You are signed in as ann@example.com."), "{}", page.text());
    let there = links(&page);
    assert_eq!(there, ["https://app.test/oauth2/start?rd=%2Fpartners%2Fx"]);
    ours.log_in(&both.partners, "/oauth2/start?rd=%2Fpartners%2Fx").await;
    assert!(ours.get("/partners/x").await.is_upstreams());
    assert!(is_denied(&ours, "/staff").await, "one browser has one session");
}

#[tokio::test]
async fn a_route_for_others_needs_no_token_refresh_and_sends_the_user_of_a_dead_grant_to_its_own_provider() {
    let both = Both::with("", ROUTES).await;
    let theirs = both.of_partners().await;
    both.world.clock.advance(super::EXPIRED);
    assert!(is_denied(&theirs, "/staff").await);
    assert_eq!(both.partners.presented_and_renewed().0, 0);
    both.partners.kill_grants();
    let sent = theirs.get("/partners").await.location();
    assert!(sent.as_str().starts_with(both.partners.issuer()) && sent.query().unwrap().contains("prompt=none"), "{sent}");
    let sent = theirs.get("/staff").await.location();
    assert!(sent.as_str().starts_with(both.world.idp.issuer()) && !sent.query().unwrap().contains("prompt=none"), "{sent}");
}

#[tokio::test]
async fn an_ingress_is_told_of_users_of_the_route_s_providers_alone() {
    let builder = World::build().set("forward_auth", "true").set("proxy_trusted_origins", "127.0.0.1");
    let both = Both::of(builder, "", ROUTES).await;
    let theirs = both.of_partners().await;
    for (path, status) in [("/staff", StatusCode::FORBIDDEN), ("/partners", StatusCode::ACCEPTED)] {
        let cookie = theirs.cookie_header();
        let told = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", path),
            ("x-forwarded-host", "app.test"),
            ("cookie", cookie.as_str()),
        ];
        let asked = both.world.visitor().send(http::Method::GET, "/oauth2/auth", &told, "").await;
        assert_eq!(asked.status, status, "{path} {}", asked.text());
    }
}
