//! The renewal of grants: what Evergate is for.
//!
//! A visitor's grant goes in, and one whose tokens are good enough comes out, or the reason why not. Among all
//! tasks and all replicas exactly one presents a refresh token, and nothing that goes wrong on the way (a
//! client that leaves, a provider or a store that is away, a process that dies) logs anybody out.
//!
//! [`decision`] says whether to renew, [`classify`] what an answer means; both are pure. [`attempt`] is one
//! renewal from intent to outcome, [`flight`] makes it one per process, [`breaker`] keeps a provider in trouble
//! from being hammered.

mod attempt;
mod breaker;
mod classify;
mod decision;
mod flight;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    clock::Clock,
    grant::{EndReason, Grant},
    oidc::Provider,
    store::{Fence, Store},
    telemetry::metrics::Metrics,
};

use breaker::Breaker;
use decision::Decision;
use flight::Flights;

/// When and how grants are renewed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_OIDC_RENEW_BEFORE`: how long before expiry the renewal in the background begins; for short-lived
    /// tokens a third of their life.
    pub renew_before: Duration,
    /// `CODER_OIDC_OUTAGE_GRACE`: how long after expiry the last verified identity is served while the provider
    /// cannot renew it.
    pub outage_grace: Duration,
    /// `CODER_OIDC_MAX_CONCURRENT_RENEWALS`.
    pub max_concurrent: usize,
}

/// How long a request waits for a renewal.
pub const HARD_WAIT: Duration = Duration::from_secs(8);

/// The engine of one process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Renewer(Arc<Engine>);

#[derive(Debug)]
struct Engine {
    settings: Settings,
    provider: Arc<Provider>,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    flights: Flights,
    breaker: Breaker,
    slots: Semaphore,
    tasks: TaskTracker,
}

/// A grant that a request may be served with.
#[derive(Debug)]
pub struct Kept {
    /// The grant.
    pub grant: Arc<Grant>,
    /// Its access token has expired and the provider cannot renew it now: it is served on within the grace.
    pub stale: bool,
}

/// Why a request cannot be served with its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// The user must pass the provider again, which may need no prompt.
    SignInAgain(EndReason),
    /// The session was ended meanwhile.
    Gone,
    /// Neither renewed nor refused; to be tried again after this long. Nobody is logged out.
    Unavailable(Duration),
}

impl Renewer {
    /// An engine for one provider. Renewals run on `tasks`, so that a shutdown can wait for them.
    pub fn new(
        settings: Settings,
        provider: Arc<Provider>,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        tasks: TaskTracker,
    ) -> Self {
        let slots = Semaphore::new(settings.max_concurrent);
        Self(Arc::new(Engine {
            settings,
            provider,
            store,
            clock,
            metrics,
            flights: Flights::default(),
            breaker: Breaker::default(),
            slots,
            tasks,
        }))
    }

    /// Whether the provider refuses this client, so that no grant can be renewed.
    pub fn client_is_refused(&self) -> bool {
        self.0.breaker.client_is_refused()
    }

    /// The same grant if its tokens are fresh enough, or renewed, or served on.
    ///
    /// # Errors
    /// [`NotKept`].
    pub async fn keep_fresh(&self, grant: Arc<Grant>) -> Result<Kept, NotKept> {
        let engine = &self.0;
        let decide = |grant: &Grant| decision::decide(grant, &engine.settings, engine.clock.now(), engine.breaker.in_trouble());
        match decide(&grant) {
            Decision::Serve => Ok(Kept { grant, stale: false }),
            Decision::ServeAndRenew => {
                engine.start(&grant);
                Ok(Kept { grant, stale: false })
            }
            Decision::ServeStaleAndRenew => {
                engine.start(&grant);
                Ok(Kept { grant, stale: true })
            }
            Decision::Expired => {
                engine.record_expiry(&grant).await;
                Err(NotKept::SignInAgain(EndReason::Expired))
            }
            Decision::SignInAgain(reason) => Err(NotKept::SignInAgain(reason)),
            Decision::RenewFirst => {
                let flight = engine.start(&grant);
                // The renewal goes on when the wait is over, or the client: it belongs to no request.
                let outcome = tokio::time::timeout(HARD_WAIT, flight.outcome()).await;
                engine.after(grant, outcome.ok())
            }
        }
    }
}

/// What became of a renewal.
#[derive(Clone, Debug)]
enum Outcome {
    /// The grant is renewed, by us or by somebody else.
    Renewed(Arc<Grant>),
    /// The grant has ended.
    Ended(Arc<Grant>),
    /// It is not there any more.
    Gone,
    /// Neither; to be tried again after this long.
    Unavailable(Duration),
}

impl Engine {
    /// What a request that waited is told. `None`: it waited long enough.
    fn after(&self, grant: Arc<Grant>, outcome: Option<Outcome>) -> Result<Kept, NotKept> {
        let (grant, wait) = match outcome {
            Some(Outcome::Renewed(grant)) => return Ok(Kept { grant, stale: false }),
            Some(Outcome::Gone) => return Err(NotKept::Gone),
            Some(Outcome::Ended(grant)) => match &grant.ended {
                Some(ended) if !decision::may_live_out(ended.reason, &grant, self.clock.now()) => {
                    return Err(NotKept::SignInAgain(ended.reason));
                }
                Some(_) | None => (grant, Duration::from_secs(1)),
            },
            Some(Outcome::Unavailable(wait)) => (grant, wait),
            None => (grant, Duration::from_secs(1)),
        };
        match decision::without_renewal(&grant, &self.settings, self.clock.now()) {
            decision::Fallback::Serve => Ok(Kept { grant, stale: false }),
            decision::Fallback::ServeStale => Ok(Kept { grant, stale: true }),
            decision::Fallback::Refuse => Err(NotKept::Unavailable(wait.max(Duration::from_secs(1)))),
        }
    }

    /// Records once that a grant without a refresh token has expired, and says so in the words that
    /// administrators are told to look for.
    async fn record_expiry(&self, grant: &Grant) {
        match self.store.end_grant(grant.id, Fence::Generation(grant.generation), EndReason::Expired, None).await {
            Ok(true) => {
                self.metrics.renewal("dead", "no_refresh_token");
                tracing::warn!(
                    grant.id = %grant.id, oidc.issuer = grant.issuer,
                    "failed to renew OIDC token: token has expired, and the provider gave no refresh token for it"
                );
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "could not record that a grant has expired"),
        }
    }
}
