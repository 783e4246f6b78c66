//! A renewal storm: many requests on two replicas need one grant whose access token has expired.
//!
//! The replicas are two renewers in this process, each with a store, a provider and connections of its own. The stores share one
//! temporary SQLite file, which has the same contract as the Postgres of a deployment; the configured database is not touched.

use std::{os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    examiner::{Doctor, reason},
    facts::StormFacts,
    renewals::HeldGrant,
};
use crate::{
    clock::{Clock, Stopwatch},
    grant::{AttemptId, GrantId},
    oidc::{Provider, Providers},
    renewal::{self, Renewer},
    seal::KeyRing,
    secret::{Secret, random, random_text},
    session::{Opener, Session, SessionHash},
    store::{self, LoginTarget, NewGrant, NewIntent, Sharing, Store, Tokens},
    telemetry::metrics::Metrics,
    timings::Timings,
};

/// How many requests are made at once, over all replicas.
const REQUESTS: usize = 100;
const REPLICAS: usize = 2;
/// The lease of the intent that reads the newest refresh token.
const LEASE: Duration = Duration::from_secs(60);

/// The least outage grace of the replicas.
const MIN_GRACE: Duration = Duration::from_secs(60);

/// One replica: its token refresh, and the background tasks that a store needs.
struct Replica {
    provider: Arc<Provider>,
    store: Store,
    renewer: Renewer,
}

/// The directory of the temporary store, which goes when this is dropped.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // The key of what is in it is in this process's memory alone.
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

impl Doctor {
    /// Makes the storm on this grant, and leaves it with the newest refresh token.
    pub(super) async fn make_storm(&self, grant: &mut HeldGrant) -> Result<StormFacts, String> {
        let path = std::env::temp_dir().join(format!("evergate-doctor-{}", random_text::<12>()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| format!("{} cannot be created: {error}", path.display()))?;
        let directory = Directory(path);
        let stop = CancellationToken::new();
        let result = self.storm_in(&directory, &stop, grant).await;
        stop.cancel();
        result
    }

    async fn storm_in(
        &self,
        directory: &Directory,
        stop: &CancellationToken,
        grant: &mut HeldGrant,
    ) -> Result<StormFacts, String> {
        let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).map_err(|error| reason(&error))?;
        let settings = store::Settings::Sqlite(directory.0.join("evergate.sqlite"));
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            replicas.push(self.replica(&settings, keys.clone(), stop).await?);
        }
        let Some(first) = replicas.first() else { return Err("there is no replica".to_owned()) };
        let id = save_expired(&first.store, &self.provider, grant).await?;
        let stored = first.store.grant(id).await.map_err(|error| reason(&error))?;
        let stored = Arc::new(stored.ok_or("the temporary store has lost the grant")?);
        let mut requests = JoinSet::new();
        for replica in replicas.iter().cycle().take(REQUESTS) {
            let (renewer, stored) = (replica.renewer.clone(), Arc::clone(&stored));
            requests.spawn(async move {
                let waited = Stopwatch::start();
                let generation = stored.generation;
                let usable = renewer.keep_fresh(stored).await;
                (usable.is_ok_and(|usable| usable.grant.generation > generation), waited.elapsed())
            });
        }
        let answers = requests.join_all().await;
        for replica in &replicas {
            replica.renewer.finish().await;
        }
        grant.replace(newest_token(&first.store, id).await?);
        Ok(StormFacts {
            requests: REQUESTS,
            answered: answers.iter().filter(|(has_new_token, _)| *has_new_token).count(),
            calls: replicas.iter().map(|replica| replica.provider.refresh_calls()).sum(),
            longest_wait: answers.iter().map(|(_, waited)| *waited).max().unwrap_or_default(),
        })
    }

    async fn replica(&self, settings: &store::Settings, keys: KeyRing, stop: &CancellationToken) -> Result<Replica, String> {
        let provider = Provider::new(self.settings.oidc.clone(), self.settings.tls.clone(), Clock::System);
        let provider = Arc::new(provider.map_err(|error| reason(&error))?);
        provider.discover().await.map_err(|error| reason(&error))?;
        let store = Store::open(settings, keys, Metrics::default()).map_err(|error| reason(&error))?;
        store.migrate().await.map_err(|error| reason(&error))?;
        let (listening, beating, announcing) = (store.clone(), store.clone(), store.clone());
        let (no_more, last) = (stop.clone(), stop.clone());
        tokio::spawn(async move { no_more.run_until_cancelled(listening.run_listener(|_| {})).await });
        let no_more = stop.clone();
        tokio::spawn(async move { no_more.run_until_cancelled(beating.run_heartbeat()).await });
        tokio::spawn(async move { announcing.run_announcer(last).await });
        // Without the grace, the other replica's requests are refused while one has saved the new token and still verifies the
        // identity. An answer is one with the new token, whatever the grace.
        let outage_grace = self.settings.renewal.outage_grace.max(MIN_GRACE);
        let renewal = renewal::Settings { outage_grace, ..self.settings.renewal.clone() };
        let (clock, metrics) = (Clock::System, Metrics::default());
        let providers = Providers::new(Arc::clone(&provider), Vec::new());
        let renewer = Renewer::new(&renewal, Timings::default(), &providers, store.clone(), clock, &metrics);
        Ok(Replica { provider, store, renewer })
    }
}

/// Saves the grant with an access token that has expired.
async fn save_expired(store: &Store, provider: &Provider, grant: &HeldGrant) -> Result<GrantId, String> {
    let now = Clock::System.now();
    let new = NewGrant {
        id: GrantId::random(),
        issuer: provider.issuer().to_owned(),
        client_id: provider.client_id().to_owned(),
        former_clients: Vec::new(),
        identity: grant.identity.clone(),
        scopes: String::new(),
        fingerprint: provider.fingerprint().clone(),
        provider_session: None,
        tokens: Tokens {
            access: Secret::new("expired"),
            refresh: Some(grant.current.clone()),
            id: None,
            expires_at: now.minus(Duration::from_secs(1)),
            lifetime: Duration::from_secs(60),
            refresh_life: None,
        },
        opener: Opener::default(),
    };
    let (_value, hash) = SessionHash::fresh();
    let session = Session {
        hash,
        grant: new.id,
        created_at: now,
        last_seen: now,
        provider_session: None,
        site: None,
        token: None,
        login: None,
    };
    let target = LoginTarget::New { session, replaces: None };
    let saved = store.save_login(&new, &target, Sharing::Own, now).await.map_err(|error| reason(&error))?;
    saved.map(|saved| saved.grant).ok_or_else(|| "the temporary store did not take the grant".to_owned())
}

/// Reads the refresh token that the storm has left, as an attempt would. `None`: the grant has ended.
async fn newest_token(store: &Store, id: GrantId) -> Result<Option<Secret>, String> {
    let grant = store.grant(id).await.map_err(|error| reason(&error))?;
    let Some(grant) = grant.filter(|grant| grant.ended.is_none()) else { return Ok(None) };
    let first = NewIntent::first(AttemptId(random()), grant.generation, LEASE);
    let intent = NewIntent { retry_at: grant.retry_at, ..first };
    store.begin_renewal(id, intent).await.map_err(|error| reason(&error))
}
