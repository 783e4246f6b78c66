//! One attempt at a renewal, from the intent to the presentation of the refresh token. [`super::outcome`] is what comes of it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::broadcast;

use super::{
    Engine, Outcome,
    breaker::Admission,
    classify::Class,
    decision::{self, Fallback, Recovery, pause, recover},
    outcome::{Asked, Presentation},
    pending::Write,
};
use crate::{
    backoff::back_off,
    clock::Stopwatch,
    grant::{AttemptId, Grant, GrantId},
    history::Event,
    oidc::Introspection,
    secret::Secret,
    store::{Change, Followed, StoreError},
    telemetry::logs::causes,
};

/// Time for what is asked before, and for saving, around the longest token call. The lease covers all three.
pub(super) const SAVING: Duration = Duration::from_secs(15);
/// While another replica holds the intent, its row is read again after this long even if nothing is heard.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// So many times it is waited for before it is looked whether its holder lives, each time.
const ROUNDS_TO_LOOK: u32 = 4;

/// A token is presented no later than this after its intent: well before the replica can be taken for dead.
const LATEST: Duration = Duration::from_secs(3);
/// So often a token of unknown fate is asked about in vain.
const MOST_QUESTIONS: i64 = 12;
/// And between these pauses, which grow.
const QUESTION_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How a refresh token comes to be presented.
#[derive(Clone, Copy)]
enum Approach {
    /// As one that nobody has presented.
    First,
    /// Again, after an attempt that had no outcome.
    Again(Followed),
    /// Again, if introspection says that it is still good.
    IfActive(Followed),
}

impl Approach {
    fn follows(self) -> Option<Followed> {
        match self {
            Self::First => None,
            Self::Again(followed) | Self::IfActive(followed) => Some(followed),
        }
    }

    /// For how long the token may still be presented, where that ends.
    fn window(self, grant: &Grant) -> Option<Duration> {
        let within = self.follows()?.within?;
        Some(within.saturating_sub(grant.presented_ago.unwrap_or_default()))
    }
}

impl Engine {
    /// Renews the grant unless it has been since `generation`.
    pub(super) async fn renew(self: &Arc<Self>, id: GrantId, generation: i64) -> Outcome {
        match self.try_renew(id, generation).await {
            Ok(outcome) => {
                self.flights.rested(id);
                outcome
            }
            Err(error) => {
                // No refresh token is presented whose outcome could not be saved. When the store is away is said once, by its gate.
                tracing::debug!(grant.id = %id, error = causes(&error), "a grant was not renewed because the store failed it");
                self.metrics.renewal("retry", "store_unavailable");
                self.flights.rest(id);
                Outcome::Unavailable(Duration::from_secs(1))
            }
        }
    }

    async fn try_renew(self: &Arc<Self>, id: GrantId, generation: i64) -> Result<Outcome, StoreError> {
        let mut changes = self.store.changes();
        let mut rounds = 0;
        loop {
            let Some(grant) = self.store.grant(id).await?.map(Arc::new) else { return Ok(Outcome::Gone) };
            if grant.ended.is_some() {
                return Ok(Outcome::Ended(grant));
            }
            if grant.missing_key.is_some() {
                // No intent is written for a token that cannot be presented.
                return Ok(Outcome::Unavailable(LOOK_AGAIN));
            }
            if grant.generation > generation {
                return Ok(Outcome::Renewed(grant));
            }
            let approach = match grant.intent {
                None => Approach::First,
                Some(intent) if !intent.lapsed => {
                    rounds += 1;
                    self.wait_for_owner(&mut changes, id, intent.attempt, rounds).await?;
                    continue;
                }
                // Whether it can be asked about is known once the provider has been found.
                Some(_) if !self.provider.is_ready() => return Ok(Outcome::Unavailable(LOOK_AGAIN)),
                Some(intent) => match recover(self.rotation(&grant).await?, &grant, self.provider.introspects()) {
                    Recovery::Reuse(within) => Approach::Again(Followed { attempt: intent.attempt, within }),
                    Recovery::Introspect => Approach::IfActive(Followed { attempt: intent.attempt, within: None }),
                    Recovery::Settle(wait) => return Ok(Outcome::Unavailable(wait)),
                    Recovery::GiveUp => {
                        self.give_up(&grant, intent.attempt).await?;
                        continue;
                    }
                },
            };
            if let Some(wait) = pause(&grant, self.clock.now()) {
                return Ok(self.paused(&grant, wait));
            }
            let Some(_slot) = self.slots.acquire().await else { return Ok(Outcome::Unavailable(LOOK_AGAIN)) };
            if self.draining.load(Ordering::Acquire) {
                return Ok(Outcome::Unavailable(LOOK_AGAIN));
            }
            match self.breaker.enter(self.clock.now(), approach.window(&grant)) {
                Ok(Admission::Normal) => {}
                Ok(Admission::HalfOpenProbe) => {
                    if let Some(wait) = self.probe_provider(&grant).await {
                        return Ok(self.told_to_wait(wait));
                    }
                }
                Err(wait) => return Ok(self.told_to_wait(wait)),
            }
            if let Some(outcome) = self.attempt(&grant, approach).await? {
                return Ok(outcome);
            }
        }
    }

    /// Writes the intent and presents the refresh token. `None`: somebody else was faster.
    async fn attempt(self: &Arc<Self>, grant: &Grant, approach: Approach) -> Result<Option<Outcome>, StoreError> {
        let (id, attempt, lease) = (grant.id, AttemptId::random(), self.provider.token_timeout() + SAVING);
        let token = match self.store.begin_renewal(id, attempt, grant.generation, lease, approach.follows()).await {
            Ok(Some(token)) => token,
            Ok(None) => {
                self.breaker.withdrawn();
                return Ok(None);
            }
            Err(error) => {
                self.breaker.withdrawn();
                if !error.nothing_was_written() {
                    self.give_back(id, attempt);
                }
                return Err(error);
            }
        };
        let begun = Stopwatch::start();
        if let Approach::IfActive(_) = approach
            && let Some(outcome) = self.introspect(grant, attempt, &token).await?
        {
            return Ok(Some(outcome));
        }
        if begun.elapsed() > LATEST {
            // This process stood still, or introspection took long: by now others may take it for dead, and its intent over.
            self.breaker.withdrawn();
            self.write(id, attempt, Write::Release(None, None)).await?;
            return Ok(Some(Outcome::Unavailable(LOOK_AGAIN)));
        }
        let is_repeated = approach.follows().is_some();
        let presented_ago = grant.presented_ago.filter(|_| is_repeated).unwrap_or_default();
        let presentation = Presentation { grant, attempt, is_repeated, presented_ago };
        self.present(presentation, &token).await.map(Some)
    }

    /// Presents the refresh token and keeps what comes of it.
    async fn present(self: &Arc<Self>, presentation: Presentation<'_>, refresh_token: &Secret) -> Result<Outcome, StoreError> {
        let (asked_at, timer) = (self.clock.now(), self.metrics.provider_timer("refresh"));
        let result = self.provider.refresh(refresh_token).await;
        let took = timer.finish();
        match result {
            Ok(answer) => self.keep(presentation, refresh_token, answer, Asked { at: asked_at, took }).await,
            Err(failure) => self.fail(presentation, &failure, took).await,
        }
    }

    /// Asks whether a refresh token that was presented is still good. `None`: it is, and can be presented.
    async fn introspect(
        self: &Arc<Self>,
        grant: &Grant,
        attempt: AttemptId,
        refresh_token: &Secret,
    ) -> Result<Option<Outcome>, StoreError> {
        let timer = self.metrics.provider_timer("introspection");
        let told = self.provider.introspect(refresh_token).await;
        let took = timer.finish();
        let note = |reason: &str| {
            let event = Event::renewal(grant, self.clock.now(), Class::Ambiguous.as_str(), reason);
            self.store.note(Event { duration: Some(took), ..event });
        };
        match told {
            Introspection::Active => {
                note("introspected_active");
                return Ok(None);
            }
            Introspection::Inactive => {
                // Whoever is served with this grant can be sent to the provider at once, for it is not away.
                self.breaker.was_heard();
                note("introspected_inactive");
            }
            Introspection::Inconclusive(why) => note(why),
            Introspection::Unavailable(why) => {
                let now = self.clock.now();
                tracing::debug!(grant.id = %grant.id, error = why, "a refresh token of unknown fate cannot be asked about now");
                // Asked again for as long as its user can be served meanwhile. It says nothing of the token endpoint, and so
                // nothing to the breaker.
                let is_served = decision::without_renewal(grant, &self.settings, now) != Fallback::Refuse;
                if is_served && grant.presented < MOST_QUESTIONS {
                    self.breaker.withdrawn();
                    let times = u32::try_from(grant.presented).unwrap_or(0);
                    let pause = back_off(times, QUESTION_PAUSE.0, QUESTION_PAUSE.1);
                    self.write(grant.id, attempt, Write::Lapse(Some(now.plus(pause)))).await?;
                    return Ok(Some(self.told_to_wait(pause)));
                }
                note("introspection_unavailable");
            }
        }
        self.breaker.withdrawn();
        self.write(grant.id, attempt, Write::Lapse(None)).await?;
        self.give_up(grant, attempt).await?;
        Ok(Some(self.look(grant.id).await?))
    }

    /// Waits for what comes of another replica's attempt. Now and then it is looked whether that replica lives: a dead one's
    /// lease need not be waited for.
    async fn wait_for_owner(
        &self,
        changes: &mut broadcast::Receiver<Change>,
        id: GrantId,
        attempt: AttemptId,
        round: u32,
    ) -> Result<(), StoreError> {
        if round.is_multiple_of(ROUNDS_TO_LOOK)
            && self.store.knows_who_lives()
            && self.store.expire_dead_owners_lease(id, attempt).await?
        {
            tracing::info!(grant.id = %id, "the replica that was renewing a grant is dead");
            return Ok(());
        }
        wait_for_change(changes, id).await;
        Ok(())
    }

    /// Ends a grant whose last attempt's outcome will never be known.
    pub(super) async fn give_up(&self, grant: &Grant, attempt: AttemptId) -> Result<(), StoreError> {
        if self.store.give_up_renewal(grant.id, attempt).await? {
            self.count(grant, "ambiguous", "outcome_unknown");
            tracing::warn!(
                grant.id = %grant.id, oidc.issuer = grant.issuer,
                "failed to renew OIDC token: the outcome of an earlier attempt is unknown, and this provider's refresh tokens are good for one use; \
                 the browser will sign in again by itself"
            );
        }
        Ok(())
    }

    /// The grant as it stands now.
    pub(super) async fn look(&self, id: GrantId) -> Result<Outcome, StoreError> {
        Ok(match self.store.grant(id).await?.map(Arc::new) {
            None => Outcome::Gone,
            Some(grant) if grant.ended.is_some() => Outcome::Ended(grant),
            Some(grant) => Outcome::Renewed(grant),
        })
    }
}

/// Waits until the grant is said to have changed, or [`LOOK_AGAIN`].
async fn wait_for_change(changes: &mut broadcast::Receiver<Change>, id: GrantId) {
    let heard = async {
        loop {
            match changes.recv().await {
                Ok(Change::Grant(changed)) if changed != id => {}
                Ok(Change::Session(_)) => {}
                Ok(Change::Grant(_) | Change::Everything) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let _either = tokio::time::timeout(LOOK_AGAIN, heard).await;
}
