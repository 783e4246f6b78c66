//! A standby that lags, while the primary is away: it can be read, and lacks what was committed last.

use http::{Method, StatusCode};
use http_body_util::BodyExt;

use crate::{
    app_tokens::job::{Job, SECRET, error},
    harness::{
        ACCESS, Builder, World,
        eventually::eventually,
        idp::user,
        logs::lines_with,
        postgres::{self, with_hosts},
        visitor::{Reply, Visitor},
    },
};

const EXPIRED: std::time::Duration = std::time::Duration::from_secs(301);

/// Two replicas on a primary, which they reach by the world's line, and a standby.
struct Replicated {
    world: World,
    standby: String,
}

impl Replicated {
    async fn start() -> Self {
        Self::of(World::build()).await
    }

    async fn of(builder: Builder) -> Self {
        let mut world = builder.on_own_postgres().replicas(0).set("oidc_outage_grace", "1h").start().await;
        let url = world.database_url();
        let address = world.cluster.as_ref().unwrap().start_standby();
        let hosts = [world.store_line.as_ref().unwrap().address, address];
        world.change(&[("pg_connection_url", &with_hosts(&url, &hosts, ""))]);
        world.add_replica().await;
        world.add_replica().await;
        Self { world, standby: with_hosts(&url, &[address], "") }
    }

    /// Somebody with a session that both replicas have served, and the standby has.
    async fn settled(&self) -> Visitor {
        let visitor = self.world.signed_in().await;
        for replica in &self.world.replicas {
            assert!(visitor.at(replica.address).get("/").await.is_upstreams());
        }
        let sessions = postgres::sessions(&self.world.database_url()).await;
        eventually("the standby has it", async || postgres::sessions(&self.standby).await == sessions).await;
        visitor
    }

    /// Has the standby replay nothing from now on.
    async fn fall_behind(&self) {
        postgres::run(&self.standby, "SELECT pg_wal_replay_pause()").await;
        eventually("it has paused", async || {
            postgres::read::<String>(&self.standby, "SELECT pg_get_wal_replay_pause_state()").await == "paused"
        })
        .await;
    }

    /// Cuts the replicas off from the primary, and waits until they know it.
    async fn lose_primary(&self) {
        self.world.store_line.as_ref().unwrap().cut();
        for (number, replica) in self.world.replicas.iter().enumerate() {
            let there = self.world.visitor().at(replica.address);
            let state = async || there.get("/oauth2/readyz").await.json()["store"].clone();
            eventually("the store takes no writes", async || state().await == "read_only").await;
            let hears = async || self.world.metric(number, "evergate_store_listener_connected");
            eventually("no changes are announced", async || hears().await == 0.0).await;
        }
    }

    fn find_primary(&self) {
        self.world.store_line.as_ref().unwrap().mend();
    }

    fn elsewhere(&self, visitor: &Visitor) -> Visitor {
        visitor.at(self.world.replicas[1].address)
    }
}

fn is_store_unavailable(reply: &Reply) -> bool {
    reply.status == StatusCode::SERVICE_UNAVAILABLE
        && reply.header("evergate-response") == "store_unavailable"
        && reply.set_cookies().is_empty()
}

#[tokio::test]
async fn a_standby_that_lags_logs_nobody_out_whose_login_it_has_not_replayed() {
    let replicated = Replicated::start().await;
    let world = &replicated.world;
    let old = replicated.settled().await;
    replicated.fall_behind().await;
    let young = world.signed_in().await;
    assert!(young.get("/").await.is_upstreams());
    replicated.lose_primary().await;
    for _ in 0..3 {
        assert!(old.get("/").await.is_upstreams() && replicated.elsewhere(&old).fetch("/").await.is_upstreams());
        assert!(young.get("/").await.is_upstreams() && young.fetch("/").await.is_upstreams(), "from memory");
        for answer in [replicated.elsewhere(&young).get("/").await, replicated.elsewhere(&young).fetch("/").await] {
            assert!(is_store_unavailable(&answer), "it may be there: {:?}", answer.status);
        }
    }
    replicated.find_primary();
    eventually("it is found", async || replicated.elsewhere(&young).get("/").await.is_upstreams()).await;
    assert_eq!(world.idp.passes(), 2, "each logged in once");
}

#[tokio::test]
async fn a_user_whom_a_standby_lacks_is_not_unknown_to_a_job() {
    let jobs =
        World::build().set("app_token_address", "127.0.0.1:0").set("app_token_secret", SECRET).set("app_token_by_user", "true");
    let replicated = Replicated::of(jobs).await;
    let world = &replicated.world;
    let _ann = replicated.settled().await;
    let job = Job::of(world, 1);
    let unknown = || (404_u16, "unknown_user".to_owned());
    assert_eq!(error(&job.by_user("sub-bob").await), unknown(), "nobody has logged in so");
    replicated.fall_behind().await;
    let bob = Visitor::of(world.address(), user("bob"));
    bob.log_in(&world.idp, "/").await;
    replicated.lose_primary().await;
    for _ in 0..3 {
        assert_eq!(job.by_user("sub-ann").await.status, StatusCode::OK, "what it has is used");
        assert_eq!(error(&job.by_user("sub-bob").await), (503_u16, "temporarily_unavailable".to_owned()));
    }
    replicated.find_primary();
    eventually("he is found", async || job.by_user("sub-bob").await.status == StatusCode::OK).await;
    eventually("who is unknown is unknown again", async || error(&job.by_user("sub-carol").await) == unknown()).await;
}

#[tokio::test]
async fn a_session_that_was_signed_out_is_not_served_by_a_standby_that_lags() {
    let replicated = Replicated::start().await;
    let visitor = replicated.settled().await;
    replicated.fall_behind().await;
    let kept = visitor.copy();
    visitor.send(Method::POST, "/oauth2/sign_out", &[("origin", ACCESS)], "").await;
    let there = replicated.elsewhere(&kept);
    eventually("it is heard of", async || there.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    replicated.lose_primary().await;
    assert_eq!(postgres::sessions(&replicated.standby).await, 1, "it has the session still");
    for _ in 0..3 {
        assert_eq!(kept.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        assert!(!there.fetch("/").await.is_upstreams() && !there.get("/").await.is_upstreams());
    }
}

#[tokio::test]
async fn a_stream_outlives_a_primary_whose_standby_lags() {
    let replicated = Replicated::start().await;
    let world = &replicated.world;
    replicated.fall_behind().await;
    let young = world.signed_in().await;
    let mut stream = young.open("/stream").await;
    assert_eq!(stream.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "first ");
    replicated.lose_primary().await;
    eventually("its session was checked", async || {
        !lines_with(&["a session's connections stay open while the store is away", "may lack what was committed last"]).is_empty()
    })
    .await;
    world.upstream.open_gate();
    assert_eq!(stream.into_body().collect().await.unwrap().to_bytes(), "second");
}

#[tokio::test]
async fn what_a_replica_knows_comes_before_what_a_standby_has_that_lags() {
    let replicated = Replicated::start().await;
    let world = &replicated.world;
    let visitor = replicated.settled().await;
    replicated.fall_behind().await;
    let there = replicated.elsewhere(&visitor);
    let renewals = async |visitor: &Visitor| visitor.fetch("/oauth2/userinfo").await.json()["renewals"].clone();
    let loads = || world.metric(1, "evergate_session_cache_loads_total");
    let before = loads();
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(renewals(&visitor).await, 1);
    eventually("the other hears of it, and reads it again by itself", async || loads() > before).await;
    eventually("it is in memory", async || {
        let before = loads();
        renewals(&there).await == 1 && loads() == before
    })
    .await;
    replicated.lose_primary().await;
    for _ in 0..3 {
        assert_eq!((renewals(&visitor).await, renewals(&there).await), (1.into(), 1.into()));
    }
}
