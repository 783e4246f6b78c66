//! `CODER_COOKIE_NAME` and `CODER_COOKIE_FORMER_NAMES`.

use http::{Method, StatusCode};

use crate::harness::{
    World,
    idp::user,
    visitor::{Visitor, path_of},
};

async fn is_known_as(browser: &Visitor) -> Option<String> {
    let reply = browser.fetch("/oauth2/userinfo").await;
    (reply.status == StatusCode::OK).then(|| reply.json()["user"].as_str().unwrap().to_owned())
}

/// A browser in which Ann is signed in under the name before, and Bob under the present one.
async fn with_two_users(world: &mut World) -> Visitor {
    let browser = world.signed_in().await;
    world.restart_with(&[("cookie_name", "new")]).await;
    let browser = browser.at(world.address());
    world.idp.log_in_as(user("bob"));
    browser.log_in(&world.idp, "/").await;
    world.restart_with(&[("cookie_former_names", "evergate")]).await;
    let browser = browser.at(world.address());
    assert_eq!(is_known_as(&browser).await.as_deref(), Some("sub-bob"));
    browser
}

#[tokio::test]
async fn who_signs_out_is_nobody_afterwards_whatever_the_cookie_was_called_before() {
    let mut world = World::start().await;
    let browser = with_two_users(&mut world).await;
    browser.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(is_known_as(&browser).await, None, "not the user who sat there before");
    assert!(browser.cookies().keys().all(|name| !name.ends_with("session")), "{:?}", browser.cookies().keys());
}

#[tokio::test]
async fn who_logs_in_leaves_nobody_else_signed_in_there() {
    let mut world = World::start().await;
    let browser = with_two_users(&mut world).await;
    let thief = world.visitor();
    thief.set_cookie("__Host-evergate_session", &browser.session().unwrap());
    assert_eq!(is_known_as(&thief).await.as_deref(), Some("sub-ann"));
    browser.log_in(&world.idp, "/oauth2/start").await;
    assert_eq!(is_known_as(&browser).await.as_deref(), Some("sub-bob"));
    assert_eq!((is_known_as(&thief).await, browser.session()), (None, None));
}

#[tokio::test]
async fn a_login_may_end_at_a_replica_where_the_cookies_have_another_name_and_goes_on_at_both() {
    let mut world = World::build().set("cookie_former_names", "new").start().await;
    world.change(&[("cookie_name", "new"), ("cookie_former_names", "evergate")]);
    world.add_replica().await;
    let [before, after] = [0, 1].map(|replica| world.replicas[replica].address);
    for (first, then) in [(before, after), (after, before)] {
        let browser = world.visitor().at(first);
        let callback = world.idp.authorize(&browser.get("/").await.location()).await;
        let back = browser.at(then).get(&path_of(&callback)).await;
        assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.text());
        for replica in [first, then] {
            assert!(browser.at(replica).fetch("/").await.is_upstreams());
        }
        browser.at(first).send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
        for replica in [first, then] {
            assert_eq!(is_known_as(&browser.at(replica)).await, None);
        }
    }
}
