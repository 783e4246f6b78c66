//! The grace for the store: while Postgres cannot be asked, the sessions that a replica knows are served from memory.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour},
    logs::lines_with,
    visitor::{Reply, Visitor, path_of},
};

const GRACE: Duration = Duration::from_secs(60);
const EXPIRED: Duration = Duration::from_secs(301);
const OWN: [(&str, &str); 2] = [("sec-fetch-site", "same-origin"), ("accept", "text/html")];

/// Cuts the gateways off from Postgres, and waits until the first knows it.
async fn lose_store(world: &World) {
    world.store_line.as_ref().unwrap().cut();
    let state = async || world.visitor().get("/oauth2/readyz").await.json()["store"].clone();
    eventually("the store is away", async || state().await == "unavailable").await;
    eventually("no changes are announced", async || world.metric(0, "evergate_store_listener_connected") == 0.0).await;
}

fn find_store(world: &World) {
    world.store_line.as_ref().unwrap().mend();
}

/// Somebody whose session and grant the first gateway has in memory.
async fn known(world: &World) -> Visitor {
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    visitor
}

fn is_marked(world: &World) -> bool {
    world.upstream.last().header("x-evergate-renewed-at").is_some()
}

fn is_store_unavailable(reply: &Reply) -> bool {
    reply.status == StatusCode::SERVICE_UNAVAILABLE
        && reply.header("evergate-response") == "store_unavailable"
        && !reply.header("retry-after").is_empty()
        && reply.set_cookies().is_empty()
}

#[tokio::test]
async fn known_sessions_are_served_from_memory_for_the_grace_and_marked() {
    let world = World::build().on(Kind::Postgres).start().await;
    let visitor = known(&world).await;
    assert!(!is_marked(&world));
    lose_store(&world).await;
    for _ in 0..3 {
        assert!(visitor.get("/").await.is_upstreams() && is_marked(&world));
        assert_eq!(visitor.fetch("/").await.status, StatusCode::OK);
    }
    assert!(world.metric(0, "evergate_store_outage_served_total") >= 6.0);
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.status, StatusCode::OK, "our own pages too");
    world.clock.advance(GRACE - Duration::from_secs(1));
    assert!(visitor.get("/").await.is_upstreams());
    world.clock.advance(Duration::from_secs(1));
    assert!(is_store_unavailable(&visitor.get("/").await), "the grace has ended");
    find_store(&world);
    eventually("all is well", async || visitor.get("/").await.is_upstreams() && !is_marked(&world)).await;
    assert_eq!((world.idp.prompts(), world.idp.calls(Endpoint::Refresh)), (1, 0));
}

#[tokio::test]
async fn whom_a_replica_does_not_know_is_told_to_wait_and_never_to_log_in() {
    let world = World::build().replicas(2).start().await;
    let visitor = known(&world).await;
    lose_store(&world).await;
    assert!(visitor.get("/").await.is_upstreams());
    let elsewhere = visitor.at(world.replicas[1].address);
    assert!(is_store_unavailable(&elsewhere.get("/").await), "nobody has asked the second replica for it");
    let made_up = format!("__Host-evergate_session={}", evergate::secret::random_text::<32>());
    let stranger = world.visitor().send(Method::GET, "/", &[("cookie", &made_up), ("accept", "text/html")], "").await;
    assert!(is_store_unavailable(&stranger));
}

#[tokio::test]
async fn without_a_grace_nobody_is_served_from_memory() {
    let world = World::build().on(Kind::Postgres).set("store_outage_grace", "0").start().await;
    let visitor = known(&world).await;
    lose_store(&world).await;
    // What is in memory lives half a second by the clock.
    world.clock.advance(Duration::from_secs(1));
    assert!(is_store_unavailable(&visitor.get("/").await));
}

#[tokio::test]
async fn the_limits_of_a_session_hold_while_it_is_served_from_memory() {
    let world = World::build()
        .on(Kind::Postgres)
        .set("store_outage_grace", "10h")
        .set("oidc_outage_grace", "10h")
        .set("session_duration", "1h")
        .set("session_max_duration", "2h")
        .start()
        .await;
    let (visitor, idle) = (known(&world).await, known(&world).await);
    lose_store(&world).await;
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(50 * 60));
        assert!(visitor.get("/").await.is_upstreams(), "it is used");
    }
    assert!(is_store_unavailable(&idle.get("/").await), "it was not used for an hour");
    world.clock.advance(Duration::from_secs(20 * 60));
    assert!(is_store_unavailable(&visitor.get("/").await), "the login is two hours old");
    find_store(&world);
    eventually("both log in", async || {
        idle.fetch("/").await.status == StatusCode::UNAUTHORIZED && visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED
    })
    .await;
}

#[tokio::test]
async fn an_access_token_that_expires_meanwhile_is_not_renewed_and_its_user_served_by_the_provider_s_grace() {
    for (grace, is_served) in [("1h", true), ("0", false)] {
        let world =
            World::build().on(Kind::Postgres).set("store_outage_grace", "1h").set("oidc_outage_grace", grace).start().await;
        let visitor = known(&world).await;
        lose_store(&world).await;
        assert!(visitor.get("/").await.is_upstreams());
        world.clock.advance(EXPIRED);
        let reply = visitor.get("/").await;
        assert_eq!(reply.is_upstreams(), is_served, "{grace}");
        assert!(is_served || is_store_unavailable(&reply));
        assert_eq!(world.idp.calls(Endpoint::Refresh), 0, "no token is presented whose successor could not be saved");
        find_store(&world);
        eventually("it is renewed", async || visitor.get("/").await.is_upstreams() && !is_marked(&world)).await;
        assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
    }
}

#[tokio::test]
async fn whom_the_provider_cuts_off_meanwhile_is_not_served_from_memory() {
    let world = World::build().on(Kind::Postgres).set("oidc_outage_grace", "1h").start().await;
    let visitor = known(&world).await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let waiting = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.get("/").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    lose_store(&world).await;
    assert!(visitor.get("/").await.is_upstreams(), "nobody knows better yet");
    world.idp.kill_grants();
    world.idp.behave(Endpoint::Refresh);
    eventually("the end waits", async || !lines_with(&["the end of a grant cannot be saved yet"]).is_empty()).await;
    eventually("nobody is served", async || is_store_unavailable(&visitor.get("/").await)).await;
    let _first = waiting.await.unwrap();
    find_store(&world);
    eventually("it has ended", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_strict_route_serves_nobody_from_memory() {
    let world = World::build()
        .on(Kind::Postgres)
        .routes(|upstream| {
            format!(
                "[[route]]\npath = \"/strict\"\nupstream = \"{upstream}\"\noutage = \"strict\"\n\
                 [[route]]\npath = \"/\"\nupstream = \"{upstream}\""
            )
        })
        .start()
        .await;
    let visitor = known(&world).await;
    assert!(visitor.get("/strict").await.is_upstreams());
    lose_store(&world).await;
    world.clock.advance(Duration::from_secs(1));
    assert!(is_store_unavailable(&visitor.get("/strict").await));
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_grant_that_was_renewed_just_before_the_outage_is_known() {
    let world = World::build().on(Kind::Postgres).start().await;
    eventually("changes are announced", async || world.metric(0, "evergate_store_listener_connected") > 0.0).await;
    let visitor = known(&world).await;
    let loads = || world.metric(0, "evergate_session_cache_loads_total");
    // The store may be lost in the very moment in which the grant is read again, and then it is not known.
    eventually("it is served from memory", async || {
        world.clock.advance(EXPIRED);
        let (before, renewals) = (loads(), world.idp.calls(Endpoint::Refresh));
        eventually("it is renewed", async || {
            visitor.get("/").await.is_upstreams() && world.idp.calls(Endpoint::Refresh) > renewals
        })
        .await;
        // Nobody asks for it again but the replica itself.
        eventually("it was read again", async || loads() > before).await;
        lose_store(&world).await;
        let is_served = visitor.get("/").await.is_upstreams();
        find_store(&world);
        is_served
    })
    .await;
}

#[tokio::test]
async fn a_session_that_ended_elsewhere_in_a_partition_lives_at_most_for_the_grace() {
    let world = World::build().on(Kind::Postgres).start().await;
    let visitor = known(&world).await;
    lose_store(&world).await;
    world.sql("DELETE FROM sessions").await;
    assert!(visitor.get("/").await.is_upstreams(), "nobody can know");
    world.clock.advance(GRACE);
    assert!(is_store_unavailable(&visitor.get("/").await));
    find_store(&world);
    eventually("it has ended", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn an_outage_that_comes_back_again_and_again_gives_no_new_grace_to_what_ended_meanwhile() {
    let world = World::build().on(Kind::Postgres).start().await;
    let (visitor, other) = (known(&world).await, known(&world).await);
    lose_store(&world).await;
    world.clock.advance(GRACE / 2);
    find_store(&world);
    eventually("the store is back", async || other.get("/").await.is_upstreams() && !is_marked(&world)).await;
    lose_store(&world).await;
    // The first has not asked while the store could be asked: it was last known to be true before the first outage.
    world.clock.advance(GRACE / 2);
    assert!(is_store_unavailable(&visitor.get("/").await));
    assert!(other.get("/").await.is_upstreams());
}

#[tokio::test]
async fn whoever_signs_out_everywhere_is_signed_out_of_what_this_replica_knows_at_once() {
    let world = World::build().on(Kind::Postgres).start().await;
    let (visitor, other) = (known(&world).await, known(&world).await);
    let stolen = visitor.copy();
    lose_store(&world).await;
    assert!(stolen.get("/").await.is_upstreams() && other.get("/").await.is_upstreams());
    visitor.send(Method::POST, "/oauth2/sign_out?everywhere=true", &OWN, "").await.location();
    for ended in [&stolen, &other] {
        assert_eq!(ended.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    }
    find_store(&world);
    eventually("the store is told", async || world.idp.revoked().len() == 2).await;
    for ended in [&stolen, &other] {
        eventually("it has ended", async || ended.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    }
}

#[tokio::test]
async fn a_logout_at_the_provider_holds_here_at_once_and_everywhere_when_the_store_is_back() {
    let world = World::build().replicas(2).start().await;
    let mut visitors = Vec::new();
    for sid in ["sid-1", "sid-2"] {
        world.idp.edit_id_token(move |claims| claims["sid"] = json!(sid));
        visitors.push(known(&world).await);
    }
    world.idp.edit_id_token(|_| {});
    let unsaid = known(&world).await;
    let elsewhere = visitors[0].at(world.replicas[1].address);
    assert!(elsewhere.get("/").await.is_upstreams());
    lose_store(&world).await;
    let token = world.idp.logout_token(json!({"sid": "sid-1"}), json!({}));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let told = world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &form, &format!("logout_token={token}")).await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE, "another replica may know more sessions");
    assert_eq!(visitors[0].fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert!(visitors[1].get("/").await.is_upstreams(), "its session at the provider is another");
    assert_eq!(unsaid.fetch("/").await.status, StatusCode::UNAUTHORIZED, "it does not say which one it came of");
    assert!(elsewhere.get("/").await.is_upstreams(), "nobody has told it");
    find_store(&world);
    eventually("it has ended everywhere", async || elsewhere.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    eventually("their refresh tokens are revoked", async || world.idp.revoked().len() == 2).await;
    let why = ["sessions", "why", "ann@example.com"];
    eventually("the history says so", async || world.command(&why).await.1.contains("provider")).await;
    assert!(visitors[1].get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_logout_at_the_provider_holds_also_for_a_session_that_is_read_before_it_can_be_recorded() {
    let world = World::build().on(Kind::Postgres).replicas(2).start().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-1"));
    let unknown_here = world.visitor().at(world.replicas[1].address);
    unknown_here.browse(&world.idp, "/").await;
    lose_store(&world).await;
    let token = world.idp.logout_token(json!({"sid": "sid-1"}), json!({}));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &form, &format!("logout_token={token}")).await;
    world.set_store_read_only(true, true).await;
    find_store(&world);
    let here = unknown_here.at(world.replicas[0].address);
    eventually("it has ended here", async || here.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    world.set_store_read_only(false, true).await;
}

#[tokio::test]
async fn whoever_signs_out_everywhere_is_signed_out_also_of_what_is_read_before_it_can_be_recorded() {
    let world = World::build().on(Kind::Postgres).replicas(2).start().await;
    let visitor = known(&world).await;
    let unknown_here = world.visitor().at(world.replicas[1].address);
    unknown_here.browse(&world.idp, "/").await;
    let here = unknown_here.at(world.replicas[0].address);
    lose_store(&world).await;
    assert!(is_store_unavailable(&here.get("/").await));
    visitor.send(Method::POST, "/oauth2/sign_out?everywhere=true", &OWN, "").await;
    world.set_store_read_only(true, true).await;
    find_store(&world);
    eventually("it has ended here", async || here.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    world.set_store_read_only(false, true).await;
}

#[tokio::test]
async fn a_login_that_returns_while_the_store_is_away_waits_for_it() {
    let world = World::build().on(Kind::Postgres).start().await;
    let visitor = world.visitor();
    let callback = world.idp.authorize(&visitor.get("/page").await.location()).await;
    lose_store(&world).await;
    let login = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.get(&path_of(&callback)).await }
    });
    // Something else is refused meanwhile, and the login is not.
    let made_up = format!("__Host-evergate_session={}", evergate::secret::random_text::<32>());
    for _ in 0..5 {
        assert!(is_store_unavailable(&world.visitor().send(Method::GET, "/", &[("cookie", &made_up)], "").await));
    }
    assert!(!login.is_finished());
    find_store(&world);
    let landed = login.await.unwrap();
    assert_eq!((landed.status, landed.location().path()), (StatusCode::SEE_OTHER, "/page"));
    assert!(visitor.get("/page").await.is_upstreams());
}

#[tokio::test]
async fn a_login_that_cannot_be_saved_is_told_as_that_and_completes_when_it_is_tried_again() {
    let build = World::build().on(Kind::Postgres).timed(|timings| timings.login_store_wait = Duration::from_millis(100));
    let world = build.start().await;
    let visitor = world.visitor();
    let callback = path_of(&world.idp.authorize(&visitor.get("/page").await.location()).await);
    lose_store(&world).await;
    let failed = visitor.get(&callback).await;
    assert!(is_store_unavailable(&failed));
    assert!(failed.text().contains("cannot keep your sign-in") && failed.text().contains(">Try again<"), "{}", failed.text());
    find_store(&world);
    eventually("the store is back", async || world.visitor().get("/oauth2/readyz").await.json()["store"] == "ok").await;
    let mut landed = None;
    eventually("it is saved within the little that a login waits here", async || {
        landed = Some(visitor.get(&callback).await).filter(|reply| !is_store_unavailable(reply));
        landed.is_some()
    })
    .await;
    assert_eq!(landed.unwrap().location().path(), "/page");
}
