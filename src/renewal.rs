//! Token refresh, the renewal of grants: what Evergate is for.
//!
//! A visitor's grant goes in, and one whose tokens are good enough comes out, or the reason why not. Among all tasks and all replicas
//! exactly one presents a refresh token, and nothing that goes wrong (a client that leaves, a provider or a store that is away, a
//! process that dies) logs anybody out.
//!
//! | module | what it does |
//! |---|---|
//! | [`decision`] | decides what to do for a request; pure |
//! | [`recovery`] | decides whether a token may be presented again after an expired lease; pure |
//! | [`classify`] | says what a failed token response means; pure |
//! | [`attempt`], [`outcome`] | one attempt, from the intent to its outcome |
//! | [`flight`] | single-flight: one attempt for a grant in a process |
//! | [`pending`] | keeps writes that the store does not take yet, and retries them |
//! | [`breaker`] | circuit breaker: pauses calls to a provider that fails |
//! | [`slots`] | rate limit: how many calls are made concurrently |
//! | [`health`] | health probes, and what failures mean for everybody |
//! | [`knowledge`] | what token refreshes have shown of the provider, kept in the store |
//! | [`missing_key`] | grants whose encryption key is lost |

mod attempt;
mod breaker;
mod classify;
mod decision;
mod flight;
mod health;
mod knowledge;
mod missing_key;
mod outcome;
mod pending;
mod recovery;
mod slots;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::task::TaskTracker;

use crate::{
    clock::{Clock, Timestamp},
    grant::{EndReason, Grant},
    history::Event,
    oidc::Provider,
    store::{Fence, Store},
    telemetry::metrics::Metrics,
    timings::Timings,
};

use breaker::Breaker;
pub use breaker::ClientStanding;
use decision::{Decision, RemainingUse};
use flight::Flights;
use knowledge::Observed;
use pending::Pending;
use slots::Slots;

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

/// The shortest `Retry-After` of a request that cannot be served now.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The shortest pause of a request that waits for a provider at its rate limit.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// The engine of one process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Renewer(Arc<Engine>);

#[derive(Debug)]
struct Engine {
    settings: Settings,
    timings: Timings,
    provider: Arc<Provider>,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    flights: Flights,
    breaker: Breaker,
    slots: Slots,
    tasks: TaskTracker,
    draining: AtomicBool,
    observed: Mutex<Observed>,
    pending: Pending,
    looking: tokio::sync::Mutex<()>,
    /// When the log was last told of a renewal that could not be verified.
    unverified_told_at: Mutex<Option<Timestamp>>,
}

/// A grant that a request may be served with.
#[derive(Debug)]
pub struct Usable {
    /// The grant.
    pub grant: Arc<Grant>,
    /// Its access token has expired and the provider cannot renew it now: it is served on within the grace.
    pub stale: bool,
}

/// Why a request cannot be served with its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The user must pass the provider again, which may need no prompt.
    SignInAgain(EndReason),
    /// The provider refuses to renew this grant, for a reason that is no death. Another grant may fare better.
    Refused,
    /// The session was ended meanwhile.
    Gone,
    /// Neither renewed nor refused; to be tried again after this long. Nobody is logged out.
    Unavailable(Duration),
}

/// How many refresh tokens near their idle expiry are refreshed at a look.
const KEEP_ALIVE_BATCH: i64 = 200;

impl Renewer {
    /// An engine for one provider.
    pub fn new(
        settings: Settings,
        timings: Timings,
        provider: Arc<Provider>,
        store: Store,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        let slots = Slots::new(settings.max_concurrent);
        Self(Arc::new(Engine {
            settings,
            timings,
            provider,
            store,
            clock,
            metrics,
            flights: Flights::default(),
            breaker: Breaker::default(),
            slots,
            tasks: TaskTracker::new(),
            draining: AtomicBool::new(false),
            observed: Mutex::default(),
            pending: Pending::default(),
            looking: tokio::sync::Mutex::default(),
            unverified_told_at: Mutex::default(),
        }))
    }

    /// What the provider thinks of this client; where it is refused, no grant can be renewed.
    pub fn client_standing(&self) -> ClientStanding {
        self.0.breaker.client_standing()
    }

    /// Whether the last renewals failed, so that nobody who can be served should be sent to the provider.
    pub fn provider_is_in_trouble(&self) -> bool {
        self.0.breaker.in_trouble(self.0.clock.now())
    }

    /// Returns the grant as it is if its tokens are fresh enough, or refreshed, or to be served stale.
    ///
    /// # Errors
    /// [`Unusable`].
    pub async fn keep_fresh(&self, grant: Arc<Grant>) -> Result<Usable, Unusable> {
        let engine = &self.0;
        if !self.is_ours(&grant) {
            return Err(Unusable::SignInAgain(EndReason::OtherProvider));
        }
        if let Some(key) = grant.missing_key {
            return Box::pin(engine.without_tokens(grant, key)).await;
        }
        let now = engine.clock.now();
        match decision::decide(&grant, &engine.settings, now, engine.breaker.in_trouble(now)) {
            Decision::Serve { stale, refresh } => {
                if refresh {
                    engine.start_unless_paused(&grant);
                }
                Ok(Usable { grant, stale })
            }
            Decision::Expired => {
                Box::pin(engine.record_expiry(&grant)).await;
                Err(Unusable::SignInAgain(EndReason::Expired))
            }
            Decision::Refused => Err(Unusable::Refused),
            Decision::SignInAgain(reason) => Box::pin(engine.without_grant(grant, reason)).await,
            Decision::RefreshFirst => {
                let outcome = if engine.may_be_waited_for(&grant) {
                    // The renewal goes on when the wait is over, or the client: it belongs to no request.
                    match Box::pin(tokio::time::timeout(engine.timings.blocking_refresh_wait, engine.renewed(&grant))).await {
                        Ok(outcome) => outcome,
                        Err(_) => Box::pin(engine.look_once_more(&grant)).await,
                    }
                } else {
                    Outcome::Unavailable(MIN_RETRY_AFTER)
                };
                Box::pin(engine.after(grant, outcome)).await
            }
        }
    }

    /// Refreshes, for as long as it runs, the grants in use whose refresh token would soon reach its idle expiry: those of which
    /// the provider tells how long it lives. Grants that nobody uses are left to expire.
    pub async fn refresh_before_idle_expiry(&self) {
        let engine = &self.0;
        loop {
            tokio::time::sleep(engine.timings.idle_refresh_interval).await;
            let due = match engine.store.due_before_idle_expiry(engine.clock.now(), KEEP_ALIVE_BATCH).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::debug!(%error, "grants to be kept alive could not be looked for");
                    continue;
                }
            };
            for id in due {
                match engine.store.grant(id).await {
                    Ok(Some(grant)) if self.is_ours(&grant) => engine.start_unless_paused(&grant),
                    Ok(Some(_) | None) => {}
                    // The others would fare no better.
                    Err(_) => break,
                }
            }
        }
    }

    /// A refresh token is presented to nobody but the provider that issued it, as the client that it was issued to.
    fn is_ours(&self, grant: &Grant) -> bool {
        grant.issuer == self.0.provider.issuer() && grant.client_id == self.0.provider.client_id()
    }

    /// Begins no more renewals, and waits for those under way to be saved: a token that was presented has no other
    /// copy of its successor. `false`: one did not come to its end within the longest time that it can take.
    pub async fn finish(&self) -> bool {
        self.0.draining.store(true, Ordering::Release);
        self.0.tasks.close();
        tokio::time::timeout(self.0.provider.token_timeout() + attempt::SAVING, self.0.tasks.wait()).await.is_ok()
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
    /// Neither: the provider refuses this grant and does not say that it is dead.
    Refused,
    /// Neither: the provider is at its limit, and is to be asked again after this long.
    Busy(Duration),
    /// Neither: something is away. To be tried again after this long.
    Unavailable(Duration),
}

impl Engine {
    /// Renews in the background, unless nobody may ask the provider now, or nothing could be saved.
    fn start_unless_paused(self: &Arc<Self>, grant: &Grant) {
        if self.breaker.pause(self.clock.now()).is_none() && self.may_be_waited_for(grant) {
            self.start(grant);
        }
    }

    /// Whether a grant's renewal can come about now, as far as is known: what it brings can be saved, nobody has waited for it
    /// in vain, and the store has not just failed it.
    fn may_be_waited_for(&self, grant: &Grant) -> bool {
        self.store.is_writable() && !self.flights.is_hopeless(grant.id) && !self.pending.concerns(grant.id)
    }

    /// What becomes of the grant's renewal. A provider that is at its limit is waited for by a request that cannot be served
    /// without it; one that is away would be waited for in vain.
    async fn renewed(self: &Arc<Self>, grant: &Grant) -> Outcome {
        loop {
            let outcome = self.start(grant).outcome().await;
            let Outcome::Busy(wait) = outcome else { return outcome };
            let refused = decision::remaining_use(grant, &self.settings, self.clock.now()) == RemainingUse::None;
            if !refused || wait >= self.timings.blocking_refresh_wait {
                return outcome;
            }
            tokio::time::sleep(wait.max(SHORTEST_WAIT)).await;
        }
    }

    /// For a request whose wait is over: the tokens may be saved already, and only their claims be looked at still. Who comes
    /// next does not wait as well.
    async fn look_once_more(&self, grant: &Grant) -> Outcome {
        self.flights.was_waited_for(grant.id);
        match self.store.grant(grant.id).await {
            Ok(Some(newer)) if newer.ended.is_none() && newer.generation > grant.generation => Outcome::Renewed(Arc::new(newer)),
            Ok(Some(_) | None) | Err(_) => Outcome::Unavailable(MIN_RETRY_AFTER),
        }
    }

    /// What a request that waited is told.
    async fn after(self: &Arc<Self>, mut grant: Arc<Grant>, outcome: Outcome) -> Result<Usable, Unusable> {
        let refused = match outcome {
            Outcome::Renewed(grant) if grant.unverified_since.is_none() => return Ok(Usable { grant, stale: false }),
            Outcome::Renewed(unverified) => {
                return match decision::remaining_use(&unverified, &self.settings, self.clock.now()) {
                    RemainingUse::Live | RemainingUse::Grace => Ok(Usable { grant: unverified, stale: true }),
                    RemainingUse::None => Err(Unusable::Unavailable(MIN_RETRY_AFTER)),
                };
            }
            Outcome::Gone => return Err(Unusable::Gone),
            Outcome::Ended(ended) => {
                let reason = ended.ended.as_ref().map_or(EndReason::OutcomeUnknown, |ended| ended.reason);
                return Box::pin(self.without_grant(ended, reason)).await;
            }
            Outcome::Refused => {
                // Its row says so now, and so must what is served with it.
                if let Ok(Some(refused)) = self.store.grant(grant.id).await {
                    grant = Arc::new(refused);
                }
                Unusable::Refused
            }
            Outcome::Busy(wait) | Outcome::Unavailable(wait) => Unusable::Unavailable(wait.max(MIN_RETRY_AFTER)),
        };
        match decision::remaining_use(&grant, &self.settings, self.clock.now()) {
            RemainingUse::Live => Ok(Usable { grant, stale: false }),
            RemainingUse::Grace => Ok(Usable { grant, stale: true }),
            RemainingUse::None => Err(refused),
        }
    }

    /// What a request is told whose grant has ended.
    async fn without_grant(self: &Arc<Self>, grant: Arc<Grant>, reason: EndReason) -> Result<Usable, Unusable> {
        match decision::remaining_use_after_end(reason, &grant, &self.settings, self.clock.now()) {
            RemainingUse::Live => Ok(Usable { grant, stale: false }),
            // Nobody is sent to a provider that is away.
            RemainingUse::Grace if !self.provider_answers(&grant).await => Ok(Usable { grant, stale: true }),
            RemainingUse::Grace | RemainingUse::None => Err(Unusable::SignInAgain(reason)),
        }
    }

    /// Counts a renewal that came out in some way of ours, and puts it down in the grant's history.
    fn count(&self, grant: &Grant, outcome: &'static str, reason: &str) {
        self.metrics.renewal(outcome, reason);
        self.store.enqueue_event(Event::renewal(grant, self.clock.now(), outcome, reason));
    }

    /// Records once that a grant without a refresh token has expired, and says so in the words that
    /// administrators are told to look for.
    async fn record_expiry(&self, grant: &Grant) {
        match self.store.end_grant(grant.id, Fence::Generation(grant.generation), EndReason::Expired, None).await {
            Ok(true) => {
                self.count(grant, "dead", "no_refresh_token");
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

#[cfg(test)]
mod model;
