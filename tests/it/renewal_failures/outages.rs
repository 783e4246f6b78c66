//! The provider is away, fails, or is too slow.

use super::*;

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
