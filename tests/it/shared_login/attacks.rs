//! What a hostile host, and whoever sends a browser somewhere, cannot do with the hand-over of sessions.

use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

use super::{Browser, LOGIN, ONE, TWO, build};
use crate::harness::{World, visitor::path_of};

const EVIL: &str = "evil.apps.test";

/// Goes as far as the address at `host` that a browser with a session at the login site is sent to with a code.
async fn address_with_code(browser: &Browser, host: &str) -> Url {
    let to_login_site = browser.get(host, "/doc").await.location();
    assert_eq!(to_login_site.host_str(), Some(LOGIN));
    browser.follow(&to_login_site).await.location()
}

async fn signed_in(world: &World) -> Browser {
    let browser = Browser::new(world);
    assert!(browser.browse(ONE, "/").await.is_upstreams());
    browser
}

fn replace(url: &Url, name: &str, value: &str) -> String {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let pairs = pairs.iter().map(|(key, old)| (key.as_str(), if key == name { value } else { old.as_str() }));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{}?{query}", url.path())
}

fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned()
}

#[tokio::test]
async fn nobody_is_logged_in_by_an_address_that_another_browser_began() {
    let world = build().start().await;
    let (ann, victim) = (signed_in(&world).await, Browser::new(&world));
    let planted = address_with_code(&ann, TWO).await;
    let reply = victim.get(TWO, &path_of(&planted)).await;
    assert!(victim.session(TWO).is_none(), "login CSRF");
    // The victim's own login begins instead, once.
    assert_eq!(reply.location().host_str(), Some(LOGIN));
    assert_eq!(victim.fetch(TWO, "/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_code_is_of_use_once_for_a_minute_and_with_its_own_attempt_at_its_own_site() {
    let world = build().start().await;
    let ann = signed_in(&world).await;
    let (first, second) = (address_with_code(&ann, TWO).await, address_with_code(&ann, TWO).await);
    let mixed = replace(&first, "code", &parameter(&second, "code"));
    assert_eq!(ann.get(TWO, &mixed).await.location().host_str(), Some(LOGIN), "the code of another attempt");
    for code in ["", "x", &parameter(&first, "state"), &format!("{}A", parameter(&first, "code"))] {
        assert!(ann.get(TWO, &replace(&first, "code", code)).await.header("set-cookie").find("session").is_none(), "{code}");
    }
    let elsewhere = ann.get("three.apps.test", &path_of(&first)).await;
    assert!(ann.session("three.apps.test").is_none(), "{elsewhere:?}");
    assert!(ann.session(TWO).is_none());

    assert_eq!(ann.get(TWO, &path_of(&first)).await.location().as_str(), "https://two.apps.test/doc");
    let session = ann.session(TWO).unwrap();
    let again = ann.get(TWO, &path_of(&first)).await;
    assert_eq!((again.location().as_str(), ann.session(TWO)), ("https://two.apps.test/doc", Some(session)), "nothing new");

    let late = address_with_code(&ann, "late.apps.test").await;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(ann.get("late.apps.test", &path_of(&late)).await.location().host_str(), Some(LOGIN), "it begins again");
    assert!(ann.session("late.apps.test").is_none());
}

#[tokio::test]
async fn what_a_hostile_host_catches_opens_no_other_host() {
    let world = build().start().await;
    let (victim, attacker) = (signed_in(&world).await, Browser::new(&world));
    // The attacker begins at their host, and has the victim's browser go on; their page, or a service worker of it, sees the code.
    let planted = attacker.get(EVIL, "/").await.location();
    let caught = victim.follow(&planted).await.location();
    assert_eq!(caught.host_str(), Some(EVIL));
    assert_eq!(attacker.get(EVIL, &path_of(&caught)).await.location().host_str(), Some(EVIL));
    let stolen = attacker.session(EVIL).expect("as much as the victim's own visit would have told that host");
    for host in [ONE, TWO, LOGIN, "app.test"] {
        attacker.set_cookie(host, "__Host-evergate_session", &stolen);
        assert_eq!(attacker.fetch(host, "/").await.status, StatusCode::UNAUTHORIZED, "{host}");
        assert_eq!(attacker.fetch(host, "/oauth2/userinfo").await.status, StatusCode::UNAUTHORIZED, "{host}");
    }
    let to_login_site = attacker.get(TWO, "/").await.location();
    let asked = attacker.follow(&to_login_site).await.location();
    assert!(asked.as_str().starts_with(world.idp.issuer()), "the login site asks for a login: {asked}");
    // It ends with the victim's.
    victim.send(ONE, Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(attacker.fetch(EVIL, "/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_login_site_sends_nobody_to_a_host_that_is_none_of_ours_nor_answers_scripts() {
    let mut world = build().start().await;
    let ann = signed_in(&world).await;
    let asked = ann.get(TWO, "/").await.location();
    let script = ann.fetch(LOGIN, &path_of(&asked)).await;
    assert_eq!((script.status, script.header("location")), (StatusCode::FORBIDDEN, ""));
    for state in ["", "x", "https://evil.test", "eyJoIjoiZXZpbC50ZXN0In0"] {
        for page in ["hand_over?", "handed_over?code=x&"] {
            let reply = ann.get(LOGIN, &format!("/oauth2/{page}state={state}")).await;
            // Who is signed in there is shown the front page.
            let is_own = reply.header("location") == "https://login.test/" && page.starts_with("handed");
            assert!(is_own || (reply.status == StatusCode::BAD_REQUEST && reply.header("location").is_empty()), "{page}{state}");
        }
    }
    // A request for a session at another site than the login site is answered there alone.
    assert_eq!(ann.get(ONE, &path_of(&asked)).await.status, StatusCode::BAD_REQUEST);
    let state = parameter(&asked, "state");
    let callback = ann.get(TWO, &format!("/oauth2/callback?code=x&state={state}")).await;
    assert!(ann.session(TWO).is_none() && callback.status != StatusCode::OK);
    world.restart_with(&[("wildcard_access_url", "*.others.test")]).await;
    let reply = ann.at(world.address()).get(LOGIN, &path_of(&asked)).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::BAD_REQUEST, ""));
}
