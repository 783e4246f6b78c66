//! Refresh tokens of unknown fate: presented, and the answer was lost. They are asked about, or let be; never guessed.

use std::time::Duration;

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, Idp, Misbehaviour, Rotation},
    logs::lines_with,
    visitor::{Reply, Visitor},
};

const EXPIRED: Duration = Duration::from_secs(301);

/// Nothing of the request reached the provider.
fn bad_gateway() -> Misbehaviour {
    Misbehaviour::Answer(502, String::new(), vec![])
}

/// The provider has replaced the token, and its answer is lost.
fn lost_answer() -> Misbehaviour {
    Misbehaviour::WorkThenAnswer(502, String::new())
}

/// A world whose provider is known to rotate strictly and tells of refresh tokens.
async fn introspecting(truthfully: bool) -> World {
    World::build().set("oidc_preset", "authelia").start_with(move |idp: &Idp| idp.introspect(truthfully)).await
}

/// How often a renewal has failed.
fn failures(world: &World) -> usize {
    lines_with(&[world.idp.issuer(), "failed to renew OIDC token: status_502"]).len()
}

/// Presents the visitor's refresh token, and loses the answer.
async fn lose_just_now(world: &World, visitor: &Visitor, how: Misbehaviour) {
    let before = failures(world);
    world.idp.misbehave(Endpoint::Refresh, how);
    world.clock.advance(EXPIRED);
    // A store that is slow to answer is no store to renew with: the token is not presented before it does.
    eventually("served within the grace", async || {
        let reply = visitor.get("/").await;
        assert!(reply.is_upstreams() || reply.header("evergate-response") == "store_unavailable", "{reply:?}");
        reply.is_upstreams()
    })
    .await;
    eventually("the answer is lost", async || failures(world) == before + 1).await;
    world.idp.behave(Endpoint::Refresh);
}

/// The same, so long ago that the failure says nothing of the provider any more.
async fn lose(world: &World, visitor: &Visitor, how: Misbehaviour) {
    lose_just_now(world, visitor, how).await;
    world.clock.advance(Duration::from_secs(91));
}

/// Events are written a moment after they happen.
async fn history_says(world: &World, words: &str) {
    eventually("it is in the history", async || world.command(&["sessions", "show", "ann@example.com"]).await.1.contains(words))
        .await;
}

async fn renewals(visitor: &Visitor) -> i64 {
    visitor.fetch("/oauth2/userinfo").await.json()["renewals"].as_i64().unwrap_or_default()
}

#[tokio::test]
async fn a_token_of_unknown_fate_that_is_still_active_is_renewed_and_nobody_passes_the_provider() {
    let world = introspecting(true).await;
    let visitor = world.signed_in().await;
    lose(&world, &visitor, bad_gateway()).await;
    eventually("it is renewed", async || visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 1).await;
    assert_eq!(world.idp.calls(Endpoint::Introspection), 1);
    assert_eq!(world.idp.passes(), 1, "the login alone");
    history_says(&world, "introspected_active").await;
}

#[tokio::test]
async fn a_token_of_unknown_fate_that_is_not_active_is_never_presented_again() {
    // A spent one is inactive; and one provider calls every one so, which tells nothing.
    for (truthfully, lost) in [(true, lost_answer()), (false, bad_gateway())] {
        let world = introspecting(truthfully).await;
        let visitor = world.signed_in().await;
        lose(&world, &visitor, lost).await;
        let session = visitor.session();
        eventually("the browser goes on with another grant", async || {
            visitor.browse(&world.idp, "/").await.is_upstreams() && world.idp.passes() == 2
        })
        .await;
        assert_eq!((visitor.session(), world.idp.prompts()), (session, 1), "silently");
        assert_eq!((world.idp.calls(Endpoint::Introspection), world.idp.calls(Endpoint::Refresh)), (1, 1));
        history_says(&world, "introspected_inactive").await;
        history_says(&world, "outcome_unknown").await;
    }
}

#[tokio::test]
async fn an_attempt_that_another_one_follows_before_it_is_given_up_passes_no_expired_token_on_as_renewed() {
    let world = World::build()
        .on(Kind::Postgres)
        .set("oidc_preset", "authelia")
        .set("oidc_outage_grace", "10m")
        .start_with(|idp: &Idp| idp.introspect(true))
        .await;
    let visitor = world.signed_in().await;
    lose(&world, &visitor, lost_answer()).await;
    // Another replica's attempt takes the intent in the moment in which its lease expires.
    world
        .sql(
            "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             NEW.attempt = decode('00112233445566778899aabbccddeeff', 'hex'); \
             NEW.lease_until = (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT + 600000; RETURN NEW; END $$",
        )
        .await;
    world
        .sql(
            "CREATE TRIGGER follow BEFORE UPDATE ON grants FOR EACH ROW \
             WHEN (NEW.attempt = OLD.attempt AND NEW.lease_until < OLD.lease_until) EXECUTE FUNCTION follow()",
        )
        .await;
    world.clock.advance(Duration::from_secs(600));
    eventually("it is asked about", async || {
        let reply = visitor.get("/").await;
        assert!(!reply.is_upstreams(), "{reply:?}");
        world.idp.calls(Endpoint::Introspection) == 1
    })
    .await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn a_provider_that_has_just_called_a_token_inactive_is_not_away_and_the_browser_is_sent_there_at_once() {
    let world = introspecting(true).await;
    let visitor = world.signed_in().await;
    lose_just_now(&world, &visitor, lost_answer()).await;
    world.clock.advance(Duration::from_secs(10));
    eventually("the browser goes on with another grant", async || {
        visitor.browse(&world.idp, "/").await.is_upstreams() && world.idp.passes() == 2
    })
    .await;
    assert_eq!(world.idp.prompts(), 1, "silently");
}

#[tokio::test]
async fn a_healthy_grant_is_never_introspected_and_a_healthy_provider_never_sees_a_token_that_is_nobodys() {
    let world = World::build().start_with(|idp: &Idp| idp.introspect(true)).await;
    let visitor = world.signed_in().await;
    for renewal in 1..4 {
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(renewals(&visitor).await, renewal);
    }
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!((world.idp.calls(Endpoint::Introspection), world.idp.calls(Endpoint::Probe)), (0, 0));
}

#[tokio::test]
async fn an_introspection_that_the_provider_cannot_answer_now_is_made_again() {
    let world = introspecting(true).await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Introspection, Misbehaviour::Answer(503, String::new(), vec![]));
    lose(&world, &visitor, bad_gateway()).await;
    eventually("it was asked", async || {
        visitor.get("/").await;
        world.idp.calls(Endpoint::Introspection) >= 1
    })
    .await;
    world.idp.behave(Endpoint::Introspection);
    eventually("it is renewed", async || {
        world.clock.advance(Duration::from_secs(2));
        visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 1
    })
    .await;
    assert_eq!(world.idp.passes(), 1, "the login alone");
}

#[tokio::test]
async fn what_somebody_else_answers_to_an_introspection_gives_no_grant_up() {
    for (status, page) in [(404, ""), (400, "no"), (200, "<html>maintenance</html>")] {
        let world = introspecting(true).await;
        let visitor = world.signed_in().await;
        world.idp.misbehave(Endpoint::Introspection, Misbehaviour::Answer(status, page.to_owned(), vec![]));
        lose(&world, &visitor, bad_gateway()).await;
        eventually("it was asked", async || {
            assert!(visitor.get("/").await.is_upstreams(), "{status}: the grace runs");
            world.idp.calls(Endpoint::Introspection) >= 1
        })
        .await;
        world.idp.behave(Endpoint::Introspection);
        eventually("it is renewed", async || {
            world.clock.advance(Duration::from_secs(2));
            visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 1
        })
        .await;
        assert_eq!(world.idp.passes(), 1, "{status}: the login alone");
    }
}

#[tokio::test]
async fn where_introspection_is_blocked_the_browser_goes_through_the_provider_after_a_few_tries() {
    let world = introspecting(true).await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Introspection, Misbehaviour::Answer(403, "<html>not from here</html>".to_owned(), vec![]));
    lose(&world, &visitor, lost_answer()).await;
    eventually("the browser goes on with another grant", async || {
        world.clock.advance(Duration::from_secs(2));
        visitor.browse(&world.idp, "/").await.is_upstreams() && world.idp.passes() == 2
    })
    .await;
    assert_eq!((world.idp.prompts(), world.idp.calls(Endpoint::Introspection)), (1, 3), "silently");
}

#[tokio::test]
async fn one_blocked_introspection_after_an_outage_gives_no_grant_up() {
    let world = introspecting(true).await;
    let visitor = world.signed_in().await;
    let asked = || world.idp.calls(Endpoint::Introspection);
    world.idp.misbehave(Endpoint::Introspection, Misbehaviour::Answer(503, String::new(), vec![]));
    lose(&world, &visitor, bad_gateway()).await;
    eventually("it was asked", async || visitor.get("/").await.is_upstreams() && asked() >= 1).await;
    let ask_again = async |times: usize| {
        eventually("it was asked again", async || {
            world.clock.advance(Duration::from_secs(2));
            assert!(visitor.get("/").await.is_upstreams(), "the grace runs");
            asked() >= times
        })
        .await;
    };
    // As many as give a grant up whose introspection is blocked.
    ask_again(3).await;
    let page = "<html>not from here</html>".to_owned();
    world.idp.misbehave(Endpoint::Introspection, Misbehaviour::Answer(403, page, vec![]));
    ask_again(asked() + 1).await;
    world.idp.behave(Endpoint::Introspection);
    eventually("it is renewed", async || {
        world.clock.advance(Duration::from_secs(2));
        visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 1
    })
    .await;
    assert_eq!(world.idp.passes(), 1, "the login alone");
}

#[tokio::test]
async fn one_lost_response_sends_a_browser_through_the_provider_within_seconds_also_where_nobody_else_renews() {
    for outage in ["strict", "grace"] {
        let route = format!("[[route]]\npath = \"/\"\noutage = \"{outage}\"\n");
        let world = World::build().set("oidc_preset", "authelia").routes(move |_| route.clone()).start().await;
        let visitor = world.signed_in().await;
        world.idp.misbehave(Endpoint::Refresh, lost_answer());
        world.clock.advance(EXPIRED);
        eventually("the answer is lost", async || {
            visitor.fetch("/").await;
            failures(&world) == 1
        })
        .await;
        world.idp.behave(Endpoint::Refresh);
        // Far less than a failure counts as a sign of trouble.
        world.clock.advance(Duration::from_secs(10));
        eventually("the browser goes on with another grant", async || {
            visitor.browse(&world.idp, "/").await.is_upstreams() && world.idp.passes() == 2
        })
        .await;
        assert_eq!((world.idp.prompts(), world.idp.calls(Endpoint::Probe)), (1, 1), "{outage}: silently, after one probe");
    }
}

#[tokio::test]
async fn an_envoy_that_may_have_lost_the_providers_answer_has_no_spent_token_presented_again() {
    let world = World::build().set("oidc_preset", "authelia").start().await;
    let visitor = world.signed_in().await;
    let page = "upstream connect error or disconnect/reset before headers".to_owned();
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, page, vec![("server", "envoy")]));
    world.clock.advance(EXPIRED);
    eventually("the answer is lost", async || {
        visitor.fetch("/").await;
        !lines_with(&[world.idp.issuer(), "failed to renew OIDC token: status_503"]).is_empty()
    })
    .await;
    world.idp.behave(Endpoint::Refresh);
    world.clock.advance(Duration::from_secs(10));
    assert_unknown(&world, &visitor, 1).await;
}

#[tokio::test]
async fn an_introspection_that_is_too_slow_to_be_of_use_is_made_again_and_then_given_up() {
    let world = introspecting(true).await;
    let visitor = world.signed_in().await;
    // Longer than a token may be presented after its intent.
    world.idp.misbehave(Endpoint::Introspection, Misbehaviour::Slow(Duration::from_secs(4)));
    lose(&world, &visitor, bad_gateway()).await;
    eventually("it was asked about", async || {
        assert!(visitor.get("/").await.is_upstreams(), "the grace runs");
        world.idp.calls(Endpoint::Introspection) >= 1
    })
    .await;
    world.clock.advance(Duration::from_secs(3600));
    eventually("the browser goes on with another grant", async || {
        visitor.browse(&world.idp, "/").await.is_upstreams() && world.idp.passes() == 2
    })
    .await;
    assert_eq!((world.idp.prompts(), world.idp.calls(Endpoint::Refresh)), (1, 1), "silently");
    history_says(&world, "introspection_unavailable").await;
}

#[tokio::test]
async fn nobody_waits_longer_than_for_a_refresh_to_learn_whether_the_provider_is_there() {
    let world = World::build()
        .set("oidc_token_timeout", "2m")
        .timed(|timings| timings.blocking_refresh_wait = Duration::from_secs(1))
        .start()
        .await;
    let visitor = world.signed_in().await;
    lose(&world, &visitor, lost_answer()).await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    eventually("the provider is asked, and answers nothing", async || {
        assert!(visitor.fetch("/").await.is_upstreams());
        world.idp.calls(Endpoint::Probe) == 1
    })
    .await;
    let answers = tokio::time::timeout(Duration::from_secs(60), visitor.fetch_at_once(3, "/")).await;
    assert!(answers.expect("within half of what a token call may take").iter().all(Reply::is_upstreams));
    assert_eq!(world.idp.calls(Endpoint::Probe), 1, "one check for all of them");
    world.idp.behave(Endpoint::Refresh);
    eventually("the browser goes on with another grant", async || {
        visitor.browse(&world.idp, "/").await.is_upstreams() && world.idp.passes() == 2
    })
    .await;
}

#[tokio::test]
async fn what_was_learnt_of_rotation_outlives_the_process_that_learnt_it() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let mut world = World::build().on(kind).start().await;
        let (teacher, visitor) = (world.signed_in().await, world.signed_in().await);
        world.clock.advance(EXPIRED);
        assert!(teacher.get("/").await.is_upstreams(), "one renewal shows that tokens rotate");
        world.restart_with(&[]).await;
        let visitor = visitor.at(world.address());
        lose(&world, &visitor, lost_answer()).await;
        assert_unknown(&world, &visitor, 2).await;
    }
}

#[tokio::test]
async fn what_one_replica_learnt_of_rotation_the_others_know() {
    let world = World::build().replicas(2).start().await;
    let (teacher, visitor) = (world.signed_in().await, world.signed_in().await.at(world.replicas[1].address));
    world.clock.advance(EXPIRED);
    assert!(teacher.get("/").await.is_upstreams());
    lose(&world, &visitor, lost_answer()).await;
    assert_unknown(&world, &visitor, 2).await;
}

#[tokio::test]
async fn until_anything_is_known_of_rotation_a_token_of_unknown_fate_is_not_presented() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    lose(&world, &visitor, lost_answer()).await;
    assert_unknown(&world, &visitor, 1).await;
}

/// The visitor goes on silently, and of the token nobody heard again.
async fn assert_unknown(world: &World, visitor: &Visitor, calls: usize) {
    let session = visitor.session();
    let passes = world.idp.passes();
    eventually("the browser goes on with another grant", async || {
        visitor.browse(&world.idp, "/").await.is_upstreams() && world.idp.passes() == passes + 1
    })
    .await;
    assert_eq!((visitor.session(), world.idp.prompts(), world.idp.calls(Endpoint::Refresh)), (session, 1, calls));
}

#[tokio::test]
async fn where_reuse_is_not_punished_a_token_is_presented_until_there_is_an_answer() {
    let world = World::build().set("oidc_preset", "dex").start_with(|idp: &Idp| idp.rotate_as(Rotation::Unpunished)).await;
    let visitor = world.signed_in().await;
    // As Dex on Postgres answers renewals that come together: the token is unhurt.
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(500, r#"{"error":"invalid_request"}"#.to_owned(), vec![]));
    world.clock.advance(EXPIRED);
    eventually("it was presented again", async || {
        world.clock.advance(Duration::from_secs(31));
        visitor.get("/").await.is_upstreams() && world.idp.calls(Endpoint::Refresh) >= 3
    })
    .await;
    world.idp.behave(Endpoint::Refresh);
    eventually("it is renewed", async || {
        world.clock.advance(Duration::from_secs(31));
        visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 1
    })
    .await;
    assert_eq!(world.idp.passes(), 1, "the login alone");
}

#[tokio::test]
async fn a_refusal_of_a_token_that_was_presented_before_is_unknown_and_the_access_token_is_lived_out() {
    let world = World::build().set("oidc_preset", "dex").start_with(|idp: &Idp| idp.rotate_as(Rotation::Unpunished)).await;
    let visitor = world.signed_in().await;
    // Early: a quarter of a minute before the access token's end.
    world.idp.misbehave(Endpoint::Refresh, lost_answer());
    world.clock.advance(Duration::from_secs(284));
    assert!(visitor.get("/").await.is_upstreams());
    eventually("its answer is lost", async || failures(&world) == 1).await;
    world.idp.behave(Endpoint::Refresh);
    world.clock.advance(Duration::from_secs(2));
    eventually("it is presented again, and refused", async || {
        assert!(visitor.get("/").await.is_upstreams());
        !lines_with(&[world.idp.issuer(), "the outcome of an earlier attempt is unknown"]).is_empty()
    })
    .await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
    assert!(visitor.get("/").await.is_upstreams(), "the access token lives");
    assert_eq!(world.idp.passes(), 1);
    world.clock.advance(Duration::from_secs(60));
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams(), "then the provider is passed");
}

#[tokio::test]
async fn an_attempt_that_had_no_effect_does_not_make_an_earlier_one_forgotten() {
    let grace = Duration::from_secs(60);
    let prepare = move |idp: &Idp| idp.rotate_as(Rotation::Grace(grace));
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let world = World::build().on(kind).set("oidc_refresh_token_grace", "60s").start_with(prepare).await;
        let visitor = world.signed_in().await;
        lose(&world, &visitor, lost_answer()).await;
        // Presented again, and surely to no effect.
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, String::new(), vec![]));
        eventually("it was presented again", async || {
            visitor.get("/").await;
            world.idp.calls(Endpoint::Refresh) == 2
        })
        .await;
        let told = "failed to renew OIDC token: status_503";
        eventually("it is told", async || !lines_with(&[world.idp.issuer(), told]).is_empty()).await;
        world.idp.behave(Endpoint::Refresh);
        // Then the interval passes, on the database's clock.
        world.sql("UPDATE grants SET presented_at = presented_at - 60000").await;
        world.clock.advance(Duration::from_secs(91));
        assert_unknown(&world, &visitor, 2).await;
    }
}

#[tokio::test]
async fn a_token_is_not_presented_again_near_the_end_of_its_interval_nor_because_the_last_renewal_kept_its_token() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let world = World::build().on(kind).set("oidc_refresh_token_grace", "60s").start().await;
        world.idp.rotate_as(Rotation::Reusable);
        let visitor = world.signed_in().await;
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "one renewal keeps the token");
        world.idp.rotate_as(Rotation::Strict);
        lose_just_now(&world, &visitor, lost_answer()).await;
        // Three quarters of the interval pass, on the database's clock.
        world.sql("UPDATE grants SET presented_at = presented_at - 45000").await;
        world.clock.advance(Duration::from_secs(91));
        assert_unknown(&world, &visitor, 2).await;
    }
}
