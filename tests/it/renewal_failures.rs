//! Renewal when things go wrong: nobody is logged out by anything but a dead grant.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, Rotation},
    logs::lines_with,
    visitor::Visitor,
};

const SOFT: Duration = Duration::from_secs(280);
const EXPIRED: Duration = Duration::from_secs(301);
/// A preset whose tokens are known to stay good: of others that is not believed before a renewal has shown it.
const REUSABLE: &str = "entra";
const GRACE: Duration = Duration::from_secs(3600);

/// Goes on as a user's page would by its scripts, while time passes, until the grant has been renewed so often.
async fn comes_back(world: &World, visitor: &Visitor, renewals: i64) {
    eventually("the grant is renewed", async || {
        world.clock.advance(Duration::from_secs(1));
        assert!(visitor.fetch("/").await.is_upstreams());
        visitor.fetch("/oauth2/userinfo").await.json()["renewals"].as_i64().unwrap() >= renewals
    })
    .await;
}

fn answers(status: u16, body: &str) -> Misbehaviour {
    Misbehaviour::Answer(status, body.to_owned(), vec![])
}

/// RF-08 and RF-09: the provider fails, while the access token is valid and after it has expired.
#[tokio::test]
async fn while_the_provider_fails_the_session_lives_through_token_and_grace_and_comes_back_by_itself() {
    for status in [500, 502, 503, 429] {
        let world = World::build().start_with(|idp| idp.rotate_as(Rotation::Reusable)).await;
        let visitor = world.signed_in().await;
        // One renewal first, so that the token is known to be reusable.
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());

        world.idp.misbehave(Endpoint::Refresh, answers(status, "away"));
        world.clock.advance(SOFT);
        assert!(visitor.get("/").await.is_upstreams(), "{status}: the token lives");
        eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 2).await;
        world.clock.advance(Duration::from_secs(60));
        assert!(visitor.get("/").await.is_upstreams(), "{status}: the grace runs");
        let stale = world.upstream.last().header("x-evergate-renewed-at").map(|at| at.parse::<i64>().unwrap());
        assert!(
            stale.is_some_and(|at| at < world.clock.now().seconds() - 300),
            "{status}: the upstream is told that the identity is stale"
        );

        world.clock.advance(GRACE);
        let refused = visitor.get("/").await;
        assert_eq!(
            (refused.status, refused.header("evergate-response")),
            (StatusCode::SERVICE_UNAVAILABLE, "renewal_unavailable"),
            "{status}: after the grace"
        );
        assert!(!refused.header("retry-after").is_empty() && refused.set_cookies().is_empty());

        world.idp.behave(Endpoint::Refresh);
        world.clock.advance(Duration::from_secs(61));
        eventually("it is served again, without a login", async || {
            world.clock.advance(Duration::from_secs(1));
            visitor.get("/").await.is_upstreams()
        })
        .await;
        assert_eq!(world.upstream.last().header("x-evergate-renewed-at"), None);
    }
}

#[tokio::test]
async fn an_unreachable_provider_logs_nobody_out() {
    let world = World::build().set("oidc_preset", REUSABLE).start_with(|idp| idp.rotate_as(Rotation::Reusable)).await;
    let visitor = world.signed_in().await;
    world.idp_line.cut();
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    world.idp_line.mend();
    world.clock.advance(Duration::from_secs(60));
    comes_back(&world, &visitor, 1).await;
}

#[tokio::test]
async fn without_grace_an_outage_is_an_honest_503() {
    let world = World::build().set("oidc_outage_grace", "0").start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, answers(503, ""));
    world.clock.advance(EXPIRED);
    for reply in [visitor.get("/").await, visitor.fetch("/").await] {
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(visitor.session().is_some());
    world.idp.behave(Endpoint::Refresh);
    world.clock.advance(Duration::from_secs(60));
    eventually("it is served again", async || {
        world.clock.advance(Duration::from_secs(1));
        visitor.get("/").await.is_upstreams()
    })
    .await;
}

/// RF-10: the provider answers `invalid_grant`.
#[tokio::test]
async fn a_dead_grant_is_ended_once_and_never_tried_again() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    let script = visitor.fetch("/").await;
    assert_eq!((script.status, script.json()["reason"].clone()), (StatusCode::UNAUTHORIZED, json!("grant_dead")));
    for _ in 0..5 {
        assert_eq!(visitor.get("/").await.status, StatusCode::SEE_OTHER, "a navigation goes to the provider by itself");
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
    let lines = lines_with(&[world.idp.issuer(), "failed to renew OIDC token: invalid_grant"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    visitor.log_in(&world.idp, "/").await;
    assert!(visitor.get("/").await.is_upstreams());
}

/// RF-11: the provider refuses the client (`invalid_client` and its like).
#[tokio::test]
async fn a_wrong_client_secret_is_the_administrator_s_problem_and_not_the_users() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.change_secret("rotated");
    world.clock.advance(EXPIRED);
    for _ in 0..10 {
        assert!(visitor.get("/").await.is_upstreams(), "served within the grace");
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "one probe a minute");
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["client"], "refused");
    assert!(world.replicas[0].metrics.render().unwrap().contains("evergate_client_config_error 1"));
    assert_eq!(lines_with(&[world.idp.issuer(), "failed to renew OIDC token: invalid_client"]).len(), 1);
    world.idp.change_secret(crate::harness::idp::CLIENT_SECRET);
    world.clock.advance(Duration::from_secs(61));
    comes_back(&world, &visitor, 1).await;
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["client"], "ok");
}

/// RF-15: a response that cannot be read: HTML, empty, truncated, too large, a redirect, without end.
#[tokio::test]
async fn answers_that_no_one_can_read_lose_no_session() {
    let oddities = [
        answers(200, ""),
        answers(200, "<html>"),
        answers(200, "[]"),
        answers(200, "{\"access_token\":"),
        answers(200, "{}"),
        Misbehaviour::Answer(302, String::new(), vec![("location", "http://127.0.0.1:1/")]),
        answers(404, ""),
        answers(400, "nonsense"),
        answers(418, "{\"error\":{}}"),
        Misbehaviour::Endless,
    ];
    for oddity in oddities {
        let what = format!("{oddity:?}");
        let world = World::build().set("oidc_preset", REUSABLE).start_with(|idp| idp.rotate_as(Rotation::Reusable)).await;
        let visitor = world.signed_in().await;
        world.idp.misbehave(Endpoint::Refresh, oddity);
        world.clock.advance(SOFT);
        assert!(visitor.get("/").await.is_upstreams(), "{what}");
        eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
        world.idp.behave(Endpoint::Refresh);
        world.clock.advance(Duration::from_secs(120));
        comes_back(&world, &visitor, 1).await;
    }
}

/// RF-15: the status of an error has come, and its page is lost.
#[tokio::test]
async fn an_error_whose_page_is_lost_has_had_no_more_effect_than_its_status_says() {
    let oddities = [
        Misbehaviour::CutOff(503),
        Misbehaviour::CutOff(429),
        Misbehaviour::CutOff(302),
        Misbehaviour::CutOff(403),
        Misbehaviour::Unfinished(503),
        Misbehaviour::Answer(503, "\u{b}".to_owned(), vec![("content-encoding", "br")]),
        Misbehaviour::Answer(429, " ".repeat(2 * 1024 * 1024), vec![("retry-after", "1")]),
    ];
    for oddity in oddities {
        let what = format!("{oddity:?}").chars().take(60).collect::<String>();
        let world = World::build().set("oidc_token_timeout", "2s").start().await;
        let visitor = world.signed_in().await;
        world.idp.misbehave(Endpoint::Refresh, oddity);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "{what}: served within the grace");
        eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) >= 1).await;
        world.idp.behave(Endpoint::Refresh);
        world.clock.advance(Duration::from_secs(120));
        comes_back(&world, &visitor, 1).await;
        assert_eq!(world.idp.passes(), 1, "{what}: the login alone");
    }
}

/// RF-10: the refusal of a dead token is cut off.
#[tokio::test]
async fn a_refusal_of_which_only_the_status_has_come_leaves_the_token_to_the_next_attempt() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::CutOff(400));
    world.idp.misbehave(Endpoint::Probe, answers(400, r#"{"error":"invalid_grant"}"#));
    world.clock.advance(EXPIRED);
    assert!(visitor.fetch("/").await.is_upstreams(), "served within the grace");
    world.idp.behave(Endpoint::Refresh);
    world.idp.kill_grants();
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(eventually_refused(&visitor).await, "grant_dead", "the token was presented again");
}

/// RF-05: the provider has received the request, and its response is lost.
#[tokio::test]
async fn a_rotating_token_of_unknown_fate_is_not_presented_again_and_the_browser_signs_in_by_itself() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "one renewal shows that tokens rotate");
        // The provider rotates, and its answer is lost.
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::WorkThenAnswer(500, String::new()));
        world.clock.advance(SOFT);
        assert!(visitor.get("/").await.is_upstreams());
        eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 2).await;
        world.idp.behave(Endpoint::Refresh);
        world.clock.advance(Duration::from_secs(15));
        assert!(visitor.get("/").await.is_upstreams(), "the access token still lives");
        world.clock.advance(Duration::from_secs(120));
        let script = eventually_refused(&visitor).await;
        assert_eq!(script, "renewal_outcome_unknown");
        assert_eq!(world.idp.calls(Endpoint::Refresh), 2, "never presented again");
        visitor.log_in(&world.idp, "/").await;
        assert!(visitor.get("/").await.is_upstreams());
    }
}

/// The reason of the 401 that a script gets in the end.
async fn eventually_refused(visitor: &Visitor) -> String {
    eventually("a script is told to sign in", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    visitor.fetch("/").await.json()["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_lost_answer_of_a_provider_with_reusable_tokens_costs_nothing() {
    let world = World::build().set("oidc_preset", REUSABLE).start_with(|idp| idp.rotate_as(Rotation::Reusable)).await;
    let visitor = world.signed_in().await;
    for lost in [Misbehaviour::WorkThenAnswer(502, String::new()), Misbehaviour::WorkThenAnswer(504, String::new())] {
        let before = visitor.fetch("/oauth2/userinfo").await.json()["renewals"].as_i64().unwrap();
        world.idp.misbehave(Endpoint::Refresh, lost);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "served within the grace");
        world.idp.behave(Endpoint::Refresh);
        world.clock.advance(Duration::from_secs(60));
        comes_back(&world, &visitor, before + 1).await;
    }
}

#[tokio::test]
async fn a_provider_that_is_too_slow_is_not_waited_for_for_ever() {
    let world = World::build()
        .set("oidc_preset", REUSABLE)
        .set("oidc_token_timeout", "1s")
        .start_with(|idp| idp.rotate_as(Rotation::Reusable))
        .await;
    let visitor = world.signed_in().await;
    world.idp_line.stall();
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams(), "served within the grace");
    assert_eq!(lines_with(&[world.idp.issuer(), "failed to renew OIDC token: timed_out"]).len(), 1);
    world.idp_line.mend();
    world.clock.advance(Duration::from_secs(60));
    comes_back(&world, &visitor, 1).await;
}

/// The deadline of a token call may be shorter than that for connecting.
#[tokio::test]
async fn a_token_call_whose_time_is_over_before_it_is_connected_has_sent_nothing() {
    // Takes no connection: those that it has room for are there.
    let full = TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) = tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    let mut world = World::build().set("oidc_token_timeout", "1s").start().await;
    let visitor = world.signed_in().await;
    world.idp.set_metadata(json!({"token_endpoint": format!("http://{address}/token")}));
    world.restart_with(&[]).await;
    let visitor = visitor.at(world.address());
    world.clock.advance(EXPIRED);
    eventually("a token call fails", async || {
        assert!(visitor.fetch("/").await.is_upstreams(), "served within the grace");
        !lines_with(&[world.idp.issuer(), "failed to renew OIDC token: unreachable"]).is_empty()
    })
    .await;
    world.idp.set_metadata(json!({}));
    world.clock.advance(Duration::from_secs(120));
    comes_back(&world, &visitor, 1).await;
    assert_eq!(world.idp.passes(), 1, "the login alone");
}

/// RF-19: the store is away.
#[tokio::test]
async fn while_the_store_is_away_nothing_is_presented_and_nobody_is_logged_out() {
    let world = World::build().on(Kind::Postgres).set("store_outage_grace", "0").start().await;
    let visitor = world.signed_in().await;
    world.store_line.as_ref().unwrap().cut();
    world.clock.advance(EXPIRED);
    eventually("requests are told to wait", async || visitor.get("/").await.status == StatusCode::SERVICE_UNAVAILABLE).await;
    let refused = visitor.get("/").await;
    assert!(!refused.header("retry-after").is_empty() && refused.set_cookies().is_empty());
    assert_eq!(visitor.fetch("/").await.status, StatusCode::SERVICE_UNAVAILABLE, "not a 401");
    assert_eq!(world.idp.calls(Endpoint::Refresh), 0, "no token is presented whose successor could not be saved");
    let unready = async || visitor.get("/oauth2/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE;
    eventually("the heartbeat has found out", unready).await;
    assert_eq!(visitor.get("/oauth2/healthz").await.status, StatusCode::OK);
    world.store_line.as_ref().unwrap().mend();
    eventually("the same session is served", async || visitor.get("/").await.is_upstreams()).await;
}

/// RF-20: whether the store has committed the new tokens is unknown.
#[tokio::test]
async fn tokens_that_arrive_while_the_store_is_away_are_saved_when_it_is_back() {
    let world = World::build().on(Kind::Postgres).start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let waiting = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.get("/").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    world.store_line.as_ref().unwrap().cut();
    world.idp.behave(Endpoint::Refresh);
    eventually("the answer could not be saved", async || !lines_with(&["renewed tokens cannot be saved yet"]).is_empty()).await;
    world.store_line.as_ref().unwrap().mend();
    let _first = waiting.await.unwrap();
    eventually("the renewal is kept", async || visitor.get("/").await.is_upstreams()).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "the refresh token is presented once");
    world.clock.advance(EXPIRED);
    eventually("the next one too", async || visitor.get("/").await.is_upstreams()).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
}

/// RF-27: very many access tokens expire at the same time.
#[tokio::test]
async fn renewals_of_many_grants_are_bounded() {
    let world = World::build().set("oidc_max_concurrent_renewals", "3").start().await;
    let mut visitors = Vec::new();
    for _ in 0..20 {
        visitors.push(world.signed_in().await);
    }
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Slow(Duration::from_millis(100)));
    world.clock.advance(EXPIRED);
    let requests: Vec<_> = visitors.into_iter().map(|visitor| tokio::spawn(async move { visitor.get("/").await })).collect();
    for request in requests {
        assert!(request.await.unwrap().is_upstreams());
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 20);
    assert!(world.idp.most_at_once() <= 3, "the number of concurrent renewals is bounded");
}

/// RF-23: the clocks of Evergate and of the provider differ.
#[tokio::test]
async fn what_cannot_be_judged_at_a_renewal_ends_no_grant() {
    type Edit = fn(&mut serde_json::Value);
    let untimely: Edit = |claims| claims["iat"] = json!(claims["iat"].as_i64().unwrap() + 3600);
    let expired: Edit = |claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 3600);
    for (what, edit) in [("our clock is behind", untimely), ("our clock is ahead", expired)] {
        let world = World::start().await;
        let visitor = world.signed_in().await;
        world.idp.edit_id_token(edit);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "{what}");
        assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("sub-ann"), "{what}");
    }
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.edit_userinfo(|claims| *claims = json!({"error": "temporarily_unavailable"}));
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert!(world.idp.has_live_refresh_token(), "and nothing is revoked");
}

#[tokio::test]
async fn one_grant_s_odd_answer_stops_no_other() {
    let world = World::start().await;
    let (odd, other) = (world.signed_in().await, world.signed_in().await);
    world.idp.misbehave(Endpoint::Refresh, answers(400, r#"{"error":"invalid_scope"}"#));
    world.clock.advance(EXPIRED);
    assert!(odd.fetch("/").await.is_upstreams(), "served within the grace");
    world.idp.behave(Endpoint::Refresh);
    assert!(other.get("/").await.is_upstreams());
    assert_eq!(other.fetch("/oauth2/userinfo").await.json()["renewals"], 1);
    comes_back(&world, &odd, 1).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_the_renewals_under_way_even_when_requests_are_cut_off() {
    let mut world = World::build().set("shutdown_timeout", "1s").start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Slow(Duration::from_secs(4)));
    world.clock.advance(EXPIRED);
    let waiting = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.try_send(http::Method::GET, "/", &[], "").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    world.replicas.remove(0).stop().await;
    drop(waiting);
    world.add_replica().await;
    let visitor = visitor.at(world.address());
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "what was presented was saved");
}

#[tokio::test]
async fn a_grant_of_unknown_fate_is_served_on_by_every_replica_while_the_provider_is_away() {
    let world = World::build().replicas(2).set("oidc_preset", "authelia").start().await;
    let here = world.signed_in().await;
    let there = here.at(world.replicas[1].address);
    world.idp.misbehave(Endpoint::Refresh, answers(502, ""));
    world.clock.advance(EXPIRED);
    assert!(here.get("/").await.is_upstreams());
    // Long after this replica saw the failure, and on one that never did.
    for _ in 0..5 {
        world.clock.advance(Duration::from_secs(200));
        assert!(here.fetch("/").await.is_upstreams() && there.get("/").await.is_upstreams(), "nobody is sent there");
    }
    world.idp.behave(Endpoint::Refresh);
    world.clock.advance(Duration::from_secs(200));
    let session = here.session();
    eventually("it goes on with another grant", async || {
        here.browse(&world.idp, "/").await.is_upstreams() && world.idp.passes() == 2
    })
    .await;
    assert_eq!((here.session(), world.idp.prompts()), (session, 1), "and silently");
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "looked at with a token that is nobody's");
}

#[tokio::test]
async fn an_outage_of_statuses_500_costs_few_one_use_tokens_once_it_is_known_how_the_provider_refuses() {
    let world = World::build().set("oidc_preset", "authelia").start().await;
    let mut visitors = Vec::new();
    for _ in 0..8 {
        visitors.push(world.signed_in().await);
    }
    world.clock.advance(EXPIRED);
    for visitor in &visitors {
        assert!(visitor.get("/").await.is_upstreams());
    }
    // An outage of another kind, at whose end the provider is seen to refuse a token that is nobody's as it should.
    world.idp.misbehave(Endpoint::Refresh, answers(503, ""));
    world.clock.advance(EXPIRED);
    eventually("the outage has begun", async || {
        world.clock.advance(Duration::from_secs(5));
        for visitor in &visitors {
            visitor.get("/").await;
        }
        !lines_with(&[world.idp.issuer(), "the provider does not renew grants"]).is_empty()
    })
    .await;
    world.idp.behave(Endpoint::Refresh);
    eventually("the outage is over", async || {
        world.clock.advance(Duration::from_secs(31));
        for visitor in &visitors {
            visitor.get("/").await;
        }
        !lines_with(&[world.idp.issuer(), "the provider renews grants again"]).is_empty()
    })
    .await;
    world.idp.misbehave(Endpoint::Refresh, answers(500, ""));
    world.clock.advance(EXPIRED);
    let failures = || lines_with(&[world.idp.issuer(), "failed to renew OIDC token: status_500"]).len();
    for (nth, visitor) in visitors.iter().take(3).enumerate() {
        // In turn: what is under way at once when an outage begins cannot be called back.
        eventually("a renewal has failed", async || {
            visitor.get("/").await;
            failures() > nth
        })
        .await;
    }
    let presented = world.idp.calls(Endpoint::Refresh);
    for visitor in visitors.iter().cycle().take(80) {
        world.clock.advance(Duration::from_secs(5));
        visitor.get("/").await;
    }
    eventually("it was looked at again and again", async || {
        world.clock.advance(Duration::from_secs(5));
        visitors[7].get("/").await;
        failures() >= 8
    })
    .await;
    let in_vain = world.idp.calls(Endpoint::Refresh) - presented;
    assert_eq!(in_vain, 0, "tokens were presented in vain");
}

#[tokio::test]
async fn a_clock_that_is_set_back_after_an_outage_does_not_prolong_it() {
    let world = World::build().set("oidc_preset", REUSABLE).set("oidc_outage_grace", "2h").start().await;
    let visitor = world.signed_in().await;
    let step = Duration::from_secs(3600);
    world.clock.advance(EXPIRED + step);
    world.idp.misbehave(Endpoint::Refresh, answers(503, "away"));
    eventually("the circuit breaker is open", async || {
        world.clock.advance(Duration::from_secs(1));
        assert!(visitor.fetch("/").await.is_upstreams());
        !lines_with(&[world.idp.issuer(), "the provider does not renew grants"]).is_empty()
    })
    .await;
    world.idp.behave(Endpoint::Refresh);
    world.clock.set_back(step);
    eventually("it is renewed, in no time", async || {
        assert!(visitor.fetch("/").await.is_upstreams());
        visitor.fetch("/oauth2/userinfo").await.json()["renewals"] == 1
    })
    .await;
}
