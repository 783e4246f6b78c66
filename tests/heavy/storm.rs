//! Many grants that have expired together, in front of a provider that bears few calls at once.
//!
//! A small storm is a test. The large one, of which the documentation has the curve (`benches/storm.sh` draws it):
//! `STORM_USERS=10000 STORM_SECONDS=60 STORM_MOST=50 STORM_CALL=400 cargo test --release --test heavy storm -- --nocapture`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;

use crate::harness::{
    Stopwatch, World,
    eventually::eventually,
    figure,
    idp::{Endpoint, Misbehaviour, user},
    visitor::Visitor,
};

/// What a request waits at most (8 s), and what a loaded machine adds.
const LONGEST: Duration = Duration::from_secs(60);

/// What happens at a time.
#[derive(Default)]
struct Now {
    waiting: AtomicUsize,
    served: AtomicUsize,
    told_to_wait: AtomicUsize,
}

/// Comes at its time, and as often again as it is told to.
async fn come(visitor: Visitor, after: Duration, now: Arc<Now>) -> Duration {
    tokio::time::sleep(after).await;
    let mut longest = Duration::ZERO;
    loop {
        let began = Stopwatch::start();
        now.waiting.fetch_add(1, Relaxed);
        let reply = visitor.fetch("/page").await;
        now.waiting.fetch_sub(1, Relaxed);
        longest = longest.max(began.elapsed());
        if reply.is_upstreams() {
            now.served.fetch_add(1, Relaxed);
            return longest;
        }
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{}", reply.text());
        now.told_to_wait.fetch_add(1, Relaxed);
        tokio::time::sleep(Duration::from_secs(reply.header("retry-after").parse().unwrap())).await;
    }
}

/// RF-27: very many access tokens expire at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "what a run came to is for whoever starts it")]
async fn a_storm_is_answered_honestly_and_passes_without_a_loop_of_429() {
    let users = usize::try_from(figure("STORM_USERS", 150)).unwrap();
    // How long the provider takes for one call.
    let call = Duration::from_millis(figure("STORM_CALL", 200));
    let (seconds, most) = (figure("STORM_SECONDS", 2), usize::try_from(figure("STORM_MOST", 10)).unwrap());
    // Without the grace everybody must be renewed to be served: the hardest case.
    let world = World::build().in_real_time().replicas(0).on_own_postgres().set("oidc_outage_grace", "0").start().await;
    let world = Arc::new(world);
    let replicas = [world.process(None).await, world.process(None).await];
    let visitors: Vec<_> =
        (0..users).map(|number| Visitor::of(replicas[number % 2].address, user(&format!("user{number}")))).collect();
    for some in visitors.chunks(16) {
        let logins: Vec<_> = some
            .iter()
            .map(|visitor| {
                let (visitor, world) = (visitor.clone(), Arc::clone(&world));
                tokio::spawn(async move {
                    // Whose login a slow store did not take comes again, and the provider knows them.
                    let logged_in = async {
                        while !visitor.browse(&world.idp, "/page").await.is_upstreams() {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    };
                    tokio::time::timeout(Duration::from_secs(60), logged_in).await.expect("somebody never logged in");
                })
            })
            .collect();
        for login in logins {
            login.await.unwrap();
        }
    }
    let witnesses: Vec<_> = replicas.iter().map(|replica| Visitor::of(replica.address, user("witness"))).collect();
    for witness in &witnesses {
        assert!(witness.browse(&world.idp, "/page").await.is_upstreams());
    }
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::AtMost(most, call));
    world.idp.start_counting_at_once();
    // What is announced comes in the order in which it was committed: who has heard of the last has heard of the others. A change of
    // the expiry alone is announced by whoever makes it, here as a change of everything.
    world.sql("UPDATE grants SET expires_at = expires_at - 3600000 WHERE subject <> 'sub-witness'").await;
    world.sql("SELECT pg_notify('evergate_changes', 'everything')").await;
    world.sql("UPDATE grants SET ended_reason = 'expired' WHERE subject = 'sub-witness'").await;
    for witness in &witnesses {
        eventually("its replica has heard of it", async || witness.fetch("/page").await.status == StatusCode::UNAUTHORIZED).await;
    }

    let now = Arc::new(Now::default());
    let comings: Vec<_> = visitors
        .iter()
        .enumerate()
        .map(|(number, visitor)| {
            let after = Duration::from_secs(seconds).mul_f64(number as f64 / users as f64);
            tokio::spawn(come(visitor.clone(), after, Arc::clone(&now)))
        })
        .collect();
    let curve = tokio::spawn({
        let (world, now, began) = (Arc::clone(&world), Arc::clone(&now), Stopwatch::start());
        async move {
            println!("second,arrived,served,waiting,told to come again,calls at the provider,answers of 429");
            loop {
                let arrived = began.elapsed().as_secs_f64() / seconds as f64 * users as f64;
                println!(
                    "{:.1},{:.0},{},{},{},{},{}",
                    began.elapsed().as_secs_f64(),
                    arrived.min(users as f64),
                    now.served.load(Relaxed),
                    now.waiting.load(Relaxed),
                    now.told_to_wait.load(Relaxed),
                    world.idp.at_once(),
                    world.idp.turned_away()
                );
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    });
    let mut longest = Duration::ZERO;
    for coming in comings {
        longest = longest.max(coming.await.unwrap());
    }
    curve.abort();
    let turned_away = world.idp.turned_away();
    println!(
        "{users} users in {seconds} s, {most} calls of {} ms at once: {} token calls, {turned_away} of them answered 429; {} answers of 503; \
         longest wait {:.1} s",
        call.as_millis(),
        world.idp.calls(Endpoint::Refresh),
        now.told_to_wait.load(Relaxed),
        longest.as_secs_f64()
    );
    assert!(longest < LONGEST, "{longest:?}");
    assert_eq!(world.idp.presented_and_renewed(), (users, users), "one renewal each");
    // All slots of two replicas may be in use when the first is turned away; after that they feel their way.
    assert!(turned_away <= 64 + users / 4, "{turned_away} answers of 429");
    assert_eq!(world.idp.prompts(), users + 1, "nobody was sent to log in, but the witness at first");
}
