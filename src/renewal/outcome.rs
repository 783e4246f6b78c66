//! Handles the result of a token call: saves new tokens, or acts on the failure's class.

use std::{pin::pin, sync::Arc, time::Duration};

use super::{
    classify::{self, ConfigScope, FailureClass},
    engine::Engine,
    health::report,
    locked_out::NewNames,
    pending::Write,
    recovery::{bounded_by_window, refusal_is_conclusive, settling, window_left},
    result::Outcome,
};
use crate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason, Grant, GrantId, Rotation},
    history::Event,
    identity::{Identity, RenderedHeaders},
    oidc::{RefreshTokenRotation, RefreshVerdict, TokenFailure, TokenResponse},
    secret::Secret,
    store::{Fence, OrphanedToken, Renewed, RevocationId, Store, StoreError, TokenEnd, Tokens, Unverified},
    telemetry::logs::causes,
};

/// How soon a grant whose token refresh could not be verified is refreshed again, whatever its access token's lifetime.
const UNVERIFIED_RETRY: Duration = Duration::from_secs(60);

/// How long the rest of a token refresh (newer keys, user info, groups) is waited for before its tokens are marked as unverified.
const VERIFYING: Duration = Duration::from_secs(5);

/// How often the history is read, which is written with a delay, for who ended a grant.
const HISTORY_LOOKS: u32 = 5;

/// How long a login is waited for that may have ended a refused grant.
const SAVING_A_LOGIN: Duration = Duration::from_secs(2);

/// One presentation of a refresh token.
#[derive(Clone, Copy)]
pub(super) struct Presentation<'a> {
    pub(super) grant: &'a Grant,
    pub(super) attempt: AttemptId,
    /// Whether it was presented before with an unknown outcome.
    pub(super) is_repeated: bool,
    /// How long ago it was first presented.
    pub(super) presented_ago: Duration,
}

/// When a token call was made, and how long it took.
#[derive(Clone, Copy)]
pub(super) struct CallTiming {
    pub(super) at: Timestamp,
    pub(super) took: Duration,
}

/// The verdict on tokens that are saved.
enum Verified {
    /// The row is as it was saved.
    Soon(RefreshVerdict),
    /// The row was marked as unverified meanwhile.
    Marked(RefreshVerdict),
}

impl Engine {
    /// Saves the new tokens, then verifies the rest of the identity.
    pub(super) async fn save_new_tokens(
        self: &Arc<Self>,
        presentation: Presentation<'_>,
        presented: &Secret,
        response: TokenResponse,
        timing: CallTiming,
    ) -> Result<Outcome, StoreError> {
        let Presentation { grant, attempt, .. } = presentation;
        self.record_success(&grant.issuer);
        let rotated = response.refresh_token.as_ref().is_some_and(|new| new != presented);
        // What can be verified without network is verified before the save, which takes microseconds: no replica forwards an
        // access token that may be another user's, and a valid one needs no second write.
        let local_verdict = self.provider.verify_refresh_locally(&response, &grant.identity);
        let since = grant.unverified_since.unwrap_or(timing.at);
        let unverified = Unverified { since, retry_at: timing.at.plus(UNVERIFIED_RETRY) };
        let renewed = Arc::new(Renewed {
            tokens: Tokens {
                access: response.access_token.clone(),
                refresh: response.refresh_token.clone(),
                id: response.id_token.clone(),
                expires_at: response.expires_at(),
                lifetime: response.expires_in,
                refresh_life: self.provider.refresh_lifetime(&response),
            },
            scopes: response.scope.clone(),
            rotation: if rotated { Rotation::Rotating } else { Rotation::Reusable },
            at: timing.at,
            unverified: local_verdict.holds_back_the_identity().then_some(unverified),
        });
        let generation = grant.generation;
        if !self.pending.save_with_retry(grant.id, attempt, Write::Save(generation, Arc::clone(&renewed))).await? {
            return self.handle_lost_fence(grant, response.refresh_token.as_ref()).await;
        }
        let mut is_marked = local_verdict.holds_back_the_identity();
        let before = self.provider.identity_before_refresh(grant);
        let mark = (!is_marked).then_some(unverified);
        // Boxed: all of an attempt would carry it.
        let verification = Box::pin(self.provider.verify_refresh(&response, &before, local_verdict));
        let verdict = match Box::pin(self.verify_saved(presentation, verification, mark)).await? {
            Verified::Soon(verdict) => verdict,
            Verified::Marked(verdict) => {
                is_marked = true;
                verdict
            }
        };
        let mut is_row_known = false;
        let is_unverified = match verdict {
            RefreshVerdict::Verified(identity) => {
                is_row_known = self.save_verified_identity(presentation, *identity, is_marked).await?;
                false
            }
            RefreshVerdict::Inconclusive(error) => {
                if !is_marked {
                    self.pending.save_with_retry(grant.id, attempt, Write::Unverified(generation + 1, unverified)).await?;
                }
                self.report_unverified(grant, &error);
                true
            }
            RefreshVerdict::SubjectMismatch(error) => {
                let end = Write::End(Fence::Generation(generation + 1), EndReason::IdentityRefused, None);
                self.pending.save_with_retry(grant.id, attempt, end).await?;
                self.record_outcome(grant, "dead", "identity_refused");
                report(grant, "dead", "identity_refused", &error);
                self.revoke(grant, response.refresh_token.as_ref(), "identity_refused", TokenEnd::Unrequested).await;
                return self.read_outcome(grant).await;
            }
        };
        self.observed.record_rotation(rotated).await;
        let reason = match (is_unverified, rotated) {
            (true, _) => "unverified",
            (false, true) => "rotated",
            (false, false) => "kept",
        };
        self.record_renewal(grant, timing, reason, rotated);
        if is_row_known { Ok(Outcome::Renewed(Arc::new(as_saved(grant, &renewed)))) } else { self.read_outcome(grant).await }
    }

    /// Finds out why the row did not take new tokens, and has the new refresh token revoked where nobody knows of it.
    async fn handle_lost_fence(self: &Arc<Self>, grant: &Grant, refresh_token: Option<&Secret>) -> Result<Outcome, StoreError> {
        let found = self.read_outcome(grant).await?;
        match &found {
            // A logout or an end was faster. The new token, which it could not know of, must not stay valid.
            Outcome::Gone => {
                self.record_outcome(grant, "ok", "logged_out_meanwhile");
                self.revoke_of_deleted(grant, refresh_token).await;
            }
            Outcome::Ended(_) => {
                self.record_outcome(grant, "ok", "logged_out_meanwhile");
                self.revoke(grant, refresh_token, "logged_out_meanwhile", TokenEnd::Unrequested).await;
            }
            // Another attempt reused the token and was faster. Both new tokens belong to one family, which must stay valid.
            Outcome::Renewed(_) | Outcome::Refused | Outcome::Busy(_) | Outcome::Unavailable(_) => {
                self.record_outcome(grant, "ok", "followed_meanwhile")
            }
        }
        Ok(found)
    }

    /// Records new tokens in the metrics, in the history and in the log.
    fn record_renewal(&self, grant: &Grant, timing: CallTiming, reason: &'static str, rotated: bool) {
        self.metrics.renewal("ok", reason);
        let event = Event::renewal(grant, timing.at, "ok", reason);
        self.store.enqueue_event(Event { duration: Some(timing.took), rotated: Some(rotated), ..event });
        tracing::debug!(grant.id = %grant.id, grant.generation = grant.generation + 1, rotated, "a grant was renewed");
    }

    /// Waits for the verdict on tokens that are saved. If it takes long, they are `mark`ed as unverified, unless they are already: should
    /// this process end before it, nobody is served as before for as long as the access token lives.
    async fn verify_saved(
        &self,
        presentation: Presentation<'_>,
        verification: impl Future<Output = RefreshVerdict>,
        mark: Option<Unverified>,
    ) -> Result<Verified, StoreError> {
        let Presentation { grant, attempt, .. } = presentation;
        let mut verification = pin!(verification);
        let Some(mark) = mark else { return Ok(Verified::Soon(verification.await)) };
        if let Ok(verdict) = tokio::time::timeout(VERIFYING, verification.as_mut()).await {
            return Ok(Verified::Soon(verdict));
        }
        let marking = self.pending.save_with_retry(grant.id, attempt, Write::Unverified(grant.generation + 1, mark));
        // While the store is away, the provider's answer is read all the same.
        let (marked, verdict) = tokio::join!(marking, verification);
        marked.map(|_took_effect| Verified::Marked(verdict))
    }

    /// Saves the verified identity, unless a name of it is locked out. Until it is saved, a group that was taken from the user is good for
    /// its access. Returns whether it is as it was, which costs no write.
    async fn save_verified_identity(
        self: &Arc<Self>,
        presentation: Presentation<'_>,
        identity: Identity,
        is_marked: bool,
    ) -> Result<bool, StoreError> {
        let Presentation { grant, attempt, .. } = presentation;
        if !is_marked && identity == grant.identity {
            return Ok(true);
        }
        let names = NewNames::of(&grant.identity, &identity, &self.provider.registrations(), self.clock.now()).map(Arc::new);
        // Before the save, so that no app is told the name; and after it, because whoever locks it out meanwhile finds no session by it.
        if self.end_if_locked_out(presentation, names.as_ref()).await? {
            return Ok(false);
        }
        let write = Write::Identity(grant.generation + 1, Arc::new(identity));
        self.pending.save_with_retry(grant.id, attempt, write).await?;
        self.end_if_locked_out(presentation, names.as_ref()).await?;
        Ok(false)
    }

    /// Ends the user's sessions if one of these names is locked out, and waits for the store until that is known. Returns whether it is.
    async fn end_if_locked_out(
        self: &Arc<Self>,
        presentation: Presentation<'_>,
        names: Option<&Arc<NewNames>>,
    ) -> Result<bool, StoreError> {
        let Presentation { grant, attempt, .. } = presentation;
        let Some(names) = names else { return Ok(false) };
        self.pending.save_with_retry(grant.id, attempt, Write::EndIfLockedOut(Arc::clone(names))).await
    }

    /// Acts on a failure by its class.
    pub(super) async fn handle_failure(
        self: &Arc<Self>,
        presentation: Presentation<'_>,
        failure: &TokenFailure,
        took: Duration,
    ) -> Result<Outcome, StoreError> {
        let Presentation { grant, attempt, is_repeated, presented_ago } = presentation;
        let class = self.class_of(failure, &grant.issuer).await;
        let reason = classify::reason(failure);
        let now = self.clock.now();
        self.metrics.renewal(class.as_str(), &classify::counted_reason(failure, class));
        self.count_refresh(class.as_str(), took, now);
        let event = Event {
            code: classify::code(failure),
            detail: classify::description(failure),
            duration: Some(took),
            ..Event::renewal(grant, now, class.as_str(), &reason)
        };
        if class == FailureClass::Dead {
            self.record_success(&grant.issuer);
            let event = match self.was_replaced_by_a_login(grant).await {
                true => superseded(event, "replaced_by_a_login"),
                false => {
                    report(grant, class.as_str(), &reason, failure);
                    event
                }
            };
            // If the store cannot be read, the strictest rotation is assumed.
            let rotation = self.observed.rotation(grant).await.unwrap_or(RefreshTokenRotation::ReuseDetection);
            if !refusal_is_conclusive(rotation, is_repeated) {
                // The earlier attempt, whose response was lost, may have rotated the token.
                self.store.enqueue_event(event.because("refused_when_repeated"));
                self.pending.save_with_retry(grant.id, attempt, Write::EXPIRED).await?;
                self.abandon_attempt(grant, attempt).await?;
                return self.read_outcome(grant).await;
            }
            // Fenced: if the intent is no longer this attempt's, another replica's token refresh decides, not this response.
            let end = Write::End(Fence::Attempt(attempt), EndReason::Dead, Some(reason));
            let has_ended = self.pending.save_with_retry(grant.id, attempt, end).await?;
            self.store.enqueue_event(if has_ended { event } else { superseded(event, "a_lost_race") });
            return self.read_outcome(grant).await;
        }
        self.store.enqueue_event(event);
        let pause = self.report_failure(grant, class, failure).since(now);
        // The provider may still be processing a token that will be introspected.
        let settling = settling(self.provider.rotation(), self.provider.supports_introspection(), presented_ago + took);
        // If the token may be presented again only within a window, the pause must end within it.
        let pause = match class {
            FailureClass::Ambiguous if !settling.is_zero() => pause.max(settling),
            FailureClass::Ambiguous => bounded_by_window(pause, window_left(self.provider.rotation(), presented_ago + took)),
            FailureClass::Dead | FailureClass::Config(_) | FailureClass::Retry(_) => pause,
        };
        let retry_at = now.plus(pause);
        let write = match class {
            FailureClass::Ambiguous => Write::ExpireLease { retry_at: Some(retry_at), settling },
            FailureClass::Config(ConfigScope::Grant) => Write::Release(Some(retry_at), Some(reason)),
            // The breaker keeps the client's pause, so that it ends for all grants together.
            FailureClass::Config(ConfigScope::Client) => Write::Release(None, None),
            FailureClass::Dead | FailureClass::Retry(_) => Write::Release(Some(retry_at), None),
        };
        self.pending.save_with_retry(grant.id, attempt, write).await?;
        Ok(if class == FailureClass::Config(ConfigScope::Grant) { Outcome::Refused } else { self.wait_outcome(pause) })
    }

    /// Ends a grant whose last attempt's outcome stays unknown. `false`: something else has happened to it.
    pub(super) async fn abandon_attempt(&self, grant: &Grant, attempt: AttemptId) -> Result<bool, StoreError> {
        let is_abandoned = self.store.abandon_attempt(grant.id, attempt).await?;
        if is_abandoned {
            let reason = EndReason::OutcomeUnknown.with_attempt(grant.id, Some(attempt));
            self.metrics.renewal("ambiguous", "outcome_unknown");
            let event = Event::renewal(grant, self.clock.now(), "ambiguous", "outcome_unknown");
            let code = (reason == EndReason::Restored).then(|| reason.as_str().to_owned());
            self.store.enqueue_event(Event { code, ..event });
            tracing::warn!(
                grant.id = %grant.id, oidc.issuer = grant.issuer, reason = reason.as_str(),
                "failed to renew OIDC token: the outcome of an earlier attempt is unknown, and the refresh token may be used up; \
                 the browser will sign in again by itself"
            );
        }
        Ok(is_abandoned)
    }

    /// Whether a login in another browser has ended a refused grant, and taken its sessions over. Where a provider keeps one refresh
    /// token for all logins, it does so when the code is presented, and the login is saved a little later.
    async fn was_replaced_by_a_login(&self, grant: &Grant) -> bool {
        if !self.provider.preset().shares_refresh_tokens {
            return false;
        }
        tokio::time::sleep(SAVING_A_LOGIN).await;
        matches!(self.store.has_sessions(grant.id).await, Ok(false))
    }

    /// Revokes the new token of a grant that is gone. It waits in the store from now on, should this process end; neither a request nor
    /// another token call waits for who asked for the grant's end.
    async fn revoke_of_deleted(self: &Arc<Self>, grant: &Grant, refresh_token: Option<&Secret>) {
        let end = TokenEnd::UnrequestedAfter(Store::HISTORY_DELAY.saturating_mul(HISTORY_LOOKS + 1));
        let Some(revocation) = self.revoke(grant, refresh_token, "logged_out_meanwhile", end).await else { return };
        let (engine, grant) = (Arc::clone(self), grant.id);
        self.tasks.spawn(async move { engine.request_if_requested(grant, &revocation).await });
    }

    /// Has a revocation made as at any logout, if somebody asked for the end of its grant, which is gone. If the store cannot be read, or
    /// nothing is found soon, nobody did.
    async fn request_if_requested(&self, grant: GrantId, revocation: &RevocationId) {
        for _ in 0..HISTORY_LOOKS {
            let is_requested = matches!(self.store.end_was_requested(grant).await, Ok(true));
            if is_requested && self.store.request_revocation(revocation).await.is_ok() {
                return;
            }
            // The old token may have been revoked a moment ago, which the history is about to tell.
            tokio::time::sleep(Store::HISTORY_DELAY).await;
        }
    }

    /// Enqueues the revocation of a token, if there is one.
    async fn revoke(&self, grant: &Grant, refresh_token: Option<&Secret>, reason: &str, end: TokenEnd) -> Option<RevocationId> {
        let token = refresh_token?;
        let registration = self.provider.registration();
        let orphaned = OrphanedToken {
            registration,
            identity: &grant.identity,
            provider_session: grant.provider_session.as_deref(),
            reason,
            end,
        };
        let enqueued = self.store.enqueue_revocation(grant.id, token, orphaned).await;
        let failed = |error: &StoreError| {
            tracing::warn!(error = causes(error), "the refresh token of a grant that has ended lives on at the provider");
        };
        enqueued.inspect_err(failed).ok()
    }
}

/// The event of a refusal that ended nobody's session, because something newer had taken the token's place.
fn superseded(event: Event, by: &'static str) -> Event {
    Event { outcome: "superseded".to_owned(), ..event.because(by) }
}

/// A grant as the store has it when it has saved `renewed`, whose identity is as it was.
fn as_saved(grant: &Grant, renewed: &Renewed) -> Grant {
    let Tokens { access, refresh: _, id, expires_at, lifetime, refresh_life } = &renewed.tokens;
    Grant {
        // Some of the old ones have the old tokens in them.
        headers: RenderedHeaders::default(),
        access_token: access.clone(),
        // A grant that is read without its ID token has none.
        id_token: grant.id_token.as_ref().map(|before| id.clone().unwrap_or_else(|| before.clone())),
        expires_at: *expires_at,
        lifetime: *lifetime,
        refresh_until: refresh_life.map(|life| renewed.at.plus(life)),
        scopes: renewed.scopes.clone().unwrap_or_else(|| grant.scopes.clone()),
        generation: grant.generation + 1,
        renewed_at: renewed.at,
        rotation: renewed.rotation,
        presented: 0,
        presented_ago: None,
        intent: None,
        retry_at: None,
        refused: None,
        unverified_since: None,
        ended: None,
        ..grant.clone()
    }
}
