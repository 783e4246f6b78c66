//! What pages use that outlive their session; `tests/heavy/pages.rs` has it in a browser.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::harness::{World, idp::Endpoint, visitor::Visitor};

const OWN: [(&str, &str); 3] = [("origin", "https://app.test"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")];
const MINUTE: Duration = Duration::from_secs(60);

async fn refresh(visitor: &Visitor, headers: &[(&str, &str)]) -> StatusCode {
    visitor.send(Method::POST, "/oauth2/refresh", headers, "").await.status
}

#[tokio::test]
async fn a_refresh_extends_the_session_and_renews_its_token_and_to_ask_who_it_is_does_not() {
    let world = World::build().set("session_duration", "1h").start().await;
    let (used, unused) = (world.signed_in().await, world.signed_in().await);
    for _ in 0..3 {
        world.clock.advance(40 * MINUTE);
        let before = world.idp.calls(Endpoint::Refresh);
        assert_eq!(refresh(&used, &OWN).await, StatusCode::OK);
        assert_eq!(world.idp.calls(Endpoint::Refresh), before + 1, "the token had expired");
    }
    let told = used.send(Method::POST, "/oauth2/refresh", &OWN, "").await.json();
    assert!(told["user"].is_string() && told["accessTokenExpiresAt"].is_number(), "{told}");
    assert_eq!(refresh(&unused, &OWN).await, StatusCode::UNAUTHORIZED, "nobody used it for two hours");
    for _ in 0..2 {
        assert_eq!(used.fetch("/oauth2/userinfo").await.status, StatusCode::OK);
        world.clock.advance(40 * MINUTE);
    }
    assert_eq!(used.fetch("/oauth2/userinfo").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn no_other_origin_keeps_a_session_alive_whatever_it_may_ask_of_apps() {
    let world = World::build().set("allowed_origins", "https://friend.test").start().await;
    let visitor = world.signed_in().await;
    for headers in [
        &[("origin", "https://friend.test"), ("sec-fetch-site", "cross-site")][..],
        &[("origin", "https://evil.app.test"), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "null")],
    ] {
        assert_eq!(refresh(&visitor, headers).await, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(refresh(&visitor, &OWN).await, StatusCode::OK);
    assert_eq!(visitor.fetch("/oauth2/refresh").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refresh(&world.visitor(), &OWN).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_script_is_for_everybody_and_a_login_may_end_at_a_page_that_says_so() {
    let world = World::start().await;
    let visitor = world.visitor();
    let script = visitor.fetch("/oauth2/session.js").await;
    assert_eq!((script.status, script.header("content-type")), (StatusCode::OK, "text/javascript; charset=utf-8"));
    assert_eq!((script.header("cache-control"), script.header("evergate-response")), ("public, max-age=300", "script"));
    assert!(script.text().starts_with("(()=>{") && !script.text().contains("//"), "without comments");
    let landed = visitor.log_in(&world.idp, "/oauth2/start?rd=/oauth2/signed_in").await;
    assert_eq!(landed.as_str(), "https://app.test/oauth2/signed_in");
    assert!(visitor.get("/oauth2/signed_in").await.text().contains("Close this window"));
}
