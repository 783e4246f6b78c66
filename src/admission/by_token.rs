//! Requests of API clients, which bring a bearer token.

use http::{HeaderMap, header};

use super::{Admission, Admitted, Credential, Inquiry, NotAdmitted, apply_rule};
use crate::{
    assertion::About,
    backoff::SOON,
    bearer::{self, Presented, TokenRefusal, VerifiedToken},
    oidc::VerifyError,
    policy::{AcceptedTokens, Rule, TokenDenied},
    refusal::Refusal,
    session::{OwnerStanding, PersonalToken, live::Watch},
    visitor::{SignInReason, Visitor},
};

const NOT_TAKEN: &str = "the route takes no personal access tokens";

impl Admission {
    /// Judges a request that brings a token: the token decides, and not the session whose cookie may come with it.
    pub(super) async fn admit_token(
        &self,
        inquiry: Inquiry<'_>,
        presented: &Presented<'_>,
        accepted: &AcceptedTokens,
    ) -> Result<Admitted, NotAdmitted> {
        if PersonalToken::is_one(presented.text()) {
            return self.admit_personal(inquiry, presented, accepted).await;
        }
        let refused = |why| NotAdmitted::Refused(Refusal::Token(TokenRefusal::Invalid(VerifyError::Refused(why))));
        let token = self.bearer.verify(presented.text(), accepted).await.map_err(Refusal::Token)?;
        match self.visitors.standing(&token.owner).await {
            OwnerStanding::Good => {}
            OwnerStanding::Ended => return Err(refused("its user's tokens were ended since it was issued")),
            OwnerStanding::Unknown => {
                let why = "whether its user was ended is not known while the store cannot be read".to_owned();
                return Err(NotAdmitted::Refused(Refusal::Token(TokenRefusal::Unavailable(why))));
            }
        }
        let forwarded = || {
            let mut forwarded = token.forwarded_identity(inquiry.identity?);
            forwarded.assertion = inquiry.assertion.and_then(|audience| self.assertions.of(audience, about(&token)));
            Some(forwarded)
        };
        let everybody = match &token.provider {
            Some(provider) => match self.policies.of(provider.registration()) {
                Some(policy) => Some(policy),
                None => return Err(refused("it is of a provider without a policy")),
            },
            None => None,
        };
        let permit = apply_rule(inquiry, everybody, &token.identity, forwarded)?;
        let permit = if accepted.passes_authorization { permit } else { permit.hiding_authorization() };
        Ok(Admitted { permit, by: Credential::Token(token) })
    }

    /// Judges a request that brings a personal access token, as one of its session: with a fresh grant, by the rule. No app sees the
    /// token. A browser keeps passwords and sends them by itself, so that other sites' requests with one are refused as for a cookie.
    async fn admit_personal(
        &self,
        inquiry: Inquiry<'_>,
        presented: &Presented<'_>,
        accepted: &AcceptedTokens,
    ) -> Result<Admitted, NotAdmitted> {
        let refused = |refusal| NotAdmitted::Refused(Refusal::Token(refusal));
        let invalid = |why| refused(TokenRefusal::Invalid(VerifyError::Refused(why)));
        if !accepted.personal {
            return Err(invalid(NOT_TAKEN));
        }
        let visitor = self.visitors.recognise_token(presented.text()).await?;
        if let Visitor::SignedIn(signed_in) | Visitor::Remembered(signed_in, _) = &visitor
            && !signed_in
                .session
                .session
                .token
                .as_ref()
                .is_some_and(|token| token.admits(inquiry.exchange.site.authority(), &accepted.route))
        {
            return Err(refused(TokenRefusal::Denied(TokenDenied::Route)));
        }
        let is_ambient = matches!(presented, Presented::Password(_));
        let admitted = self.admit_visitor(Inquiry { views_a_page: false, is_ambient, ..inquiry }, visitor).await;
        match admitted.map(Admitted::from) {
            Ok(Admitted { permit, by }) => Ok(Admitted { permit: permit.hiding_authorization(), by }),
            // It may be renewed again: nobody should forget their token for that.
            Err(NotAdmitted::SignIn(SignInReason::GrantRefused, _)) => Err(Refusal::RenewalUnavailable(SOON).into()),
            Err(NotAdmitted::SignIn(..)) => Err(invalid("it is unknown, has expired, or its user's grant has ended")),
            Err(not_admitted @ NotAdmitted::Refused(_)) => Err(not_admitted),
        }
    }

    /// Whether a request is judged by a token.
    pub fn brings_token(rule: &Rule, headers: &HeaderMap) -> bool {
        rule.tokens.is_some() && !matches!(bearer::presented(headers), Ok(None))
    }

    /// Refuses a personal access token that decides nothing, because the route takes none or because it is not written as a token:
    /// the app would get it, and could use it elsewhere.
    ///
    /// # Errors
    /// [`Refusal::Token`].
    pub fn refuse_misplaced_token(rule: &Rule, headers: &HeaderMap) -> Result<(), Refusal> {
        if !headers.contains_key(header::AUTHORIZATION) || !bearer::carries_personal_token(headers) {
            return Ok(());
        }
        let takes_them = rule.tokens.as_ref().is_some_and(|tokens| tokens.personal);
        if takes_them && !matches!(bearer::presented(headers), Ok(None)) {
            return Ok(());
        }
        let why = if takes_them { "it is neither a bearer token nor a password" } else { NOT_TAKEN };
        Err(Refusal::Token(TokenRefusal::Invalid(VerifyError::Refused(why))))
    }

    /// The right to register what outlives an admitted request, and is cut when the session or the token ends.
    pub fn watch(&self, by: Credential) -> Watch {
        match by {
            Credential::Session { signed_in, .. } => self.visitors.watch(signed_in),
            Credential::Token(token) => self.visitors.watch_token(&token.owner, |now| token.ends(now)),
        }
    }
}

/// Whom an assertion tells of that a bearer token is of.
fn about(token: &VerifiedToken) -> About<'_> {
    About {
        provider: &token.issuer,
        identity: &token.identity,
        credential: &token.hash,
        login_at: None,
        verified_at: token.verified_at,
        kept: &token.assertions,
    }
}
