//! Token refresh, the renewal of grants.
//!
//! [`Renewer::keep_fresh`] takes a user's grant and returns one whose tokens are fresh enough, or the reason why not. Of all tasks on
//! all replicas exactly one presents a refresh token, and no failure (a client that disconnects, a provider or store that is
//! unavailable, a crash) logs a user out.
//!
//! | module | what it does |
//! |---|---|
//! | [`settings`] | what an administrator sets, and how claims are read |
//! | [`decision`] | decides what to do for a request; pure |
//! | [`recovery`] | decides whether a token may be presented again after an expired lease; pure |
//! | [`classify`] | says what a failed token response means; pure |
//! | [`result`] | what a token refresh comes to |
//! | [`engine`] | what every attempt works with |
//! | [`attempt`], [`outcome`] | one attempt, from the intent to its outcome |
//! | [`token_use`] | how an attempt presents the token, and within which times |
//! | [`flight`] | single-flight: one attempt for a grant in a process |
//! | [`pending`] | keeps writes that the store does not take yet, and retries them |
//! | [`breaker`] | circuit breaker: pauses calls to a provider that fails |
//! | [`slots`] | rate limit: how many calls are made concurrently |
//! | [`health`] | health probes, and what failures mean for everybody |
//! | [`knowledge`] | what token refreshes have shown of the provider, kept in the store |
//! | [`locked_out`] | names that are locked out, of which a token refresh tells |
//! | [`missing_key`] | grants whose encryption key is lost |
//! | [`lost_grants`] | grants whose end the history tells, and not their row |
//! | [`on_demand`] | a token refresh that an administrator asks for |
//! | [`shutdown`] | waits for what is under way when this process ends |

mod attempt;
mod blocked;
mod breaker;
mod classify;
mod decision;
mod engine;
mod flight;
mod health;
mod knowledge;
mod locked_out;
mod lost_grants;
mod missing_key;
mod on_demand;
mod outcome;
mod pending;
mod recovery;
mod result;
mod settings;
mod shutdown;
mod slots;
mod token_use;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::{
    clock::{Clock, Stopwatch},
    grant::{AttemptId, EndReason, Grant},
    history::Event,
    lock::Mutex,
    oidc::{Provider, Providers},
    store::{Fence, IdleExpiry, Store, StoreError},
    telemetry::{metrics::Metrics, traces::SPANS},
    timings::Timings,
};

use blocked::BlockedIntrospections;
use breaker::Breaker;
use decision::{Decision, RemainingUse};
use engine::Engine;
use flight::{Flight, Flights};
use knowledge::Observed;
use lost_grants::LostGrants;
use pending::Pending;
use result::Outcome;
use slots::Slots;

pub use breaker::{ClientStanding, FAILURE_THRESHOLD};
pub use classify::is_end_of_grant;
pub use decision::NextRefresh;
pub use on_demand::RefreshedNow;
pub use result::{Unusable, Usable};
pub use settings::{Reading, Settings};

/// The shortest `Retry-After` of a request that cannot be served now.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
/// The shortest pause of a request that waits for the provider's rate limit.
const MIN_WAIT: Duration = Duration::from_millis(100);

/// The token refresh of one process, at each provider by itself: what happens at one concerns the grants of no other. Clones share it.
#[derive(Clone, Debug)]
pub struct Renewer {
    engines: Arc<[Arc<Engine>]>,
    tasks: TaskTracker,
    store: Store,
    clock: Clock,
    timings: Timings,
    lost: Arc<LostGrants>,
}

/// After how many refresh tokens near their idle expiry the others wait for the next interval.
const IDLE_REFRESH_BATCH: usize = 200;

impl Renewer {
    /// Creates the token refresh for all providers.
    pub fn new(
        settings: &Settings,
        timings: Timings,
        providers: &Providers,
        store: Store,
        clock: Clock,
        metrics: &Metrics,
    ) -> Self {
        let tasks = TaskTracker::new();
        let pending = Arc::new(Pending::new(store.clone(), tasks.clone()));
        let engine = |provider: &Arc<Provider>| {
            let metrics = metrics.of_provider(provider.name());
            // Of every preset, because metadata that say which one it is may come late.
            classify::codes_of_presets().for_each(|(class, code)| metrics.expect_renewal(class, code));
            Arc::new(Engine {
                settings: Settings { reading: Some(Reading::of(provider, clock.now())), ..settings.clone() },
                timings,
                provider: Arc::clone(provider),
                store: store.clone(),
                clock: clock.clone(),
                metrics,
                flights: Flights::default(),
                breaker: Breaker::default(),
                blocked: BlockedIntrospections::default(),
                slots: Slots::new(settings.max_concurrent),
                tasks: tasks.clone(),
                draining: AtomicBool::new(false),
                observed: Observed::new(Arc::clone(provider), store.clone()),
                pending: Arc::clone(&pending),
                provider_check: tokio::sync::Mutex::default(),
                provider_check_began: Mutex::default(),
                dummy_verdict: tokio::sync::Mutex::default(),
                unverified_logged_at: Mutex::default(),
            })
        };
        let engines = providers.iter().map(engine).collect();
        Self { engines, tasks, store, clock, timings, lost: Arc::default() }
    }

    /// Whether the provider of this name accepts this client; if it does not, none of its grants can be refreshed.
    pub fn client_standing(&self, provider: &str) -> ClientStanding {
        let engine = self.engines.iter().find(|engine| engine.provider.name() == provider);
        engine.map_or(ClientStanding::Unknown, |engine| engine.breaker.client_standing())
    }

    /// Whether the last token refreshes at a grant's provider failed, so that users who can be served should not be sent there.
    pub fn provider_is_in_trouble(&self, grant: &Grant) -> bool {
        self.engine_of(grant).is_some_and(|engine| engine.breaker.in_trouble(self.clock.now()))
    }

    /// The token refresh at the provider that a grant is of. A refresh token is presented to no other.
    fn engine_of(&self, grant: &Grant) -> Option<&Arc<Engine>> {
        self.engines.iter().find(|engine| engine.provider.has_given(grant))
    }

    /// Returns the grant unchanged if its tokens are fresh enough, or refreshed, or to be used stale.
    ///
    /// # Errors
    /// [`Unusable`].
    pub async fn keep_fresh(&self, grant: Arc<Grant>) -> Result<Usable, Unusable> {
        self.keep_fresh_for(grant, Duration::ZERO).await
    }

    /// The same for somebody who needs the access token to live for `lasting`, or half of its lifetime: shorter while refreshes fail.
    ///
    /// # Errors
    /// [`Unusable`].
    pub async fn keep_fresh_for(&self, grant: Arc<Grant>, lasting: Duration) -> Result<Usable, Unusable> {
        let Some(engine) = self.engine_of(&grant) else {
            return Err(self.sign_in_for(&grant, EndReason::OtherProvider).await);
        };
        if let Some(key) = grant.missing_key {
            return Box::pin(self.serve_without_tokens(engine, grant, key)).await;
        }
        let (now, waited) = (engine.clock.now(), Stopwatch::start());
        match decision::decide_lasting(&grant, &engine.settings, now, engine.breaker.in_trouble(now), lasting) {
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
            Decision::ReadOtherwise => Err(Unusable::SignInAgain(EndReason::Expired)),
            Decision::Refused => Err(Unusable::Refused),
            Decision::SignInAgain(reason) => Box::pin(engine.serve_after_end(grant, reason, waited)).await,
            Decision::RefreshFirst => {
                let outcome = if engine.may_wait_for(&grant) {
                    // The refresh continues after the wait and after a disconnect: it belongs to no request.
                    match Box::pin(tokio::time::timeout(engine.timings.blocking_refresh_wait, engine.wait_for_refresh(&grant)))
                        .await
                    {
                        Ok(outcome) => outcome,
                        Err(_) => Box::pin(engine.read_after_timeout(&grant)).await,
                    }
                } else {
                    Outcome::Unavailable(MIN_RETRY_AFTER)
                };
                Box::pin(engine.resolve(grant, outcome, waited)).await
            }
        }
    }

    /// Returns a grant for a request while the store cannot be asked: stale, because nothing can be refreshed, nor is it known
    /// whether another replica has refreshed it. `None`: the grant is good for nothing without a refresh.
    pub fn serve_without_store(&self, grant: Arc<Grant>) -> Option<Usable> {
        let engine = self.engine_of(&grant)?;
        let left = decision::remaining_use_without_refresh(&grant, &engine.settings, self.clock.now());
        (left != RemainingUse::None).then_some(Usable { grant, stale: true })
    }

    /// Refreshes, for as long as it runs, the grants in use whose refresh token is near its idle expiry, if that is known. Unused
    /// grants are left to expire.
    pub async fn refresh_before_idle_expiry(&self) {
        loop {
            tokio::time::sleep(self.timings.idle_refresh_interval).await;
            let mut started = 0;
            while started < IDLE_REFRESH_BATCH {
                match self.refresh_batch_before_idle_expiry().await {
                    Ok((due, is_done)) => {
                        started += due;
                        if is_done {
                            break;
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "grants near their idle expiry could not be read");
                        break;
                    }
                }
            }
        }
    }

    /// Starts to refresh one batch, and returns how many were due and whether it was the last.
    async fn refresh_batch_before_idle_expiry(&self) -> Result<(usize, bool), StoreError> {
        let IdleExpiry { due, is_done } = self.store.due_before_idle_expiry(self.clock.now()).await?;
        for id in &due {
            if let Some(grant) = self.store.grant(*id).await?
                && let Some(engine) = self.engine_of(&grant)
            {
                engine.start_unless_paused(&Arc::new(grant));
            }
        }
        Ok((due.len(), is_done))
    }
}

impl Engine {
    /// Starts a background refresh, unless the circuit breaker is open, the result could not be saved, or tokens are held back.
    fn start_unless_paused(self: &Arc<Self>, grant: &Arc<Grant>) {
        if self.breaker.pause(self.clock.now()).is_none() && self.may_wait_for(grant) && !self.store.holds_tokens_back() {
            self.start(grant);
        }
    }

    /// Joins the grant's token refresh, or starts one that no request can cancel.
    fn start(self: &Arc<Self>, grant: &Arc<Grant>) -> Flight {
        let id = grant.id;
        let (flight, sender) = self.flights.join(id);
        if let Some(sender) = sender {
            let (engine, grant) = (Arc::clone(self), Arc::clone(grant));
            // Of the request that begins it, if one does.
            let span = tracing::trace_span!(target: SPANS, "token refresh", otel.root = true);
            let refresh = async move {
                let in_flight = engine.flights.guard(id);
                let outcome = engine.renew(grant).await;
                // Removed before the outcome is sent: a caller that comes later must not get this outcome.
                drop(in_flight);
                sender.send_replace(Some(outcome));
            };
            self.tasks.spawn(refresh.instrument(span));
        }
        flight
    }

    /// Whether waiting for a grant's refresh makes sense: the store is writable, no request has timed out waiting for it, and the
    /// store has not just failed it.
    fn may_wait_for(&self, grant: &Grant) -> bool {
        self.store.is_writable() && !self.flights.is_not_worth_waiting(grant.id) && !self.pending.has_writes_for(grant.id)
    }

    /// Waits for the outcome of the grant's refresh. A request that cannot be served without it also waits for a provider at its
    /// rate limit, but not for one that is unavailable.
    async fn wait_for_refresh(self: &Arc<Self>, grant: &Arc<Grant>) -> Outcome {
        loop {
            let span = tracing::trace_span!(target: SPANS, "wait for token refresh");
            let outcome = async { self.start(grant).outcome().await }.instrument(span).await;
            let Outcome::Busy(wait) = outcome else { return outcome };
            let refused = decision::remaining_use(grant, &self.settings, self.clock.now()) == RemainingUse::None;
            if !refused || wait >= self.timings.blocking_refresh_wait {
                return outcome;
            }
            tokio::time::sleep(wait.max(MIN_WAIT)).await;
        }
    }

    /// Reads the row for a request whose wait timed out: the tokens may be saved already, with only the identity still to be
    /// verified. Later requests do not wait for the same refresh.
    async fn read_after_timeout(&self, grant: &Grant) -> Outcome {
        self.flights.record_wait_timeout(grant.id);
        self.read_outcome(grant).await.unwrap_or(Outcome::Unavailable(MIN_RETRY_AFTER))
    }

    /// Turns a refresh's outcome into the result for the request that has `waited` for it.
    async fn resolve(self: &Arc<Self>, mut grant: Arc<Grant>, outcome: Outcome, waited: Stopwatch) -> Result<Usable, Unusable> {
        let refused = match outcome {
            // Its identity may be unverified, or its token may have expired while it could not be saved.
            Outcome::Renewed(grant) => {
                return match decision::remaining_use(&grant, &self.settings, self.clock.now()) {
                    RemainingUse::Live => Ok(Usable { grant, stale: false }),
                    RemainingUse::Grace => Ok(Usable { grant, stale: true }),
                    RemainingUse::None => Err(Unusable::Unavailable(MIN_RETRY_AFTER)),
                };
            }
            Outcome::Gone => return Err(Unusable::Gone),
            Outcome::Ended(ended) => {
                let reason = ended.ended.as_ref().map_or(EndReason::OutcomeUnknown, |ended| ended.reason);
                return Box::pin(self.serve_after_end(ended, reason, waited)).await;
            }
            Outcome::Refused => {
                // The row records the refusal now, and the grant that is returned must too.
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

    /// Decides on a request whose grant has ended, and which has `waited` already.
    async fn serve_after_end(
        self: &Arc<Self>,
        grant: Arc<Grant>,
        reason: EndReason,
        waited: Stopwatch,
    ) -> Result<Usable, Unusable> {
        match decision::remaining_use_after_end(reason, &grant, &self.settings, self.clock.now()) {
            RemainingUse::Live => Ok(Usable { grant, stale: false }),
            // A browser is not sent to a provider that is unavailable.
            RemainingUse::Grace if !self.is_provider_available(&grant, waited).await => Ok(Usable { grant, stale: true }),
            RemainingUse::Grace | RemainingUse::None => Err(Unusable::SignInAgain(reason)),
        }
    }

    /// Records an outcome in the metrics and in the grant's history.
    fn record_outcome(&self, grant: &Grant, outcome: &'static str, reason: &str) {
        self.metrics.renewal(outcome, reason);
        self.store.enqueue_event(Event::renewal(grant, self.clock.now(), outcome, reason));
    }

    /// Records once that a grant without a refresh token has expired, and logs it with the documented prefix that administrators
    /// search for.
    async fn record_expiry(&self, grant: &Grant) {
        // A machine whose clock is ahead must not end a grant that all others can use.
        if let Clock::System = self.clock
            && !self.store.now().await.is_ok_and(|theirs| grant.expires_at <= theirs)
        {
            return;
        }
        let (fence, by) = (Fence::Generation(grant.generation), AttemptId::random());
        match self.store.end_grant(grant.id, by, fence, EndReason::Expired, None).await {
            Ok(true) => {
                self.record_outcome(grant, "dead", "no_refresh_token");
                tracing::warn!(
                    grant.id = %grant.id, oidc.issuer = grant.issuer,
                    "failed to renew OIDC token: token has expired, and the provider gave no refresh token for it"
                );
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "the expiry of a grant could not be recorded"),
        }
    }
}

#[cfg(test)]
mod model;
