//! One attempt at a token refresh, from the write-ahead intent to the token call. [`super::outcome`] handles its result.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::broadcast;

use super::{
    breaker::CallKind,
    classify::FailureClass,
    decision::{self, RemainingUse, pause},
    engine::Engine,
    health::report,
    outcome::{CallTiming, Presentation},
    pending::Write,
    recovery::{self, MAX_INTENT_AGE, Plan, Recovery, ReuseWindow, SAVING},
    result::Outcome,
    slots::Slot,
    token_use::{Recovered, TokenUse},
};
use crate::{
    backoff::back_off,
    clock::{Stopwatch, Timestamp},
    grant::{AttemptId, EndReason, Grant, GrantId},
    history::Event,
    oidc::Introspection,
    seal::SealError,
    secret::Secret,
    store::{Change, ExpiredAttempt, Fence, NewIntent, StoreError},
    telemetry::logs::causes,
};

/// While another replica holds the intent, the row is read again after this long even without a change notification.
const RECHECK: Duration = Duration::from_millis(250);
/// Every so many rounds of waiting, it is checked whether the holder is alive.
const ROUNDS_TO_CHECK: u32 = 4;

/// After so many rounds in which the store took no write of an attempt, whoever waits is told to come again.
const MAX_ROUNDS_IN_VAIN: u32 = 20;

/// Introspection is over so long after the intent was begun: what is left of [`MAX_INTENT_AGE`] is for the presentation to begin.
const LATEST_INTROSPECTION: Duration = MAX_INTENT_AGE.saturating_sub(Duration::from_millis(500));
/// After this many presentations a token of unknown outcome is not introspected any more.
const MAX_INTROSPECTIONS: i64 = 12;
/// The shortest and the longest pause between introspections.
const INTROSPECTION_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl Engine {
    /// Refreshes the grant, unless it has been refreshed since it was read.
    pub(super) async fn renew(self: &Arc<Self>, grant: Arc<Grant>) -> Outcome {
        let id = grant.id;
        match self.try_renew(grant).await {
            Ok(outcome) => {
                self.flights.clear_failures(id);
                outcome
            }
            Err(error) => {
                // A refresh token is not presented if its outcome could not be saved. The store's health gate logs its outage
                // once.
                tracing::debug!(grant.id = %id, error = causes(&error), "token refresh postponed because the store failed");
                self.metrics.renewal("retry", "store_unavailable");
                self.flights.record_store_failure(id);
                Outcome::Unavailable(Duration::from_secs(1))
            }
        }
    }

    async fn try_renew(self: &Arc<Self>, known: Arc<Grant>) -> Result<Outcome, StoreError> {
        let (id, mut generation) = (known.id, known.generation);
        let (mut changes, mut rounds, mut in_vain) = (self.store.changes(), 0, 0);
        // The grant as the request had it is good enough to plan by, if a token is just to be presented: the intent is written only
        // if the row is the same.
        let is_plain = recovery::plan(&known, generation) == Plan::Present
            && !self.store.knows_more_of(id, generation)
            && !decision::is_misdated(&known, self.clock.now());
        let mut known = is_plain.then_some(known);
        while in_vain < MAX_ROUNDS_IN_VAIN {
            let read = match known.take() {
                Some(known) => Some(known),
                None => self.store.grant(id).await?.map(Arc::new),
            };
            let Some(grant) = read else { return Ok(Outcome::Gone) };
            let token_use = match recovery::plan(&grant, generation) {
                Plan::Ended => return Ok(Outcome::Ended(grant)),
                Plan::Renewed if self.clock.now() < grant.expires_at => return Ok(Outcome::Renewed(grant)),
                // By another replica, so long ago that this token has expired as well.
                Plan::Renewed => {
                    generation = grant.generation;
                    known = Some(grant);
                    continue;
                }
                // No intent is written for a token that cannot be presented.
                Plan::KeyMissing => return Ok(Outcome::Unavailable(RECHECK)),
                Plan::WaitFor(attempt) => {
                    rounds += 1;
                    self.wait_for_holder(&mut changes, &grant, attempt, rounds).await?;
                    continue;
                }
                Plan::RetryAfter(attempt) => match self.token_use_after_expired_lease(&grant, attempt).await? {
                    Recovered::Use(token_use) => token_use,
                    Recovered::Abandoned => continue,
                    Recovered::Outdone => {
                        in_vain += 1;
                        wait_for_change(&mut changes, id).await;
                        continue;
                    }
                    Recovered::NotYet(wait) => return Ok(Outcome::Unavailable(wait)),
                },
                Plan::Present if decision::is_misdated_by_another(&grant, self.clock.now()) => {
                    return Ok(Outcome::Renewed(grant));
                }
                Plan::Present => TokenUse::First,
            };
            if self.store.holds_tokens_back() {
                return Ok(Outcome::Unavailable(RECHECK));
            }
            let slot = match self.acquire_call(&grant, token_use).await {
                Ok(slot) => slot,
                Err(outcome) => return Ok(outcome),
            };
            if let Some(outcome) = self.attempt(&grant, token_use, slot).await? {
                return Ok(outcome);
            }
            in_vain += 1;
            if token_use.follows().is_some() {
                // By another attempt, which is announced, or because the database's clock has just jumped.
                wait_for_change(&mut changes, id).await;
            }
        }
        Ok(Outcome::Unavailable(RECHECK))
    }

    /// What is to be done about the grant's refresh token after an attempt of unknown outcome, by what is known of the provider, which
    /// must be ready.
    async fn decide_recovery(&self, grant: &Grant) -> Result<Recovery, StoreError> {
        let (rotation, introspects) = (self.observed.rotation(grant).await?, self.provider.supports_introspection());
        Ok(recovery::decide(rotation, grant, introspects, self.provider.token_timeout()))
    }

    /// How long an intent of this replica holds others back.
    fn lease(&self) -> Duration {
        self.provider.token_timeout() + SAVING
    }

    /// Decides on the token of an attempt whose lease has expired.
    async fn token_use_after_expired_lease(self: &Arc<Self>, grant: &Grant, attempt: AttemptId) -> Result<Recovered, StoreError> {
        if !self.provider.is_ready() {
            // Whether the provider supports introspection is known after discovery.
            return Ok(Recovered::NotYet(RECHECK));
        }
        if self.store.database_clock_jumped_within(self.lease()) {
            // The lease may be one that runs, of a call that is under way.
            return Ok(Recovered::NotYet(RECHECK));
        }
        Ok(match self.decide_recovery(grant).await? {
            Recovery::Settle(wait) => Recovered::NotYet(wait),
            Recovery::Reuse(None) => Recovered::Use(TokenUse::Again(ExpiredAttempt { attempt, within: None })),
            Recovery::Reuse(Some(ReuseWindow { within, latest })) => {
                Recovered::Use(TokenUse::InTime(ExpiredAttempt { attempt, within: Some(within) }, latest))
            }
            Recovery::Introspect => Recovered::Use(TokenUse::IfActive(ExpiredAttempt { attempt, within: None })),
            Recovery::GiveUp => match self.abandon_attempt(grant, attempt).await? {
                true => Recovered::Abandoned,
                false => Recovered::Outdone,
            },
        })
    }

    /// Waits for the right to make a token call: the grant is not backing off, a slot is free, this process is not draining, and
    /// the circuit breaker admits the call.
    async fn acquire_call(self: &Arc<Self>, grant: &Grant, token_use: TokenUse) -> Result<Slot<'_>, Outcome> {
        if let Some(wait) = pause(grant, self.clock.now()) {
            return Err(self.paused_outcome(grant, wait));
        }
        let slot = self.slots.acquire().await.ok_or(Outcome::Unavailable(RECHECK))?;
        if self.draining.load(Ordering::Acquire) {
            return Err(Outcome::Unavailable(RECHECK));
        }
        match self.breaker.enter(self.clock.now(), token_use.window(grant)) {
            Ok(CallKind::Normal) => Ok(slot),
            Ok(CallKind::HalfOpenProbe) => match self.probe_provider(grant).await {
                Some(wait) => Err(self.wait_outcome(wait)),
                None => Ok(slot),
            },
            Err(wait) => Err(self.wait_outcome(wait)),
        }
    }

    /// Writes the intent and presents the refresh token. Returns `None` if no intent was written: another attempt was faster, the row has
    /// changed, or an expired lease proves nothing now, because this replica's last heartbeat is old or the database's clock has jumped.
    async fn attempt(
        self: &Arc<Self>,
        grant: &Grant,
        token_use: TokenUse,
        slot: Slot<'_>,
    ) -> Result<Option<Outcome>, StoreError> {
        let (id, attempt, lease) = (grant.id, AttemptId::random(), self.lease());
        let (generation, retry_at, expired) = (grant.generation, grant.retry_at, token_use.follows());
        // From before the intent is written: a store that is slow to say so may have written it long ago.
        let begun = Stopwatch::start();
        let token = match self.store.begin_renewal(id, NewIntent { attempt, generation, retry_at, lease, expired }).await {
            Ok(Some(token)) => token,
            Ok(None) => {
                self.breaker.withdraw();
                return Ok(None);
            }
            // What was altered, or is no sealed value, can be presented by nobody, whichever keys there are. The identity is whole, and its
            // user goes on with another grant.
            Err(StoreError::Sealed(error @ (SealError::Altered | SealError::Malformed))) => {
                self.breaker.withdraw();
                let (class, reason) = (FailureClass::Dead.as_str(), EndReason::KeyLost);
                report(grant, class, reason.as_str(), &error);
                if self.pending.save_with_retry(id, attempt, Write::End(Fence::Attempt(attempt), reason, None)).await? {
                    self.record_outcome(grant, class, reason.as_str());
                }
                return self.read_outcome(grant).await.map(Some);
            }
            // The intent is written, and nobody will present the token: left behind, it would suggest that somebody has.
            Err(StoreError::Sealed(error)) => {
                self.breaker.withdraw();
                let release = Write::Release(retry_at, grant.refused.clone());
                self.pending.save_with_retry(id, attempt, release).await?;
                return match error {
                    // The tokens have been sealed anew since the grant was read. Read again, it tells that the key is missing.
                    SealError::UnknownKey(_) => Ok(None),
                    SealError::NoKey | SealError::BadKey(_) | SealError::Malformed | SealError::Altered => {
                        tracing::warn!(grant.id = %id, %error, "the refresh token of a grant cannot be opened");
                        Err(error.into())
                    }
                };
            }
            Err(error) => {
                self.breaker.withdraw();
                if !error.nothing_was_written() {
                    self.pending.release_intent(id, attempt);
                }
                return Err(error);
            }
        };
        if let TokenUse::IfActive(_) = token_use
            && let Some(outcome) = self.introspect(grant, attempt, &token, begun).await?
        {
            return Ok(Some(outcome));
        }
        let may_be_another_s = token_use.follows().is_some() && self.store.database_clock_jumped_within(lease);
        if begun.elapsed() > token_use.latest() || may_be_another_s {
            // This process was suspended, or the store was slow: other replicas may consider it dead and its intent expired, or the reuse
            // interval is nearly over. Or the lease that it follows has not expired, but the database's clock has jumped.
            self.breaker.withdraw();
            self.pending.save_with_retry(id, attempt, Write::Release(None, None)).await?;
            return Ok(Some(Outcome::Unavailable(RECHECK)));
        }
        let is_repeated = token_use.follows().is_some();
        let presented_ago = grant.presented_ago.filter(|_| is_repeated).unwrap_or_default();
        let presentation = Presentation { grant, attempt, is_repeated, presented_ago };
        self.present(presentation, &token, token_use.sent_within(), slot).await.map(Some)
    }

    /// Presents the refresh token and handles the result.
    async fn present(
        self: &Arc<Self>,
        presentation: Presentation<'_>,
        refresh_token: &Secret,
        sent_within: Option<Duration>,
        slot: Slot<'_>,
    ) -> Result<Outcome, StoreError> {
        let (started_at, timer) = (self.clock.now(), self.metrics.provider_timer("refresh"));
        let result = self.provider.refresh_if_sent_within(refresh_token, sent_within).await;
        let took = timer.finish();
        match result {
            Ok(response) => {
                self.count_refresh("ok", took, started_at);
                self.save_new_tokens(presentation, refresh_token, response, CallTiming { at: started_at, took }).await
            }
            Err(failure) => {
                // A refusal may have to wait for a login, and no other grant waits with it.
                drop(slot);
                self.handle_failure(presentation, &failure, took).await
            }
        }
    }

    /// Counts a token refresh for administrators' charts.
    pub(super) fn count_refresh(&self, outcome: &str, took: Duration, at: Timestamp) {
        self.store.count_refresh(self.provider.registration(), outcome, took, at);
    }

    /// Introspects a refresh token that was presented before, within the time in which the token may be presented after the intent
    /// that was `begun`: a later answer would be of no use. Returns `None` if it is active and can be presented.
    async fn introspect(
        self: &Arc<Self>,
        grant: &Grant,
        attempt: AttemptId,
        refresh_token: &Secret,
        begun: Stopwatch,
    ) -> Result<Option<Outcome>, StoreError> {
        let timer = self.metrics.provider_timer("introspection");
        let wait = LATEST_INTROSPECTION.saturating_sub(begun.elapsed());
        let response = tokio::time::timeout(wait, self.provider.introspect(refresh_token)).await;
        let response = response.unwrap_or_else(|_| Introspection::Unavailable("it is too slow".to_owned()));
        let took = timer.finish();
        let is_blocked = self.blocked.record(grant.id, &response, self.clock.now());
        let record = |reason: &str| {
            let event = Event::renewal(grant, self.clock.now(), FailureClass::Ambiguous.as_str(), reason);
            self.store.enqueue_event(Event { duration: Some(took), ..event });
        };
        match response {
            Introspection::Active => {
                record("introspected_active");
                return Ok(None);
            }
            Introspection::Inactive => {
                // The provider is available, so the user can be sent to it immediately.
                self.breaker.record_introspection_response();
                record("introspected_inactive");
            }
            Introspection::Inconclusive(why) => record(why),
            Introspection::Unavailable(why) | Introspection::Blocked(why) => {
                let now = self.clock.now();
                tracing::debug!(grant.id = %grant.id, error = why, "introspection of a refresh token of unknown outcome is unavailable");
                // Introspection is repeated while the user can be served meanwhile. It says nothing about the token endpoint, so
                // the breaker ignores it.
                let is_served = decision::remaining_use(grant, &self.settings, now) != RemainingUse::None;
                if is_served && !is_blocked && grant.presented < MAX_INTROSPECTIONS {
                    self.breaker.withdraw();
                    let times = u32::try_from(grant.presented).unwrap_or(0);
                    let pause = back_off(times, INTROSPECTION_PAUSE.0, INTROSPECTION_PAUSE.1);
                    let write = Write::ExpireLease { retry_at: Some(now.plus(pause)), settling: Duration::ZERO };
                    self.pending.save_with_retry(grant.id, attempt, write).await?;
                    return Ok(Some(self.wait_outcome(pause)));
                }
                record("introspection_unavailable");
            }
        }
        self.breaker.withdraw();
        self.pending.save_with_retry(grant.id, attempt, Write::EXPIRED).await?;
        self.abandon_attempt(grant, attempt).await?;
        Ok(Some(self.read_outcome(grant).await?))
    }

    /// Waits for the outcome of another replica's attempt. Checks now and then whether that replica is alive, to expire a dead
    /// one's lease early.
    async fn wait_for_holder(
        &self,
        changes: &mut broadcast::Receiver<Change>,
        grant: &Grant,
        attempt: AttemptId,
        round: u32,
    ) -> Result<(), StoreError> {
        let is_checked = round.is_multiple_of(ROUNDS_TO_CHECK) && self.store.knows_who_lives();
        if is_checked && self.expire_dead_owners_lease(grant, attempt).await? {
            tracing::info!(grant.id = %grant.id, "the lease of a dead replica's token refresh was expired");
            return Ok(());
        }
        wait_for_change(changes, grant.id).await;
        Ok(())
    }

    /// Expires the lease of an attempt whose replica is dead. Not before it is known whether the provider supports introspection: a
    /// token that is introspected must be settled.
    async fn expire_dead_owners_lease(&self, grant: &Grant, attempt: AttemptId) -> Result<bool, StoreError> {
        if !self.provider.is_ready() {
            return Ok(false);
        }
        let left = recovery::expirable_lease(self.decide_recovery(grant).await?);
        self.store.expire_dead_owners_lease(grant.id, attempt, left, self.lease()).await
    }

    /// Reads what has become of a grant since it was `known`, as an outcome.
    pub(super) async fn read_outcome(&self, known: &Grant) -> Result<Outcome, StoreError> {
        Ok(match self.store.grant(known.id).await?.map(Arc::new) {
            None => Outcome::Gone,
            Some(grant) if grant.ended.is_some() => Outcome::Ended(grant),
            Some(grant) if grant.generation > known.generation => Outcome::Renewed(grant),
            // Another attempt has the intent now.
            Some(_as_it_was) => Outcome::Unavailable(RECHECK),
        })
    }
}

/// Waits until a change of the grant is announced, or for [`RECHECK`].
async fn wait_for_change(changes: &mut broadcast::Receiver<Change>, id: GrantId) {
    let changed = async {
        loop {
            match changes.recv().await {
                Ok(Change::Grant(other)) if other != id => {}
                Ok(Change::Session(_) | Change::User(_)) => {}
                Ok(Change::Grant(_) | Change::Everything) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let _either = tokio::time::timeout(RECHECK, changed).await;
}
