//! Chaos: two replicas that are killed, a Postgres that restarts, a provider that fails in every way, a client secret that
//! is rotated, and users who leave in the middle, all at once and by a seed. Nobody has to type anything, and no used
//! refresh token is presented again.
//!
//! A short run is a test. The long one, of which the documentation has the table:
//! `CHAOS_USERS=1000 CHAOS_SECONDS=240 CHAOS_TOKENS=20 cargo test --release --test heavy chaos -- --nocapture`.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use serde_json::json;
use tokio::sync::RwLock;

use crate::harness::{
    Stopwatch, World,
    eventually::eventually,
    figure,
    idp::{CLIENT_SECRET, Endpoint, Misbehaviour, user},
    process::Process,
    visitor::{Reply, Visitor},
};

/// What the users saw.
#[derive(Default)]
struct Tally {
    requests: usize,
    served: usize,
    stale: usize,
    told_to_wait: usize,
    scripts_without_grant: usize,
    left: usize,
    replica_gone: usize,
    other: Vec<String>,
    longest: Duration,
}

/// Steps of a generator (SplitMix64): the same seed, the same faults and the same users.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Unavailable,
    TooMany,
    ServerError,
    Gateway,
    NotJson,
    Endless,
    Slow,
    SlowToAnswer,
    DoneButFailed,
    NoUserinfo,
    ProviderCut,
    ProviderStalled,
    SecretRotated,
    StoreCut,
    StoreStalled,
    StoreRestarted,
    Killed(usize),
}

const FAULTS: [Fault; 18] = [
    Fault::Unavailable,
    Fault::TooMany,
    Fault::ServerError,
    Fault::Gateway,
    Fault::NotJson,
    Fault::Endless,
    Fault::Slow,
    Fault::SlowToAnswer,
    Fault::DoneButFailed,
    Fault::NoUserinfo,
    Fault::ProviderCut,
    Fault::ProviderStalled,
    Fault::SecretRotated,
    Fault::StoreCut,
    Fault::StoreStalled,
    Fault::StoreRestarted,
    Fault::Killed(0),
    Fault::Killed(1),
];

const SECRETS: [&str; 2] = [CLIENT_SECRET, "the-new-secret"];

impl Fault {
    /// Goes wrong for `how_long`, and is mended.
    async fn strike(self, world: &World, replicas: &Replicas, how_long: Duration) {
        let answer = |status, body: &str| Misbehaviour::Answer(status, body.to_owned(), vec![]);
        let misbehaviour = match self {
            Self::Unavailable => Some(answer(503, "")),
            Self::TooMany => Some(Misbehaviour::Answer(429, String::new(), vec![("retry-after", "1")])),
            Self::ServerError => Some(answer(500, r#"{"error":"server_error"}"#)),
            Self::Gateway => Some(answer(502, "<html>bad gateway</html>")),
            Self::NotJson => Some(answer(200, "<html>please wait</html>")),
            Self::Endless => Some(Misbehaviour::Endless),
            Self::Slow => Some(Misbehaviour::Slow(Duration::from_secs(3))),
            Self::SlowToAnswer => Some(Misbehaviour::SlowToAnswer(Duration::from_secs(3))),
            Self::DoneButFailed => Some(Misbehaviour::WorkThenAnswer(500, String::new())),
            Self::NoUserinfo
            | Self::ProviderCut
            | Self::ProviderStalled
            | Self::SecretRotated
            | Self::StoreCut
            | Self::StoreStalled
            | Self::StoreRestarted
            | Self::Killed(_) => None,
        };
        if let Some(misbehaviour) = misbehaviour {
            world.idp.misbehave(Endpoint::Refresh, misbehaviour);
            tokio::time::sleep(how_long).await;
            return world.idp.behave(Endpoint::Refresh);
        }
        let store = world.store_line.as_ref().unwrap();
        match self {
            Self::NoUserinfo => world.idp.misbehave(Endpoint::Userinfo, answer(500, "")),
            Self::ProviderCut => world.idp_line.cut(),
            Self::ProviderStalled => world.idp_line.stall(),
            Self::StoreCut => store.cut(),
            Self::StoreStalled => store.stall(),
            Self::SecretRotated => world.idp.rotate_secret(&SECRETS),
            Self::StoreRestarted => tokio::task::block_in_place(|| world.cluster.as_ref().unwrap().restart()),
            Self::Killed(which) => replicas.kill(world, which).await,
            Self::Unavailable
            | Self::TooMany
            | Self::ServerError
            | Self::Gateway
            | Self::NotJson
            | Self::Endless
            | Self::Slow
            | Self::SlowToAnswer
            | Self::DoneButFailed => {}
        }
        tokio::time::sleep(how_long).await;
        world.idp.behave(Endpoint::Userinfo);
        world.idp_line.mend();
        store.mend();
    }
}

/// The two gateways, as a load balancer knows them.
struct Replicas {
    addresses: [std::net::SocketAddr; 2],
    processes: [RwLock<Process>; 2],
}

impl Replicas {
    async fn start(world: &World) -> Self {
        let processes = [world.process(None).await, world.process(None).await];
        Self { addresses: [processes[0].address, processes[1].address], processes: processes.map(RwLock::new) }
    }

    async fn kill(&self, world: &World, which: usize) {
        let mut process = self.processes[which].write().await;
        process.kill();
        *process = world.spawn_process(Some(process.address.port()));
    }
}

/// One user: comes again and again, at either replica, alone or with several requests at once, and sometimes leaves.
async fn live(world: Arc<World>, replicas: Arc<Replicas>, visitor: Visitor, tally: Arc<Mutex<Tally>>, mut chance: Chance) {
    let which = usize::try_from(chance.below(2)).unwrap();
    let here = visitor.at(replicas.addresses[which]);
    let there = visitor.at(replicas.addresses[1 - which]);
    let began = Stopwatch::start();
    let reply = match chance.below(10) {
        // Leaves before the answer.
        0 => {
            if let Ok(reply) = tokio::time::timeout(chance.millis(1, 30), here.try_fetch("/page")).await {
                return note(&tally, reply, began.elapsed());
            }
            let mut tally = tally.lock().unwrap();
            tally.requests += 1;
            tally.left += 1;
            return;
        }
        // A page with scripts, over both replicas at once.
        1 | 2 => {
            let (first, second, third) =
                tokio::join!(here.try_fetch("/page"), there.try_fetch("/page"), here.try_fetch("/page?again"));
            for reply in [first, second] {
                note(&tally, reply, began.elapsed());
            }
            third
        }
        3..=6 => here.try_fetch("/page").await,
        _ => here.try_browse(&world.idp, "/page").await,
    };
    note(&tally, reply, began.elapsed());
}

fn note(tally: &Mutex<Tally>, reply: Option<Reply>, took: Duration) {
    let mut tally = tally.lock().unwrap();
    tally.requests += 1;
    tally.longest = tally.longest.max(took);
    let Some(reply) = reply else {
        tally.replica_gone += 1;
        return;
    };
    if reply.is_upstreams() {
        tally.served += 1;
        tally.stale += usize::from(reply.header("x-upstream") == "stale");
    } else if matches!(reply.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY) {
        // A callback that finds the provider away says 502 on a page that says to try again.
        tally.told_to_wait += 1;
    } else if reply.status == StatusCode::UNAUTHORIZED && reply.text().contains("renewal_outcome_unknown") {
        tally.scripts_without_grant += 1;
    } else {
        tally.other.push(format!("{} {}", reply.status, reply.text().lines().next().unwrap_or_default()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "what a run came to is for whoever starts it")]
async fn chaos_costs_nobody_a_login() {
    let (users, seconds) = (figure("CHAOS_USERS", 60), figure("CHAOS_SECONDS", 25));
    let (seed, tokens) = (figure("CHAOS_SEED", 1), figure("CHAOS_TOKENS", 4));
    let world = World::build()
        .in_real_time()
        .replicas(0)
        .on_own_postgres()
        .set("oidc_preset", "authelia")
        .set("oidc_token_timeout", "5s")
        .set("oidc_client_secret_previous", SECRETS[1])
        .start_with(|idp| idp.access_tokens_live(Some(json!(tokens))))
        .await;
    let world = Arc::new(world);
    let replicas = Arc::new(Replicas::start(&world).await);
    let mut visitors = Vec::new();
    for number in 0..users {
        let visitor = Visitor::of(replicas.addresses[0], user(&format!("user{number}")));
        assert!(visitor.browse(&world.idp, "/page").await.is_upstreams());
        visitors.push(visitor);
    }
    assert_eq!(u64::try_from(world.idp.prompts()).unwrap(), users, "everybody logged in once");

    let (tally, over) = (Arc::new(Mutex::new(Tally::default())), Arc::new(AtomicBool::new(false)));
    let living: Vec<_> = visitors
        .iter()
        .enumerate()
        .map(|(number, visitor)| {
            let (world, replicas, visitor, tally) =
                (Arc::clone(&world), Arc::clone(&replicas), visitor.clone(), Arc::clone(&tally));
            let (over, mut chance) = (Arc::clone(&over), Chance(seed << 32 | u64::try_from(number).unwrap()));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    tokio::time::sleep(chance.millis(500, 3500)).await;
                    let request = Chance(chance.below(u64::MAX));
                    live(Arc::clone(&world), Arc::clone(&replicas), visitor.clone(), Arc::clone(&tally), request).await;
                }
            })
        })
        .collect();

    let (began, mut chance, mut struck) = (Stopwatch::start(), Chance(seed), 0);
    let mut left: Vec<Fault> = Vec::new();
    // With kills alone, one after the other at any moment, there are hundreds in a few minutes.
    let (faults, longest) =
        if figure("CHAOS_KILLS_ALONE", 0) == 1 { (&[Fault::Killed(0), Fault::Killed(1)][..], 700) } else { (&FAULTS[..], 3000) };
    while began.elapsed() < Duration::from_secs(seconds) {
        if left.is_empty() {
            left = faults.to_vec();
        }
        let fault = left.swap_remove(usize::try_from(chance.below(left.len() as u64)).unwrap());
        fault.strike(&world, &replicas, chance.millis(200, longest)).await;
        struck += 1;
        tokio::time::sleep(chance.millis(100, longest / 2)).await;
    }
    over.store(true, Ordering::Relaxed);
    for life in living {
        life.await.unwrap();
    }
    for visitor in &visitors {
        for address in replicas.addresses {
            eventually("everybody is served again", async || {
                visitor.at(address).try_browse(&world.idp, "/page").await.is_some_and(|reply| reply.is_upstreams())
            })
            .await;
        }
    }

    let tally = tally.lock().unwrap();
    let (presented, renewed) = world.idp.presented_and_renewed();
    let wrongly = world.idp.prompts() - visitors.len();
    println!("seed {seed}: {users} users with access tokens of {tokens} s, {seconds} s, {struck} faults");
    for (what, figure) in [
        ("requests", tally.requests.to_string()),
        ("  answered by the app", tally.served.to_string()),
        ("    of these with an identity marked stale", tally.stale.to_string()),
        ("  told to come again (503)", tally.told_to_wait.to_string()),
        ("  script told to let the page be loaded again (401)", tally.scripts_without_grant.to_string()),
        ("  client left before the answer", tally.left.to_string()),
        ("  replica killed under it", tally.replica_gone.to_string()),
        ("  anything else", tally.other.len().to_string()),
        ("renewals", renewed.to_string()),
        ("token calls per renewal", format!("{:.3}", presented as f64 / renewed as f64)),
        ("reuse detections", world.idp.reuses().to_string()),
        ("passes through the provider without a prompt", (world.idp.passes() - visitors.len() - wrongly).to_string()),
        ("users logged out wrongly", wrongly.to_string()),
        ("longest wait", format!("{:.1} s", tally.longest.as_secs_f64())),
    ] {
        println!("| {what} | {figure} |");
    }
    assert_eq!(tally.other, Vec::<String>::new());
    assert_eq!((wrongly, world.idp.reuses(), presented), (0, 0, renewed));
    assert!(tally.longest < Duration::from_secs(60), "{:?}", tally.longest);
}
