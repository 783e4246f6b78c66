//! One renewal, from the intent to the outcome.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::broadcast;

use super::{
    Engine, Outcome,
    breaker::Leave,
    classify::{self, Class, Whose},
    decision::{may_follow, pause},
    health::{report, report_unverified},
};
use crate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason, Grant, GrantId, Rotation},
    history::{Event, Kind},
    identity::Identity,
    oidc::{Judgement, RotationClass, TokenAnswer, TokenFailure},
    secret::Secret,
    session::cache::Change,
    store::{Fence, Followed, Renewed, StoreError, Tokens, Unverified},
};

/// Time for saving, after the longest token call. The lease covers both.
pub(super) const SAVING: Duration = Duration::from_secs(15);
/// While another replica holds the intent, its row is read again after this long even if nothing is heard.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// What must be written is offered to the store this often and this long before it is given up.
const WRITE_AGAIN: Duration = Duration::from_millis(500);
const WRITE_TRIES: u32 = 1200;
/// What the store was told is done after this, or never.
const SETTLED: Duration = Duration::from_secs(10);
/// A grant whose renewal could not be verified is renewed again after this long, whatever its access token's life.
const VERIFY_AGAIN: Duration = Duration::from_secs(60);

impl Engine {
    /// Renews the grant unless it has been since `generation`.
    pub(super) async fn renew(self: &Arc<Self>, id: GrantId, generation: i64) -> Outcome {
        match self.try_renew(id, generation).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // No refresh token is presented whose outcome could not be saved.
                tracing::warn!(grant.id = %id, %error, "a grant was not renewed because the store is away");
                self.metrics.renewal("retry", "store_unavailable");
                Outcome::Unavailable(Duration::from_secs(1))
            }
        }
    }

    async fn try_renew(self: &Arc<Self>, id: GrantId, generation: i64) -> Result<Outcome, StoreError> {
        let mut changes = self.store.changes();
        loop {
            let Some(grant) = self.store.grant(id).await?.map(Arc::new) else { return Ok(Outcome::Gone) };
            if grant.ended.is_some() {
                return Ok(Outcome::Ended(grant));
            }
            if grant.generation > generation {
                return Ok(Outcome::Renewed(grant));
            }
            let takes_over = match grant.intent {
                None => None,
                Some(intent) if !intent.lapsed => {
                    wait_for_change(&mut changes, id).await;
                    continue;
                }
                Some(intent) if may_follow(self.rotation(), &grant) => Some(self.follow(intent.attempt, &grant)),
                Some(intent) => {
                    self.give_up(&grant, intent.attempt).await?;
                    continue;
                }
            };
            if let Some(wait) = pause(&grant, self.clock.now()) {
                return Ok(self.paused(&grant, wait));
            }
            let Some(_slot) = self.slots.acquire().await else { return Ok(Outcome::Unavailable(LOOK_AGAIN)) };
            if self.draining.load(Ordering::Acquire) {
                return Ok(Outcome::Unavailable(LOOK_AGAIN));
            }
            match self.breaker.enter(self.clock.now()) {
                Ok(Leave::Free) => {}
                Ok(Leave::ToLook) => {
                    if let Some(wait) = self.look_at_the_provider(&grant).await {
                        return Ok(self.told_to_wait(wait));
                    }
                }
                Err(wait) => return Ok(self.told_to_wait(wait)),
            }
            let (attempt, lease) = (AttemptId::random(), self.provider.token_timeout() + SAVING);
            match self.store.begin_renewal(id, attempt, generation, lease, takes_over).await {
                Ok(Some(token)) => return self.present(&grant, attempt, &token).await,
                // Somebody else was faster; see what became of it.
                Ok(None) => self.breaker.withdrawn(),
                Err(error) => {
                    self.breaker.withdrawn();
                    self.give_back(id, attempt);
                    return Err(error);
                }
            }
        }
    }

    /// Gives back, as soon as the store is there, an intent that may have been written and whose token was not
    /// presented: left to lapse, it would look like one that was.
    fn give_back(self: &Arc<Self>, id: GrantId, attempt: AttemptId) {
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            // Twice: what the store had not done when we gave up waiting, it may do a little later.
            for wait in [Duration::ZERO, SETTLED] {
                tokio::time::sleep(wait).await;
                let released = engine.insist("an intent", || engine.store.release_renewal(id, attempt, None, None)).await;
                if let Err(error) = released {
                    tracing::warn!(grant.id = %id, %error, "an intent could not be given back");
                }
            }
        });
    }

    /// What is known of the provider's rotation; where only renewals show it, of all its grants.
    fn rotation(&self) -> RotationClass {
        let class = self.provider.rotation();
        let shown = class == RotationClass::Learnt && self.rotates.load(Ordering::Relaxed);
        if shown { RotationClass::LearntRotating } else { class }
    }

    /// The right to follow a lapsed attempt, which a grace ends wherever this renewal is held up.
    fn follow(&self, attempt: AttemptId, grant: &Grant) -> Followed {
        let within = match self.rotation().grace() {
            Some(grace) if grant.rotation != Rotation::Reusable => Some(grace),
            Some(_) | None => None,
        };
        Followed { attempt, within }
    }

    /// Presents the refresh token and keeps what comes of it.
    async fn present(self: &Arc<Self>, grant: &Grant, attempt: AttemptId, refresh_token: &Secret) -> Result<Outcome, StoreError> {
        let (asked_at, timer) = (self.clock.now(), self.metrics.provider_timer("refresh"));
        let result = self.provider.refresh(refresh_token).await;
        let took = timer.finish();
        match result {
            Ok(answer) => self.keep(grant, attempt, refresh_token, answer, Asked { at: asked_at, took }).await,
            Err(failure) => self.fail(grant, attempt, &failure, took).await,
        }
    }

    /// Saves the new tokens first, and looks at what they say after.
    async fn keep(
        self: &Arc<Self>,
        grant: &Grant,
        attempt: AttemptId,
        presented: &Secret,
        answer: TokenAnswer,
        asked: Asked,
    ) -> Result<Outcome, StoreError> {
        self.answered(&grant.issuer);
        let rotated = answer.refresh_token.as_ref().is_some_and(|new| new != presented);
        self.rotates.fetch_or(rotated, Ordering::Relaxed);
        // What can be judged without asking anybody is judged before it is saved, which takes microseconds: no replica hands on
        // an access token that may be somebody else's, and a good one needs no second write.
        let first = self.provider.look_at(&answer, &grant.identity);
        let since = grant.unverified_since.unwrap_or(asked.at);
        let unverified = Unverified { since, retry_at: asked.at.plus(VERIFY_AGAIN) };
        let renewed = Renewed {
            tokens: Tokens {
                access: answer.access_token.clone(),
                refresh: answer.refresh_token.clone(),
                id: answer.id_token.clone(),
                // Counted from the question, so that a slow answer's token is not believed too long.
                expires_at: asked.at.plus(answer.expires_in),
                lifetime: answer.expires_in,
                refresh_life: answer.refresh_life.or(self.provider.preset().idle),
            },
            scopes: answer.scope.clone(),
            rotation: if rotated { Rotation::Rotating } else { Rotation::Reusable },
            at: asked.at,
            unverified: first.is_unverified().then_some(unverified),
        };
        let generation = grant.generation;
        let save = || self.store.save_renewal(grant.id, attempt, generation, &renewed);
        if !self.insist("renewed tokens", save).await? {
            let found = self.look(grant.id).await?;
            match &found {
                // A logout won, or an end. What it could not know of must not live on.
                Outcome::Gone | Outcome::Ended(_) => {
                    self.count(grant, "ok", "logged_out_meanwhile");
                    self.revoke(grant, answer.refresh_token.as_ref(), "logged_out_meanwhile").await;
                }
                // Somebody followed this attempt and was faster. Both tokens are of one family, which must live.
                Outcome::Renewed(_) | Outcome::Refused | Outcome::Busy(_) | Outcome::Unavailable(_) => {
                    self.count(grant, "ok", "followed_meanwhile")
                }
            }
            return Ok(found);
        }
        let was_unverified = first.is_unverified();
        let judgement = self.provider.judge(&answer, &grant.identity, first).await;
        let unverified = match judgement {
            Judgement::Verified(identity) => {
                self.keep_identity(grant, generation + 1, &identity, was_unverified).await?;
                false
            }
            Judgement::CannotTell(error) => {
                if !was_unverified {
                    let mark = || self.store.mark_unverified(grant.id, generation + 1, since);
                    self.insist("that a renewal is not verified", mark).await?;
                }
                report_unverified(grant, &error);
                true
            }
            Judgement::SomebodyElse(error) => {
                let end = || self.store.end_grant(grant.id, Fence::Generation(generation + 1), EndReason::IdentityRefused, None);
                self.insist("the end of a grant", end).await?;
                self.count(grant, "dead", "identity_refused");
                report(grant, "dead", "identity_refused", &error);
                self.revoke(grant, answer.refresh_token.as_ref(), "identity_refused").await;
                return self.look(grant.id).await;
            }
        };
        let reason = match (unverified, rotated) {
            (true, _) => "unverified",
            (false, true) => "rotated",
            (false, false) => "kept",
        };
        self.metrics.renewal("ok", reason);
        let event = Event::renewal(grant, asked.at, "ok", reason);
        self.store.note(Event { duration: Some(asked.took), rotated: Some(rotated), ..event });
        tracing::debug!(grant.id = %grant.id, grant.generation = generation + 1, rotated, "renewed a grant");
        self.look(grant.id).await
    }

    /// Keeps what a renewal says of its user. That it is verified at last must be saved; of a changed description the next
    /// renewal brings another copy.
    async fn keep_identity(
        &self,
        grant: &Grant,
        generation: i64,
        identity: &Identity,
        was_unverified: bool,
    ) -> Result<(), StoreError> {
        let save = || self.store.save_identity(grant.id, generation, identity);
        if was_unverified {
            self.insist("that a renewal is verified", save).await?;
        } else if *identity != grant.identity
            && let Err(error) = save().await
        {
            tracing::warn!(grant.id = %grant.id, %error, "a changed identity could not be saved; the next renewal brings it again");
        }
        Ok(())
    }

    /// Writes, and goes on trying while the store is away: of what was learnt from the provider there is no other copy.
    async fn insist<T, F>(&self, what: &str, write: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut tries = 0;
        loop {
            match write().await {
                Err(error) if tries < WRITE_TRIES => {
                    if tries == 0 {
                        tracing::warn!(%error, "{what} cannot be saved yet; trying on");
                    }
                    tries += 1;
                    tokio::time::sleep(WRITE_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// Does what the failure's class asks for.
    async fn fail(
        self: &Arc<Self>,
        grant: &Grant,
        attempt: AttemptId,
        failure: &TokenFailure,
        took: Duration,
    ) -> Result<Outcome, StoreError> {
        let class = classify::classify(failure, self.provider.preset().answers);
        let reason = classify::reason(failure);
        let now = self.clock.now();
        self.metrics.renewal(class.as_str(), &reason);
        let event =
            Event { code: classify::code(failure), duration: Some(took), ..Event::renewal(grant, now, class.as_str(), &reason) };
        if class == Class::Dead {
            report(grant, class.as_str(), &reason, failure);
            self.answered(&grant.issuer);
            // Fenced: if the intent is not ours any more, another replica's renewal decides, not this answer.
            let end = || self.store.end_grant(grant.id, Fence::Attempt(attempt), EndReason::Dead, Some(&reason));
            let event = if self.insist("the end of a grant", end).await? { event } else { event.because("a_lost_race") };
            self.store.note(event);
            return self.look(grant.id).await;
        }
        self.store.note(event);
        let retry_at = self.fault(grant, class, failure);
        let (store, id, what) = (&self.store, grant.id, "the outcome of a renewal");
        let wait = retry_at.since(now);
        match class {
            Class::Ambiguous => self.insist(what, || store.lapse_renewal(id, attempt, Some(retry_at))).await?,
            Class::Config(Whose::Grant) => {
                self.insist(what, || store.release_renewal(id, attempt, Some(retry_at), Some(&reason))).await?;
                return Ok(Outcome::Refused);
            }
            Class::Dead | Class::Config(Whose::Client) | Class::Retry(_) => {
                self.insist(what, || store.release_renewal(id, attempt, Some(retry_at), None)).await?;
            }
        }
        Ok(self.told_to_wait(wait))
    }

    /// Ends a grant whose last attempt's outcome will never be known.
    async fn give_up(&self, grant: &Grant, attempt: AttemptId) -> Result<(), StoreError> {
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
    async fn look(&self, id: GrantId) -> Result<Outcome, StoreError> {
        Ok(match self.store.grant(id).await?.map(Arc::new) {
            None => Outcome::Gone,
            Some(grant) if grant.ended.is_some() => Outcome::Ended(grant),
            Some(grant) => Outcome::Renewed(grant),
        })
    }

    async fn revoke(&self, grant: &Grant, refresh_token: Option<&Secret>, reason: &str) {
        let Some(token) = refresh_token else { return };
        let outcome = match self.provider.revoke(token).await {
            Ok(true) => "ok",
            Ok(false) => "no_endpoint",
            Err(error) => {
                tracing::warn!(%error, "could not revoke the refresh token of a grant that has ended");
                "failed"
            }
        };
        let event = Event::of(Kind::Revocation, grant.id, &grant.identity, self.clock.now()).because(reason);
        self.store.note(Event { outcome: outcome.to_owned(), ..event });
    }
}

/// When the provider was asked, and how long it took.
#[derive(Clone, Copy)]
struct Asked {
    at: Timestamp,
    took: Duration,
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
