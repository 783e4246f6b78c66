//! Crash safety: a replica is killed (SIGKILL) at each step of a renewal, in front of a provider whose refresh tokens are
//! good for one use. Nobody has to type anything, and no used token is presented again (the world looks at that at its end).

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    World,
    eventually::eventually,
    figure,
    idp::{Endpoint, Misbehaviour},
    process::Process,
    visitor::Visitor,
};

/// Where the killer strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The request has come, and the store does not take the intent.
    BeforeTheIntent,
    /// The intent is committed and the call under way; the provider has done nothing yet.
    DuringTheCall,
    /// The provider has replaced the token and has not answered.
    BeforeTheAnswer,
    /// The answer is there, and the store does not take the new tokens.
    BeforeTheSave,
    /// The new tokens are committed.
    AfterTheSave,
}

const STEPS: [Step; 5] =
    [Step::BeforeTheIntent, Step::DuringTheCall, Step::BeforeTheAnswer, Step::BeforeTheSave, Step::AfterTheSave];
/// Longer than a test lasts: whoever waits for it is killed before.
const HELD: Duration = Duration::from_secs(20);

async fn start() -> World {
    World::build()
        .in_real_time()
        .replicas(0)
        .set("oidc_renew_before", "1s")
        // A provider that is known to rotate strictly, as Authelia does.
        .set("oidc_preset", "authelia")
        .start_with(|idp| idp.access_tokens_live(Some(json!(3))))
        .await
}

/// Kills `process` while it renews the visitor's grant, which has expired, at this step.
async fn kill_at(step: Step, world: &World, visitor: &Visitor, process: &mut Process) {
    let line = world.store_line.as_ref().unwrap();
    let here = visitor.at(process.address);
    // A token that nobody renews before it expires: asking renews one that is about to, as any request does.
    let mut expires = 0;
    eventually("its token is fresh", async || {
        expires = here.fetch("/oauth2/userinfo").await.json()["accessTokenExpiresAt"].as_i64().unwrap_or(0);
        expires > world.clock.now().seconds() + 1
    })
    .await;
    eventually("its token expires", async || expires < world.clock.now().seconds()).await;
    let before = world.idp.calls(Endpoint::Refresh);
    match step {
        Step::BeforeTheIntent => line.stall(),
        Step::DuringTheCall => world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Slow(HELD)),
        Step::BeforeTheAnswer => world.idp.misbehave(Endpoint::Refresh, Misbehaviour::SlowToAnswer(HELD)),
        Step::BeforeTheSave => world.idp.misbehave(Endpoint::Refresh, Misbehaviour::HeldAnswer),
        Step::AfterTheSave => {}
    }
    // Again and again, because a request may be refused before it renews, as by a store that is slow to answer.
    let asking = tokio::spawn({
        let here = here.clone();
        async move {
            loop {
                here.try_send(http::Method::GET, "/", &[], "").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let asked = async || world.idp.calls(Endpoint::Refresh) > before;
    match step {
        Step::BeforeTheIntent => {
            // As long as the intent may take to get into the line.
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(!asked().await, "nothing is presented before the intent is committed");
        }
        Step::DuringTheCall | Step::BeforeTheAnswer => eventually("the provider is asked", asked).await,
        Step::BeforeTheSave => {
            eventually("the provider is asked", asked).await;
            line.stall();
            world.idp.behave(Endpoint::Refresh);
            eventually("its answer has left", async || world.idp.at_once() == 0).await;
        }
        Step::AfterTheSave => {
            eventually("the provider is asked", asked).await;
            eventually("it is served", async || here.fetch("/").await.is_upstreams()).await;
            process.kill();
            asking.abort();
            return;
        }
    }
    process.kill();
    asking.abort();
    line.mend();
    world.idp.behave(Endpoint::Refresh);
    // The time that an intent's lease takes to run out.
    world.sql("UPDATE grants SET lease_until = 0 WHERE attempt IS NOT NULL").await;
}

/// RF-04: a replica is killed between the provider's answer and the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_at_any_step_of_a_renewal_costs_nobody_a_login() {
    for step in STEPS {
        let world = start().await;
        let (mut first, second) = (world.process(None).await, world.process(None).await);
        let visitor = Visitor::new(first.address);
        visitor.browse(&world.idp, "/").await;
        kill_at(step, &world, &visitor, &mut first).await;
        let there = visitor.at(second.address);
        eventually("the other replica serves it", async || there.browse(&world.idp, "/").await.is_upstreams()).await;
        let first = world.process(Some(first.address.port())).await;
        assert!(visitor.at(first.address).browse(&world.idp, "/").await.is_upstreams(), "{step:?}");
        assert_eq!(world.idp.prompts(), 1, "{step:?}: nobody typed anything");
        if matches!(step, Step::BeforeTheIntent | Step::AfterTheSave) {
            assert_eq!(world.idp.passes(), 1, "{step:?}: not even the provider noticed");
        }
    }
}

/// Kills so many times as `CRASH_KILLS` says: `CRASH_KILLS=200 cargo test --test heavy -- crash --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "what a run came to is for whoever starts it")]
async fn replicas_that_are_killed_again_and_again_cost_nobody_a_login() {
    let kills = usize::try_from(figure("CRASH_KILLS", 10)).unwrap();
    let world = start().await;
    let mut processes = [world.process(None).await, world.process(None).await];
    let visitor = Visitor::new(processes[0].address);
    visitor.browse(&world.idp, "/").await;
    for kill in 0..kills {
        let step = STEPS[kill % STEPS.len()];
        let process = &mut processes[kill / STEPS.len() % 2];
        eventually("its replica serves it", async || visitor.at(process.address).browse(&world.idp, "/").await.is_upstreams())
            .await;
        kill_at(step, &world, &visitor, process).await;
        *process = world.process(Some(process.address.port())).await;
    }
    for process in &processes {
        eventually("both serve it", async || visitor.at(process.address).browse(&world.idp, "/").await.is_upstreams()).await;
    }
    println!(
        "{kills} kills, {} renewals asked for, {} passes through the provider, {} prompts after the login, {} used tokens presented",
        world.idp.calls(Endpoint::Refresh),
        world.idp.passes() - 1,
        world.idp.prompts() - 1,
        world.idp.reuses()
    );
    assert_eq!(world.idp.prompts(), 1, "nobody typed anything");
}
