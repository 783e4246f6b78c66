//! Logging out: here first, then at the provider.

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    ACCESS, Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour},
};

const OWN: [(&str, &str); 1] = [("sec-fetch-site", "same-origin")];

#[tokio::test]
async fn a_logout_ends_the_session_revokes_the_token_and_goes_through_the_provider() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        let stolen = visitor.copy();
        assert!(stolen.get("/").await.is_upstreams());
        let to_provider = visitor.send(Method::POST, "/oauth2/sign_out", &OWN, "rd=%2Fbye").await.location();
        assert!(to_provider.as_str().starts_with(&format!("{}/end_session?", world.idp.issuer())));
        let query: std::collections::HashMap<_, _> = to_provider.query_pairs().into_owned().collect();
        assert_eq!(query["post_logout_redirect_uri"], format!("{ACCESS}/oauth2/signed_out"), "one address, as it is registered");
        let state = &query["state"];
        let landed = visitor.get(&format!("/oauth2/signed_out?state={state}")).await.location();
        assert_eq!(landed.as_str(), format!("{ACCESS}/bye"));
        assert_eq!(query["client_id"], "gateway");
        assert_eq!(query["id_token_hint"].split('.').count(), 3);
        assert!(visitor.session().is_none(), "the cookie is removed");
        assert_eq!(stolen.fetch("/").await.status, StatusCode::UNAUTHORIZED, "and a copy of it is worth nothing");
        eventually("the refresh token is revoked", async || world.idp.revoked().len() == 1).await;
    }
}

#[tokio::test]
async fn a_link_of_the_app_logs_out_and_a_stranger_s_asks_first() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    for site in ["cross-site", "same-site", "none"] {
        let page =
            visitor.send(Method::GET, "/oauth2/sign_out?rd=/bye", &[("sec-fetch-site", site), ("accept", "text/html")], "").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text().contains("method=\"post\"") && page.text().contains("value=\"/bye\""), "{}", page.text());
        assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
        let page = visitor.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", site)], "").await;
        assert_eq!(page.status, StatusCode::OK, "a form on {site}");
    }
    assert_eq!(
        visitor.send(Method::POST, "/oauth2/sign_out", &[("origin", "https://evil.example")], "").await.status,
        StatusCode::OK
    );
    assert!(visitor.get("/").await.is_upstreams(), "still signed in");
    let picture = [OWN[0], ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
    assert_eq!(visitor.send(Method::GET, "/oauth2/sign_out", &picture, "").await.status, StatusCode::OK, "nor does a picture");
    let question = visitor.get("/oauth2/sign_out").await;
    assert_eq!(question.header("referrer-policy"), "same-origin", "or the button's own post would carry no origin");
    let large = "x".repeat(20_000);
    let refused = visitor.send(Method::POST, "/oauth2/sign_out", &OWN, &large).await;
    assert_eq!((refused.status, refused.header("evergate-response")), (StatusCode::BAD_REQUEST, "bad_request"));
    let link = [OWN[0], ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    visitor.send(Method::GET, "/oauth2/sign_out", &link, "").await.location();
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn logout_leads_only_to_pages_of_ours() {
    let world = World::build().start_with(|idp| idp.set_metadata(json!({"end_session_endpoint": null}))).await;
    for evil in ["https://evil.example/", "//evil.example", "/\\evil.example", "/.//evil.example", "javascript:x"] {
        let visitor = world.signed_in().await;
        let encoded: String = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect();
        let landed = visitor.send(Method::POST, &format!("/oauth2/sign_out?rd={encoded}"), &OWN, "").await.location();
        assert_eq!(landed.as_str(), format!("{ACCESS}/"), "{evil}");
    }
    for (own, follows) in
        [("/oauth2/sign_in", true), ("/oauth2/callback", false), ("/oauth2/sign_out", false), ("/oauth2/x", false)]
    {
        let landed = world.signed_in().await.send(Method::POST, &format!("/oauth2/sign_out?rd={own}"), &OWN, "").await.location();
        assert_eq!(landed.as_str(), format!("{ACCESS}{}", if follows { own } else { "/" }), "{own}");
    }
    let visitor = world.signed_in().await;
    let page = visitor.send(Method::POST, "/oauth2/sign_out", &[("accept", "text/html"), OWN[0]], "rd=").await;
    assert!(page.status == StatusCode::OK && page.text().contains("Signed out") && visitor.session().is_none());
}

#[tokio::test]
async fn a_provider_that_is_away_does_not_keep_anybody_signed_in() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Revocation, Misbehaviour::Answer(503, String::new(), vec![]));
    visitor.send(Method::POST, "/oauth2/sign_out", &OWN, "").await.location();
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    eventually("revocation was tried", async || world.idp.calls(Endpoint::Revocation) >= 1).await;
    world.idp.behave(Endpoint::Revocation);
    eventually("and tried again", async || world.idp.revoked().len() == 1).await;
}

#[tokio::test]
async fn whoever_signs_out_while_the_store_is_away_is_signed_out_and_the_store_is_told_when_it_is_back() {
    for everywhere in [false, true] {
        let world = World::build().on(Kind::Postgres).start().await;
        let (visitor, other) = (world.signed_in().await, world.signed_in().await);
        assert!(visitor.get("/").await.is_upstreams());
        let stolen = visitor.copy();
        world.store_line.as_ref().unwrap().cut();
        let path = if everywhere { "/oauth2/sign_out?everywhere=true" } else { "/oauth2/sign_out" };
        let to_provider = visitor.send(Method::POST, path, &OWN, "").await.location();
        assert!(to_provider.as_str().contains("end_session"), "{to_provider}");
        assert_eq!(visitor.session(), None, "the cookie is gone");
        assert_ne!(stolen.fetch("/").await.status, StatusCode::OK, "and worth nothing here");
        world.store_line.as_ref().unwrap().mend();
        eventually("the store is told", async || world.idp.revoked().len() == if everywhere { 2 } else { 1 }).await;
        assert_eq!(stolen.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(other.fetch("/").await.is_upstreams(), !everywhere);
    }
}

#[tokio::test]
async fn whoever_signs_out_while_the_store_takes_no_writes_is_signed_out() {
    let world = World::build().on(Kind::Postgres).start().await;
    let visitor = world.signed_in().await;
    let stolen = visitor.copy();
    world.set_store_read_only(true, true).await;
    eventually("the store is read", async || visitor.fetch("/").await.is_upstreams()).await;
    visitor.send(Method::POST, "/oauth2/sign_out", &OWN, "").await.location();
    assert_eq!(stolen.fetch("/").await.status, StatusCode::UNAUTHORIZED, "though its row is there still");
    world.set_store_read_only(false, false).await;
    eventually("the store is told", async || world.idp.revoked().len() == 1).await;
    assert_eq!(stolen.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn signing_out_without_a_session_here_reaches_the_provider_which_may_have_one() {
    let world = World::start().await;
    let to_provider =
        world.visitor().send(Method::POST, "/oauth2/sign_out?rd=%2Fbye", &[("accept", "text/html")], "").await.location();
    assert!(
        to_provider.as_str().starts_with(world.idp.issuer()) && !to_provider.as_str().contains("id_token_hint"),
        "{to_provider}"
    );
    assert!(to_provider.query_pairs().any(|(name, value)| name == "state" && !value.is_empty()));
    assert_eq!(world.visitor().send(Method::DELETE, "/oauth2/sign_out", &[], "").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_second_of_two_clicks_reaches_the_provider_too() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let cookie = format!("__Host-evergate_session={}", visitor.session().unwrap());
    for click in ["first", "second"] {
        let headers = [("accept", "text/html"), ("sec-fetch-site", "same-origin"), ("cookie", cookie.as_str())];
        let reply = world.visitor().send(Method::POST, "/oauth2/sign_out", &headers, "rd=%2Fbye").await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{click}");
        assert!(reply.location().as_str().starts_with(world.idp.issuer()), "{click}: {}", reply.location());
    }
}

#[tokio::test]
async fn the_address_of_the_provider_s_logout_is_short_enough_whatever_it_would_tell() {
    let world = World::start().await;
    world.idp.edit_id_token(|claims| claims["groups"] = (0..1000).map(|number| format!("group-{number}")).collect());
    let visitor = world.signed_in().await;
    let form = format!("rd=%2Fbye%3F{}", "x".repeat(8000));
    let to_provider = visitor.send(Method::POST, "/oauth2/sign_out", &OWN, &form).await.location();
    assert!(to_provider.as_str().starts_with(world.idp.issuer()));
    assert!(to_provider.as_str().len() < 1000, "{}", to_provider.as_str().len());
    let (_, state) = to_provider.query_pairs().find(|(name, _)| name == "state").unwrap();
    assert_eq!(visitor.get(&format!("/oauth2/signed_out?state={state}")).await.status, StatusCode::OK, "the signed-out page");
}

#[tokio::test]
async fn the_tokens_of_another_client_s_grant_are_shown_to_nobody_at_a_logout() {
    let mut world = World::start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_client_id", "another")]).await;
    let visitor = visitor.at(world.address());
    let to_provider = visitor.send(Method::POST, "/oauth2/sign_out", &OWN, "").await.location();
    assert!(!to_provider.as_str().contains("id_token_hint"), "{to_provider}");
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    let code = world.command(&["sessions", "why", "ann@example.com"]).await.0;
    assert_eq!((code, world.idp.calls(Endpoint::Revocation)), (0, 0));
}

#[tokio::test]
async fn a_state_that_is_not_ours_leads_nowhere() {
    let world = World::start().await;
    for planted in ["", "state=", "state=xyz", "state=%2Fbye", "state=https%3A%2F%2Fevil.example", "state=%2F%2Fevil.example"] {
        let page = world.visitor().get(&format!("/oauth2/signed_out?{planted}")).await;
        assert_eq!((page.status, page.header("evergate-response")), (StatusCode::OK, "signed_out"), "{planted}");
        assert!(page.text().contains("You are signed out"), "{planted}");
    }
    let visitor = world.signed_in().await;
    let page = visitor.get("/oauth2/signed_out").await;
    assert_eq!((page.status, page.header("evergate-response")), (StatusCode::OK, "sign_out"), "who is signed in is asked");
    assert!(!page.text().contains("You are signed out") && page.text().contains("method=\"post\""), "{}", page.text());
    let to_provider = visitor.send(Method::POST, "/oauth2/sign_out", &OWN, "rd=%2Fbye").await.location();
    let (_, state) = to_provider.query_pairs().find(|(name, _)| name == "state").unwrap();
    world.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(visitor.get(&format!("/oauth2/signed_out?state={state}")).await.status, StatusCode::OK, "nor one of long ago");
}

#[tokio::test]
async fn a_logout_shows_the_provider_no_id_token_that_it_cannot_verify_any_more() {
    let world = World::start().await;
    let (first, second) = (world.signed_in().await, world.signed_in().await);
    let hints = async |visitor: &crate::harness::visitor::Visitor| {
        let to_provider = visitor.send(Method::POST, "/oauth2/sign_out", &OWN, "").await.location();
        assert!(to_provider.query_pairs().any(|(name, value)| name == "client_id" && value == "gateway"));
        to_provider.query_pairs().any(|(name, _)| name == "id_token_hint")
    };
    assert!(hints(&first).await);
    world.clock.advance(std::time::Duration::from_secs(61));
    world.idp.rotate_keys(true);
    assert!(!hints(&second).await, "though nobody has logged in with the new key yet");
    let third = world.signed_in().await;
    assert!(hints(&third).await);
}
