//! Requests of API clients, which bring a bearer token.

use super::{Admission, Admitted, Credential, Inquiry, NotAdmitted};
use crate::{assertion::About, bearer::VerifiedToken, policy::AcceptedTokens, refusal::Refusal, session::live::Watch};

impl Admission {
    /// Judges a request that brings a bearer token: the token decides, and not the session whose cookie may come with it. No browser
    /// sends one by itself, so that no other site's page can (CSRF).
    pub(super) async fn admit_token(
        &self,
        inquiry: Inquiry<'_>,
        token: &str,
        accepted: &AcceptedTokens,
    ) -> Result<Admitted, NotAdmitted> {
        let token = self.bearer.verify(token, accepted).await.map_err(Refusal::Token)?;
        let forwarded = || {
            let mut forwarded = token.forwarded_identity(inquiry.identity?);
            forwarded.assertion = inquiry.assertion.and_then(|audience| self.assertions.of(audience, about(&token)));
            Some(forwarded)
        };
        let permit = self.apply_rule(inquiry, &token.identity, forwarded)?;
        let permit = if accepted.passes_authorization { permit } else { permit.hiding_authorization() };
        Ok(Admitted { permit, by: Credential::Token(token) })
    }

    /// The right to register what outlives an admitted request, and is cut when the session or the token ends.
    pub fn watch(&self, by: Credential) -> Watch {
        match by {
            Credential::Session { signed_in, .. } => self.visitors.watch(signed_in),
            Credential::Token(token) => self.visitors.watch_until(|now| token.ends(now)),
        }
    }
}

/// Whom an assertion tells of that a bearer token is of.
fn about(token: &VerifiedToken) -> About<'_> {
    About {
        identity: &token.identity,
        credential: &token.hash,
        login_at: None,
        verified_at: token.verified_at,
        kept: &token.assertions,
    }
}
