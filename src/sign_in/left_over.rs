//! Refresh tokens of logins that become no session. Nobody will ever use them, so they are revoked at the provider; but where that keeps
//! one for all logins of a user, their other sessions live on them.

use super::SignIn;
use crate::{
    clock::Stopwatch,
    grant::GrantId,
    identity::Identity,
    oidc::{UnverifiedToken, VerifiedLogin},
    secret::Secret,
    store::{NewGrant, OrphanedToken, TokenEnd},
    telemetry::logs::causes,
};

/// Why a login becomes no session, although its code brought tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftOver {
    /// Its user may not log in.
    Denied,
    /// It cannot be verified.
    Unverified,
    /// It was to continue a session, which is another user's and goes on.
    AnotherUser,
    /// The session that it was to continue has ended.
    SessionEnded,
    /// Its client has left, and no cookie reaches it.
    ClientLeft,
}

impl LeftOver {
    /// The reason in the history. It must not change.
    fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Unverified => "not_verified",
            Self::AnotherUser => "another_user",
            Self::SessionEnded => "session_ended",
            Self::ClientLeft => "client_left",
        }
    }
}

impl SignIn {
    /// Sees to the refresh token of a verified login that becomes no session, though its user may log in. Where the provider keeps one
    /// token for all logins of a user, the code has ended that of the user's other sessions, which go on with this one.
    pub(super) async fn leave(&self, grant: &NewGrant, since_code: Stopwatch, why: LeftOver) {
        if self.provider.preset().shares_refresh_tokens {
            let now = self.parts.clock.now();
            match self.parts.with_patience(|| self.parts.store.pass_login_on(grant, since_code, now)).await {
                Ok(true) => {
                    let reason = why.name();
                    tracing::info!(grant.id = %grant.id, reason, "a login became no session, and its user's others go on with its tokens");
                    return;
                }
                Ok(false) => {}
                Err(error) => {
                    let error = causes(&error);
                    tracing::warn!(error, "the tokens of a login that became no session are lost to its user's other sessions");
                }
            }
        }
        let (session, token) = (grant.provider_session.as_deref(), grant.tokens.refresh.as_ref());
        self.revoke_left_over(&grant.identity, session, token, why).await;
    }

    /// Queues the refresh token of a verified login for revocation.
    pub(super) async fn revoke_login(&self, login: &VerifiedLogin, why: LeftOver) {
        let token = login.tokens.refresh_token.as_ref();
        self.revoke_left_over(&login.identity, login.provider_session.as_deref(), token, why).await;
    }

    /// The same for a login that cannot be verified. What it says of its user serves to spare their other sessions at the provider,
    /// and nothing else.
    pub(super) async fn revoke_unverified(&self, left_over: &UnverifiedToken) {
        let identity = Identity { subject: left_over.subject.clone(), ..Identity::default() };
        let (session, token) = (left_over.provider_session.as_deref(), &left_over.refresh_token);
        self.revoke_left_over(&identity, session, Some(token), LeftOver::Unverified).await;
    }

    /// Queues a refresh token for revocation, if there is one. The provider may end its user's whole session with it, so it is spared
    /// where that is in use.
    async fn revoke_left_over(
        &self,
        identity: &Identity,
        provider_session: Option<&str>,
        refresh_token: Option<&Secret>,
        why: LeftOver,
    ) {
        let Some(token) = refresh_token else { return };
        let registration = self.provider.registration();
        let grant = GrantId::of_denied(registration.issuer, &identity.subject);
        let orphaned = OrphanedToken { registration, identity, provider_session, reason: why.name(), end: TokenEnd::Unrequested };
        if let Err(error) = self.parts.store.enqueue_revocation(grant, token, orphaned).await {
            tracing::warn!(
                error = causes(&error),
                reason = why.name(),
                "the refresh token of a login that became no session lives on at the provider"
            );
        }
    }
}
