//! What the provider answers is lost, or only a part of it comes.

use super::*;
use crate::harness::silent::Silent;

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
        let world = World::build().set("oidc_token_timeout", "5s").start().await;
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

/// The deadline of a token call may be shorter than that for connecting.
#[tokio::test]
async fn a_token_call_whose_time_is_over_before_it_is_connected_has_sent_nothing() {
    let silent = Silent::start().await;
    let mut world = World::build().set("oidc_token_timeout", "5s").start().await;
    let visitor = world.signed_in().await;
    world.idp.set_metadata(json!({"token_endpoint": format!("http://{}/token", silent.address)}));
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
