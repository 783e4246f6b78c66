//! Security events that are polled for (RFC 8936).

use evergate::clock::Stopwatch;

use super::*;
use crate::harness::{
    Kind,
    idp::CLIENT_ID,
    logs::lines_with,
    postgres,
    transmitter::{EndedWait, Transmitter},
};

const TOKEN: &str = "a-token-for-the-stream";

/// A world that polls a transmitter which is to be asked for events about its users.
fn polling(builder: Builder, transmitter: &Transmitter, clock: Clock) -> Builder {
    builder
        .by(clock)
        .set("oidc_event_issuer_url", &transmitter.issuer())
        .set("oidc_event_poll_url", &transmitter.poll_url())
        .set("oidc_event_poll_token", TOKEN)
        // What is pushed must bring it; what is polled for need not.
        .set("oidc_event_secret", "a-secret-of-the-transmitter-0123456789")
}

/// The claims of an event that ends everything of whoever has this address.
fn disabled(address: &str) -> Value {
    json!({"aud": CLIENT_ID, "sub_id": {"format": "email", "email": address},
        "events": {"https://schemas.openid.net/secevent/risc/event-type/account-disabled": {}}})
}

#[tokio::test]
async fn events_that_wait_at_the_transmitter_take_effect_on_every_replica_and_each_is_reported_once() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    transmitter.queue("nobody", disabled("nobody@example.com"));
    let mut other = disabled("ann@example.com");
    other["aud"] = json!("https://another-receiver.example");
    transmitter.queue("other", other);
    transmitter.queue("unknown", json!({"aud": CLIENT_ID, "events": {"https://example.com/of-tomorrow": {}}}));
    let mut forged = disabled("ann@example.com");
    forged["iss"] = json!("https://nobody.example");
    transmitter.queue("forged", forged);
    let world = polling(world().replicas(2), &transmitter, clock).start().await;
    let everything = Everything::of_ann(&world).await;
    eventually("all are reported", async || transmitter.polled().waiting.is_empty()).await;
    assert!(everything.here.get("/").await.is_upstreams());
    transmitter.queue("ann", disabled("ann@example.com"));
    everything.expect_gone(&world, "security_event").await;
    eventually("it is acknowledged", async || transmitter.polled().waiting.is_empty()).await;
    let polled = transmitter.polled();
    assert_eq!(polled.acknowledged, ["nobody", "unknown", "ann"]);
    let codes = polled.refused.iter().map(|(id, error)| (id.as_str(), error["err"].as_str().unwrap()));
    assert_eq!(codes.collect::<Vec<_>>(), [("forged", "invalid_issuer"), ("other", "invalid_audience")]);
    assert!(polled.polls.iter().all(|authorization| *authorization == format!("Bearer {TOKEN}")));
    assert_eq!(polled.most_at_once, 1, "one replica polls");
}

#[tokio::test]
async fn another_replica_polls_when_the_one_that_did_is_gone() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    let mut world = polling(world().on(Kind::Postgres), &transmitter, clock).start().await;
    eventually("the first polls", async || transmitter.polled().most_at_once == 1).await;
    world.add_replica().await;
    transmitter.queue("event-1", disabled("nobody@example.com"));
    eventually("it is acknowledged", async || transmitter.polled().acknowledged == ["event-1"]).await;
    assert!(world.replicas.remove(0).stop().await);
    // Its turn passes.
    world.clock.advance(Duration::from_secs(61));
    transmitter.queue("event-2", disabled("nobody@example.com"));
    eventually("it is acknowledged", async || transmitter.polled().acknowledged == ["event-1", "event-2"]).await;
}

#[tokio::test]
async fn a_replica_that_stops_leaves_its_turn_to_poll_to_another() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    let mut world = polling(world().on(Kind::Postgres), &transmitter, clock).start().await;
    eventually("the first polls", async || transmitter.polled().most_at_once == 1).await;
    world.add_replica().await;
    assert!(world.replicas.remove(0).stop().await);
    // No turn passes: the clock stands still.
    transmitter.queue("event-1", disabled("nobody@example.com"));
    eventually("it is acknowledged", async || transmitter.polled().acknowledged == ["event-1"]).await;
}

#[tokio::test]
async fn an_event_that_cannot_be_taken_holds_up_no_other() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    let world = polling(world().on(Kind::Postgres), &transmitter, clock).start().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-1"));
    let visitor = world.signed_in().await;
    postgres::run(
        &world.database_url(),
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$; \
         CREATE TRIGGER fail BEFORE INSERT ON ended_users FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    .await;
    transmitter.queue("a-stuck-one", disabled("nobody@example.com"));
    let mut nobody = disabled("nobody@example.com");
    nobody["sub_id"] = json!({"format": "opaque", "id": "a\0b"});
    transmitter.queue("refused", nobody);
    eventually("one is refused", async || transmitter.polled().refused.contains_key("refused")).await;
    let polls = transmitter.polled().polls.len();
    eventually("it is asked on", async || transmitter.polled().polls.len() > polls + 3).await;
    assert!(!lines_with(&["polled for is put off", "a-stuck-one"]).is_empty());
    let session = json!({"format": "complex", "session": {"format": "opaque", "id": "sid-1"}});
    let events = json!({"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}});
    transmitter.queue("session", json!({"aud": CLIENT_ID, "sub_id": session, "events": events}));
    eventually("it is acknowledged", async || transmitter.polled().acknowledged == ["session"]).await;
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert!(transmitter.polled().waiting.contains_key("a-stuck-one"), "it comes again");
    postgres::run(&world.database_url(), "DROP TRIGGER fail ON ended_users").await;
    eventually("it is taken", async || transmitter.polled().acknowledged == ["session", "a-stuck-one"]).await;
}

#[tokio::test]
async fn a_proxy_that_ends_quiet_polls_delays_no_event() {
    let interval = Duration::from_millis(50);
    for ended in [EndedWait::Status(504), EndedWait::Closed] {
        let clock = Clock::manual();
        let transmitter = Transmitter::start(clock.clone()).await;
        transmitter.end_waits(ended, interval * 2);
        let world = polling(world(), &transmitter, clock);
        let world = world.timed(|timings| timings.event_poll_interval = interval).start().await;
        let visitor = world.signed_in().await;
        let polls = transmitter.polled().polls.len();
        eventually("it is asked on", async || transmitter.polled().polls.len() > polls + 20).await;
        let id = format!("ann-{ended:?}");
        transmitter.queue(&id, disabled("ann@example.com"));
        eventually("it is acknowledged", async || transmitter.polled().acknowledged.contains(&id)).await;
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(lines_with(&["security events cannot be polled for"]).len(), 0, "nothing has failed: {ended:?}");
        assert_eq!(lines_with(&["long polls for security events are ended at once"]).len(), 0, "they last: {ended:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_ends_each_long_poll_at_once_is_polled_at_the_interval() {
    let interval = Duration::from_millis(100);
    for ended in [EndedWait::Status(504), EndedWait::Status(408), EndedWait::Closed] {
        let clock = Clock::manual();
        let transmitter = Transmitter::start(clock.clone()).await;
        transmitter.end_waits(ended, Duration::ZERO);
        let world = polling(world(), &transmitter, clock);
        let world = world.timed(|timings| timings.event_poll_interval = interval).start().await;
        let visitor = world.signed_in().await;
        let (polls, watch) = (transmitter.polled().polls.len(), Stopwatch::start());
        eventually("it is asked on", async || transmitter.polled().polls.len() >= polls + 20).await;
        // Half of what it takes: on a slow machine an end may come late enough to count as silence, and then every other poll has no
        // pause after it.
        let elapsed = watch.elapsed();
        assert!(elapsed >= interval * 10, "{ended:?}: 20 polls in {elapsed:?}");
        let id = format!("ann-{ended:?}");
        transmitter.queue(&id, disabled("ann@example.com"));
        eventually("it is acknowledged", async || transmitter.polled().acknowledged.contains(&id)).await;
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(lines_with(&["security events cannot be polled for"]).len(), 0, "nothing has failed: {ended:?}");
    }
}

#[tokio::test]
async fn an_answer_to_a_long_poll_that_cannot_be_read_is_a_failure_and_no_silence() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    transmitter.end_waits(EndedWait::Unreadable, Duration::ZERO);
    let world = polling(world(), &transmitter, clock).start().await;
    let failed = || world.metric(0, "evergate_event_polls_total");
    eventually("it has failed again and again", async || failed() >= 2.0).await;
    assert_eq!(lines_with(&["security events cannot be polled for", "cannot be read"]).len(), 1);
}

#[tokio::test]
async fn while_an_event_is_put_off_it_is_polled_less_and_less_often() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    let world = polling(world().on(Kind::Postgres), &transmitter, clock);
    let interval = Duration::from_millis(100);
    let world = world.timed(|timings| timings.event_poll_interval = interval).start().await;
    postgres::run(
        &world.database_url(),
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$; \
         CREATE TRIGGER fail BEFORE INSERT ON ended_users FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    .await;
    transmitter.queue("stuck", disabled("nobody@example.com"));
    eventually("it is put off", async || !lines_with(&["polled for is put off", "stuck"]).is_empty()).await;
    let (polls, watch) = (transmitter.polled().polls.len(), Stopwatch::start());
    eventually("it is asked on", async || transmitter.polled().polls.len() >= polls + 6).await;
    // Pauses of 0.1, 0.2, 0.4, 0.8, 1.6 s, of which half is random, rather than six of 0.1 s.
    let elapsed = watch.elapsed();
    assert!(elapsed >= interval * 10, "6 polls in {elapsed:?}");
    postgres::run(&world.database_url(), "DROP TRIGGER fail ON ended_users").await;
    eventually("it is taken", async || transmitter.polled().acknowledged == ["stuck"]).await;
}

#[tokio::test]
async fn an_event_that_the_store_could_not_record_is_not_acknowledged_and_comes_again() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    let world = polling(world().on(Kind::Postgres), &transmitter, clock).start().await;
    let visitor = world.signed_in().await;
    eventually("a poll waits for an event", async || transmitter.polled().most_at_once == 1).await;
    world.store_line.as_ref().unwrap().cut();
    transmitter.queue("ann", disabled("ann@example.com"));
    eventually("it was not taken", async || !lines_with(&["polled for is put off", "the store could not record it"]).is_empty())
        .await;
    assert!(transmitter.polled().acknowledged.is_empty());
    world.store_line.as_ref().unwrap().mend();
    eventually("it is acknowledged", async || transmitter.polled().acknowledged == ["ann"]).await;
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_transmitter_that_fails_is_polled_again() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    transmitter.answer_with(Some(503));
    let world = polling(world(), &transmitter, clock).start().await;
    let visitor = world.signed_in().await;
    eventually("it was asked again", async || transmitter.polled().polls.len() > 2).await;
    assert_eq!(lines_with(&["security events cannot be polled for", "503"]).len(), 1);
    transmitter.queue("ann", disabled("ann@example.com"));
    transmitter.answer_with(None);
    eventually("the session has ended", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    eventually("it is acknowledged", async || transmitter.polled().acknowledged == ["ann"]).await;
}

#[tokio::test]
async fn a_transmitter_that_takes_polls_and_says_nothing_has_failed_and_is_polled_again() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    transmitter.be_silent(true);
    let world = polling(world(), &transmitter, clock);
    let world = world.timed(|timings| timings.event_poll_wait = Duration::from_millis(200)).start().await;
    let visitor = world.signed_in().await;
    let failed = || world.metric(0, "evergate_event_polls_total");
    eventually("it has failed again and again", async || failed() >= 3.0).await;
    assert_eq!(lines_with(&["security events cannot be polled for"]).len(), 1, "not at each poll");
    assert!(transmitter.polled().polls.len() >= 2, "it may wait for events, but not when it is asked to answer");
    transmitter.queue("ann", disabled("ann@example.com"));
    transmitter.be_silent(false);
    eventually("the session has ended", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    eventually("the log says so", async || !lines_with(&["security events are polled for again"]).is_empty()).await;
}

#[test]
fn where_a_transmitter_does_not_wait_for_events_one_takes_effect_within_a_second() {
    assert!(evergate::timings::Timings::default().event_poll_interval < Duration::from_secs(1));
}

#[tokio::test]
async fn what_is_polled_at_one_provider_s_stream_ends_no_user_of_another_s() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    let (_line, partners, table) = partners(&clock, &transmitter).await;
    let world = polling(World::build(), &transmitter, clock).routes(move |_| table.clone()).start().await;
    let log_in = async |name: &str, idp: &Idp| {
        let visitor = world.visitor();
        visitor.log_in(idp, &format!("/oauth2/start?provider={name}&rd=/")).await;
        visitor
    };
    let (ours, theirs) = (log_in("default", &world.idp).await, log_in("partners", &partners).await);
    transmitter.queue("ann", disabled("ann@example.com"));
    eventually("it is acknowledged", async || transmitter.polled().acknowledged == ["ann"]).await;
    assert_eq!(ours.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert!(theirs.get("/").await.is_upstreams(), "of the provider without the stream");
}

#[tokio::test]
async fn an_event_of_a_transmitter_whose_clock_is_ahead_is_acknowledged() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    let world = polling(world(), &transmitter, clock).start().await;
    world.idp.log_in_as(user("ann"));
    let visitor = world.signed_in().await;
    let mut early = disabled("ann@example.com");
    early["iat"] = json!(world.clock.now().seconds() + 600);
    transmitter.queue("early", early);
    eventually("it has taken effect", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    eventually("it is acknowledged", async || transmitter.polled().acknowledged == ["early"]).await;
    assert!(transmitter.polled().refused.is_empty());
}
