//! One login for all sites: the session of the login site is handed over to the others.

mod attacks;
mod browser;

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    Builder, Kind, World,
    eventually::eventually,
    idp::{Endpoint, user},
};

use browser::Browser;

const ONE: &str = "one.apps.test";
const TWO: &str = "two.apps.test";
const LOGIN: &str = "login.test";

fn build() -> Builder {
    World::build()
        .set("shared_login", "true")
        .set("oidc_redirect_url", "https://login.test")
        .set("wildcard_access_url", "*.apps.test")
}

async fn sessions(world: &World) -> Vec<Value> {
    let (_, text) = world.command(&["sessions", "list", "--json"]).await;
    let list: Value = serde_json::from_str(&text).unwrap();
    list["sessions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_second_host_needs_no_login_and_each_has_a_session_of_its_own_with_the_same_grant() {
    let world = build().start().await;
    let browser = Browser::new(&world);
    assert!(browser.browse(ONE, "/doc?x=1").await.is_upstreams());
    assert_eq!(world.upstream.last().target, "/doc?x=1");
    assert_eq!(browser.hosts_on_the_way(), [ONE, LOGIN, "the provider", LOGIN, LOGIN, ONE, ONE]);
    let long = format!("/doc?{}", "x".repeat(3000));
    assert!(browser.browse(TWO, &long).await.is_upstreams());
    assert_eq!((world.upstream.last().target, world.upstream.last().header("x-forwarded-user")), (long.clone(), Some("sub-ann")));
    assert_eq!(browser.hosts_on_the_way(), [TWO, LOGIN, TWO, TWO], "two redirects and no provider");
    let cookies = [ONE, TWO, LOGIN].map(|host| browser.session(host).unwrap());
    assert!(cookies[0] != cookies[1] && cookies[1] != cookies[2] && cookies[0] != cookies[2]);
    assert_eq!(world.idp.calls(Endpoint::Code), 1);

    // All of them are renewed by one token call.
    world.clock.advance(Duration::from_secs(301));
    for host in [ONE, TWO, LOGIN] {
        assert!(browser.get(host, "/").await.is_upstreams(), "{host}");
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn signing_out_at_one_host_ends_the_sessions_of_all_hosts_on_all_replicas_and_those_of_no_other_browser() {
    let world = build().replicas(2).start().await;
    let (browser, other) = (Browser::new(&world), Browser::new(&world));
    for host in [ONE, TWO] {
        assert!(browser.browse(host, "/").await.is_upstreams());
        assert!(other.browse(host, "/").await.is_upstreams());
    }
    let elsewhere = browser.at(world.replicas[1].address);
    assert!(elsewhere.fetch(TWO, "/").await.is_upstreams());
    let at_provider = browser.send(ONE, Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")]).await.location();
    let back = at_provider.query_pairs().find(|(name, _)| name == "post_logout_redirect_uri").unwrap().1.into_owned();
    assert_eq!(back, "https://login.test/oauth2/signed_out");
    for host in [TWO, LOGIN] {
        assert_eq!(browser.fetch(host, "/").await.status, StatusCode::UNAUTHORIZED, "{host}");
        eventually("the other replica has heard", async || elsewhere.fetch(host, "/").await.status == StatusCode::UNAUTHORIZED)
            .await;
    }
    for host in [ONE, TWO, LOGIN] {
        assert!(other.fetch(host, "/").await.is_upstreams(), "{host}");
    }
    // The grant went with the last of its sessions.
    eventually("its refresh token is revoked", async || world.idp.revoked().len() == 1).await;
}

#[tokio::test]
async fn signing_out_everywhere_at_one_host_ends_all_browsers_sessions_and_reaches_the_provider() {
    for host in [ONE, LOGIN] {
        let world = build().start().await;
        let (browser, other) = (Browser::new(&world), Browser::new(&world));
        for place in [ONE, TWO] {
            assert!(browser.browse(place, "/").await.is_upstreams());
            assert!(other.browse(place, "/").await.is_upstreams());
        }
        let headers = [("sec-fetch-site", "same-origin")];
        let out = browser.send(host, Method::POST, "/oauth2/sign_out?everywhere=true", &headers).await;
        assert_eq!(out.status, StatusCode::SEE_OTHER, "{host}");
        assert!(out.location().as_str().contains("id_token_hint"), "{host}: {}", out.location());
        for (place, left) in [ONE, TWO, LOGIN].into_iter().flat_map(|place| [(place, &browser), (place, &other)]) {
            assert_eq!(left.fetch(place, "/").await.status, StatusCode::UNAUTHORIZED, "{place}");
        }
        assert!(sessions(&world).await.is_empty());
    }
}

#[tokio::test]
async fn a_new_login_at_the_login_site_takes_its_user_s_other_hosts_along_and_ends_those_of_another_user() {
    let world = build().start().await;
    let browser = Browser::new(&world);
    assert!(browser.browse(ONE, "/").await.is_upstreams());
    let before = browser.session(ONE);
    assert!(browser.browse(LOGIN, "/oauth2/start?rd=/").await.is_upstreams());
    assert!(browser.fetch(ONE, "/").await.is_upstreams(), "the same user");
    assert_eq!(browser.session(ONE), before);
    let out = browser.send(LOGIN, Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.fetch(ONE, "/").await.status, StatusCode::UNAUTHORIZED, "it follows the new login");

    assert!(browser.browse(ONE, "/").await.is_upstreams());
    world.idp.log_in_as(user("bob"));
    assert!(browser.browse(LOGIN, "/oauth2/start?another=true&rd=/").await.is_upstreams());
    assert_eq!(browser.fetch(ONE, "/").await.status, StatusCode::UNAUTHORIZED, "ann is not signed in any more");
    assert!(browser.browse(ONE, "/").await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("sub-bob"));
    assert_eq!(sessions(&world).await.len(), 2);
}

/// The reason of each end in somebody's history.
async fn ends(world: &World, name: &str) -> Vec<String> {
    let (_, text) = world.command(&["sessions", "show", name, "--json"]).await;
    let shown: Value = serde_json::from_str(&text).unwrap();
    let ends = shown["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "logout");
    ends.map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_session_that_a_login_replaces_leaves_an_event_also_one_that_was_handed_over() {
    let world = build().start().await;
    let browser = Browser::new(&world);
    for host in [ONE, TWO] {
        assert!(browser.browse(host, "/").await.is_upstreams());
    }
    // The site's own session is replaced by another one of the same login.
    assert!(browser.browse(ONE, "/oauth2/start?rd=/").await.is_upstreams());
    eventually("one has ended", async || ends(&world, "ann").await == ["another_login"]).await;
    world.idp.log_in_as(user("bob"));
    assert!(browser.browse(LOGIN, "/oauth2/start?another=true&rd=/").await.is_upstreams());
    eventually("all three of hers have", async || ends(&world, "ann").await == ["another_login"; 4]).await;
    assert!(ends(&world, "bob").await.is_empty());
}

#[tokio::test]
async fn a_late_logout_at_the_provider_of_the_session_before_ends_nothing_of_a_new_login() {
    let world = build().start().await;
    let browser = Browser::new(&world);
    world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-1"));
    assert!(browser.browse(ONE, "/").await.is_upstreams());
    world.clock.advance(Duration::from_secs(600));
    world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-2"));
    assert!(browser.browse(LOGIN, "/oauth2/start?rd=/").await.is_upstreams());
    let announce = async |sid: &str| {
        let token = world.idp.logout_token(json!({"sid": sid, "sub": null}), json!({}));
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("logout_token={token}");
        world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &form, &body).await.status
    };
    for (sid, left) in [("sid-1", StatusCode::OK), ("sid-2", StatusCode::UNAUTHORIZED)] {
        assert_eq!(announce(sid).await, StatusCode::OK);
        for host in [ONE, LOGIN] {
            assert_eq!(browser.fetch(host, "/").await.status, left, "{sid} {host}");
        }
    }
}

#[tokio::test]
async fn whoever_signs_out_everywhere_while_the_store_is_away_is_signed_out_also_in_browsers_that_only_the_store_knows() {
    let world = build().on(Kind::Postgres).replicas(2).start().await;
    let (browser, other) = (Browser::new(&world), Browser::new(&world).at(world.replicas[1].address));
    for host in ["three.apps.test", TWO, ONE] {
        assert!(browser.browse(host, "/").await.is_upstreams());
    }
    assert!(other.browse(ONE, "/").await.is_upstreams());
    world.store_line.as_ref().unwrap().cut();
    browser.send(ONE, Method::POST, "/oauth2/sign_out?everywhere=true", &[("sec-fetch-site", "same-origin")]).await.location();
    world.store_line.as_ref().unwrap().mend();
    eventually("the store is told", async || sessions(&world).await.is_empty()).await;
}

#[tokio::test]
async fn a_login_lasts_as_long_as_it_is_used_at_any_host_and_no_longer_than_its_absolute_limit() {
    let world = build().set("session_duration", "2h").set("session_max_duration", "5h").start().await;
    let browser = Browser::new(&world);
    assert!(browser.browse(ONE, "/").await.is_upstreams());
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(90 * 60));
        assert!(browser.fetch(ONE, "/").await.is_upstreams());
        let now = world.clock.now().seconds();
        eventually("the use is recorded, also of the login", async || {
            let seen: Vec<_> = sessions(&world).await.iter().map(|session| session["lastSeenAt"].as_i64().unwrap()).collect();
            seen == [now, now]
        })
        .await;
    }
    assert!(browser.browse(TWO, "/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Code), 1, "nobody was at the login site for four hours and a half");
    world.clock.advance(Duration::from_secs(31 * 60));
    for host in [ONE, TWO, LOGIN] {
        assert_eq!(browser.fetch(host, "/").await.status, StatusCode::UNAUTHORIZED, "{host}");
    }
}

#[tokio::test]
async fn after_a_change_of_settings_every_host_gets_the_new_grant_by_one_way_through_the_provider() {
    let mut world = build().start().await;
    let browser = Browser::new(&world);
    for host in [ONE, TWO] {
        assert!(browser.browse(host, "/").await.is_upstreams());
    }
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access,groups")]).await;
    let browser = browser.at(world.address());
    assert!(browser.browse(ONE, "/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Code), 2);
    world.clock.advance(Duration::from_secs(11));
    assert!(browser.browse(ONE, "/").await.is_upstreams());
    assert_eq!(browser.hosts_on_the_way(), [ONE], "it has what there is to have");
    assert!(browser.browse(TWO, "/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Code), 2, "and so has the other host");
}
