//! What comes of a refresh token that was presented: new tokens are saved, a refusal is judged.

use std::{sync::Arc, time::Duration};

use super::{
    Engine, Outcome,
    classify::{self, ConfigScope, FailureClass},
    health::report,
    pending::Write,
    recovery::{SETTLED, bounded_by_window, refusal_is_conclusive, window_left},
};
use crate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason, Grant, Rotation},
    history::Event,
    identity::Identity,
    oidc::{RefreshTokenRotation, RefreshVerdict, TokenFailure, TokenResponse},
    secret::Secret,
    store::{Fence, OrphanedToken, Renewed, StoreError, Tokens, Unverified},
    telemetry::logs::causes,
};

/// A grant whose renewal could not be verified is renewed again after this long, whatever its access token's life.
const VERIFY_AGAIN: Duration = Duration::from_secs(60);

/// A refresh token that is presented.
#[derive(Clone, Copy)]
pub(super) struct Presentation<'a> {
    pub(super) grant: &'a Grant,
    pub(super) attempt: AttemptId,
    /// It was presented before, and nobody knows what came of that.
    pub(super) is_repeated: bool,
    /// How long before that was first.
    pub(super) presented_ago: Duration,
}

/// When the provider was asked, and how long it took.
#[derive(Clone, Copy)]
pub(super) struct CallTiming {
    pub(super) at: Timestamp,
    pub(super) took: Duration,
}

impl Engine {
    /// Saves the new tokens first, and looks at what they say after.
    pub(super) async fn keep(
        self: &Arc<Self>,
        presentation: Presentation<'_>,
        presented: &Secret,
        answer: TokenResponse,
        asked: CallTiming,
    ) -> Result<Outcome, StoreError> {
        let Presentation { grant, attempt, .. } = presentation;
        self.answered(&grant.issuer);
        let rotated = answer.refresh_token.as_ref().is_some_and(|new| new != presented);
        // What can be judged without asking anybody is judged before it is saved, which takes microseconds: no replica hands on
        // an access token that may be somebody else's, and a good one needs no second write.
        let first = self.provider.verify_refresh_locally(&answer, &grant.identity);
        let since = grant.unverified_since.unwrap_or(asked.at);
        let unverified = Unverified { since, retry_at: asked.at.plus(VERIFY_AGAIN) };
        let renewed = Renewed {
            tokens: Tokens {
                access: answer.access_token.clone(),
                refresh: answer.refresh_token.clone(),
                id: answer.id_token.clone(),
                expires_at: answer.expires_at(),
                lifetime: answer.expires_in,
                refresh_life: answer.refresh_expires_in.or(self.provider.preset().idle_expiry),
            },
            scopes: answer.scope.clone(),
            rotation: if rotated { Rotation::Rotating } else { Rotation::Reusable },
            at: asked.at,
            unverified: first.is_unverified().then_some(unverified),
        };
        let generation = grant.generation;
        if !self.save_with_retry(grant.id, attempt, Write::Save(generation, Arc::new(renewed))).await? {
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
        let is_unverified = match self.provider.verify_refresh(&answer, &grant.identity, first).await {
            RefreshVerdict::Verified(identity) => {
                self.keep_identity(presentation, &identity, was_unverified).await?;
                false
            }
            RefreshVerdict::Inconclusive(error) => {
                if !was_unverified {
                    self.save_with_retry(grant.id, attempt, Write::Unverified(generation + 1, since)).await?;
                }
                self.report_unverified(grant, &error);
                true
            }
            RefreshVerdict::SubjectMismatch(error) => {
                let end = Write::End(Fence::Generation(generation + 1), EndReason::IdentityRefused, None);
                self.save_with_retry(grant.id, attempt, end).await?;
                self.count(grant, "dead", "identity_refused");
                report(grant, "dead", "identity_refused", &error);
                self.revoke(grant, answer.refresh_token.as_ref(), "identity_refused").await;
                return self.look(grant.id).await;
            }
        };
        self.learn_rotation(rotated).await;
        let reason = match (is_unverified, rotated) {
            (true, _) => "unverified",
            (false, true) => "rotated",
            (false, false) => "kept",
        };
        self.metrics.renewal("ok", reason);
        let event = Event::renewal(grant, asked.at, "ok", reason);
        self.store.enqueue_event(Event { duration: Some(asked.took), rotated: Some(rotated), ..event });
        tracing::debug!(grant.id = %grant.id, grant.generation = generation + 1, rotated, "renewed a grant");
        self.look(grant.id).await
    }

    /// Keeps what a renewal says of its user. That it is verified at last must be saved; of a changed description the next
    /// renewal brings another copy.
    async fn keep_identity(
        self: &Arc<Self>,
        presentation: Presentation<'_>,
        identity: &Identity,
        was_unverified: bool,
    ) -> Result<(), StoreError> {
        let Presentation { grant, attempt, .. } = presentation;
        let generation = grant.generation + 1;
        if was_unverified {
            self.save_with_retry(grant.id, attempt, Write::Identity(generation, Arc::new(identity.clone()))).await?;
        } else if *identity != grant.identity
            && let Err(error) = self.store.save_identity(grant.id, generation, identity).await
        {
            tracing::warn!(grant.id = %grant.id, %error, "a changed identity could not be saved; the next renewal brings it again");
        }
        Ok(())
    }

    /// Does what the failure's class asks for.
    pub(super) async fn fail(
        self: &Arc<Self>,
        presentation: Presentation<'_>,
        failure: &TokenFailure,
        took: Duration,
    ) -> Result<Outcome, StoreError> {
        let Presentation { grant, attempt, is_repeated, presented_ago } = presentation;
        let class = classify::classify(failure, self.provider.preset().error_rules);
        let reason = classify::reason(failure);
        let now = self.clock.now();
        self.metrics.renewal(class.as_str(), &reason);
        let event = Event {
            code: classify::code(failure),
            detail: classify::description(failure),
            duration: Some(took),
            ..Event::renewal(grant, now, class.as_str(), &reason)
        };
        if class == FailureClass::Dead {
            report(grant, class.as_str(), &reason, failure);
            self.answered(&grant.issuer);
            // Where the store cannot tell what is known, nothing is.
            let rotation = self.rotation(grant).await.unwrap_or(RefreshTokenRotation::ReuseDetection);
            if !refusal_is_conclusive(rotation, is_repeated) {
                // It may have been renewed by the attempt before, whose answer was lost.
                self.store.enqueue_event(event.because("refused_when_repeated"));
                self.save_with_retry(grant.id, attempt, Write::Lapse(None)).await?;
                self.abandon_attempt(grant, attempt).await?;
                return self.look(grant.id).await;
            }
            // Fenced: if the intent is not ours any more, another replica's renewal decides, not this answer.
            let end = Write::End(Fence::Attempt(attempt), EndReason::Dead, Some(reason));
            let event = if self.save_with_retry(grant.id, attempt, end).await? { event } else { event.because("a_lost_race") };
            self.store.enqueue_event(event);
            return self.look(grant.id).await;
        }
        self.store.enqueue_event(event);
        let pause = self.fault(grant, class, failure).since(now);
        // Where the token may be presented again for some time only, it is before that is over.
        let pause = match class {
            // A token that will be asked about may still be on its way through the provider.
            FailureClass::Ambiguous if self.provider.supports_introspection() && self.provider.rotation().may_detect_reuse() => {
                pause.max(SETTLED)
            }
            FailureClass::Ambiguous => bounded_by_window(pause, window_left(self.provider.rotation(), presented_ago + took)),
            FailureClass::Dead | FailureClass::Config(_) | FailureClass::Retry(_) => pause,
        };
        let retry_at = now.plus(pause);
        let write = match class {
            FailureClass::Ambiguous => Write::Lapse(Some(retry_at)),
            FailureClass::Config(ConfigScope::Grant) => Write::Release(Some(retry_at), Some(reason)),
            // The client's pause is the breaker's, so that it ends for all of its grants together.
            FailureClass::Config(ConfigScope::Client) => Write::Release(None, None),
            FailureClass::Dead | FailureClass::Retry(_) => Write::Release(Some(retry_at), None),
        };
        self.save_with_retry(grant.id, attempt, write).await?;
        Ok(if class == FailureClass::Config(ConfigScope::Grant) { Outcome::Refused } else { self.told_to_wait(pause) })
    }

    async fn revoke(&self, grant: &Grant, refresh_token: Option<&Secret>, reason: &str) {
        let Some(token) = refresh_token else { return };
        let (issuer, client_id) = (self.provider.issuer(), self.provider.client_id());
        let unkept = OrphanedToken { issuer, client_id, identity: &grant.identity, provider_session: None, reason };
        if let Err(error) = self.store.enqueue_revocation(grant.id, token, unkept).await {
            tracing::warn!(error = causes(&error), "the refresh token of a grant that has ended lives on at the provider");
        }
    }
}
