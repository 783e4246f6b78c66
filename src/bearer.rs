//! API clients: who sends a request, by the bearer token that it brings (RFC 6750), on routes that take tokens.
//!
//! [`presented()`] reads a request's token; [`BearerTokens`] has it verified by whoever issued it, once for many requests; and
//! [`VerifiedToken`] is what a good one says, with the header lines that tell an app of it.

mod issued_by;
mod kept;
mod presented;
mod verified;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::{
    clock::{Clock, Timestamp},
    jose::SignedToken,
    oidc::{AccessToken, AccessTokenError, Providers, TokenIssuer, VerifyError},
    policy::{AcceptedTokens, TokenDenied, TokenUse},
    secret::{Secret, sha256},
    session::TokenOwner,
    telemetry::metrics::Metrics,
};

use issued_by::IssuedBy;
use kept::{Kept, KeptTokens, Known, Verdict};

pub use presented::{Malformed, Presented, carries_personal_token, presented};
pub use verified::VerifiedToken;

/// Settings of bearer tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `CODER_OIDC_INTROSPECTION_CACHE`: how long the answer of introspection is used.
    pub introspection_cache: Duration,
    /// `CODER_OIDC_OUTAGE_GRACE`: how long it is used while the provider does not answer, within the token's life.
    pub outage_grace: Duration,
}

/// Verifies bearer tokens.
#[derive(Debug)]
pub struct BearerTokens {
    settings: Settings,
    providers: Providers,
    issuers: Vec<Arc<TokenIssuer>>,
    kept: KeptTokens,
    /// Strangers' tokens must not make more calls than the provider bears, nor hold up those that were good before.
    calls: Calls,
    clock: Clock,
    metrics: Metrics,
}

/// Why a token does not let a request pass.
#[derive(Debug)]
pub enum TokenRefusal {
    /// It is not good. The reason is for the log.
    Invalid(VerifyError),
    /// It is good, and not for this route.
    Denied(TokenDenied),
    /// It cannot be verified now. The reason is for the log.
    Unavailable(String),
}

/// The calls of introspection that may be under way.
#[derive(Debug)]
struct Calls {
    /// For tokens of which nothing good is known.
    unknown: Semaphore,
    /// For those that were good when they were last asked about.
    known: Semaphore,
}

const NOT_TAKEN: &str = "the route takes no tokens of its issuer";

/// How many tokens of each kind are introspected at the same time.
const MAX_CALLS: usize = 16;
/// How long a token waits for its turn.
const MAX_TURN: Duration = Duration::from_secs(2);
/// How long a request waits for what is found out.
const MAX_WAIT: Duration = Duration::from_secs(8);
/// How long one waits whose token was good a moment ago, before it is served by that.
const BRIEF_WAIT: Duration = Duration::from_secs(1);

impl BearerTokens {
    /// Verifies tokens of `providers` and of `issuers`.
    pub fn new(settings: Settings, providers: Providers, issuers: Vec<TokenIssuer>, clock: Clock, metrics: Metrics) -> Self {
        let issuers = issuers.into_iter().map(Arc::new).collect();
        let (kept, calls) =
            (KeptTokens::default(), Calls { unknown: Semaphore::new(MAX_CALLS), known: Semaphore::new(MAX_CALLS) });
        Self { settings, providers, issuers, kept, calls, clock, metrics }
    }

    /// Verifies a token for a route that takes such ones. Requests that bring the same token at the same time have it verified once.
    ///
    /// # Errors
    /// [`TokenRefusal`].
    pub async fn verify(self: &Arc<Self>, token: &str, accepted: &AcceptedTokens) -> Result<Arc<VerifiedToken>, TokenRefusal> {
        let verdict = self.verdict(token, accepted).await;
        self.metrics.bearer_token(match &verdict {
            Ok(_) => "accepted",
            Err(TokenRefusal::Invalid(_) | TokenRefusal::Denied(_)) => "refused",
            Err(TokenRefusal::Unavailable(_)) => "unavailable",
        });
        verdict
    }

    async fn verdict(self: &Arc<Self>, token: &str, accepted: &AcceptedTokens) -> Result<Arc<VerifiedToken>, TokenRefusal> {
        let refused = |why| TokenRefusal::Invalid(VerifyError::Refused(why));
        let hash = self.key_of(token, accepted);
        // A token is not parsed again whose issuer is known.
        let kept = match self.kept.get(&hash) {
            Some(kept) => kept,
            None => self.kept.entry(hash, self.issuer(token, accepted).map_err(refused)?, token.len()),
        };
        if !kept.by.is_taken_by(accepted) {
            return Err(refused(NOT_TAKEN));
        }
        let known = match kept.get() {
            Some(known) if self.is_current(&known) => known,
            outdated => self.found_out(&kept, token, outdated).await?,
        };
        match &known.verdict {
            Verdict::Good(token) if token.expires_at.is_some_and(|at| self.clock.now() >= at) => {
                Err(TokenRefusal::Invalid(VerifyError::OutsideValidity("it has expired")))
            }
            Verdict::Good(token) => match accepted.admit(&token.usage) {
                Ok(()) => Ok(Arc::clone(token)),
                Err(denied) => Err(TokenRefusal::Denied(denied)),
            },
            Verdict::Refused(error) => Err(TokenRefusal::Invalid(error.clone())),
            Verdict::Unavailable(why) => Err(TokenRefusal::Unavailable(why.clone())),
        }
    }

    /// Waits for what is found out about a token of which only what is `outdated` is known. It is asked by a task of its own, which no
    /// request that goes away can cancel. While that takes long, what was known before holds within the grace.
    async fn found_out(
        self: &Arc<Self>,
        kept: &Arc<Kept>,
        token: &str,
        outdated: Option<Arc<Known>>,
    ) -> Result<Arc<Known>, TokenRefusal> {
        let before = outdated.clone().filter(|before| self.is_within_grace(before, self.clock.now()));
        if let Some(asking) = Kept::begin_to_ask(kept) {
            let (this, by, token, before) = (Arc::clone(self), kept.by.clone(), Secret::new(token), before.clone());
            tokio::spawn(async move { asking.keep(this.ask(token.expose(), &by, before.as_deref()).await) });
        }
        let wait = if before.is_some() { BRIEF_WAIT } else { MAX_WAIT };
        match tokio::time::timeout(wait, kept.newer_than(outdated.as_ref())).await {
            Ok(Some(known)) => Ok(known),
            Ok(None) | Err(_) => before.ok_or_else(|| TokenRefusal::Unavailable("its verification takes too long".to_owned())),
        }
    }

    /// Whether what is known of a token need not be asked again.
    fn is_current(&self, known: &Known) -> bool {
        let now = self.clock.now();
        // A clock that was set back says nothing of its age.
        known.asked_at <= now && now.since(known.asked_at) < known.life(self.settings.introspection_cache)
    }

    /// Has a token verified. While that cannot be done, what was known `before` holds.
    async fn ask(&self, token: &str, by: &IssuedBy, before: Option<&Known>) -> Arc<Known> {
        let found = self.verify_anew(token, by, before.is_some()).await;
        // Now, and not when it began: a call may take longer than its answer is used.
        let now = self.clock.now();
        let asked = match found {
            Ok(found) => Known::new(Verdict::Good(self.verified(token, by, found, before)), now),
            Err(AccessTokenError::Refused(error)) => Known::new(Verdict::Refused(error), now),
            Err(AccessTokenError::Unavailable(why)) => match before {
                Some(before) => before.again_at(now),
                None => Known::new(Verdict::Unavailable(why), now),
            },
        };
        Arc::new(asked)
    }

    /// The name of what is known of a token: of several providers, another one may have a say on another route.
    fn key_of(&self, token: &str, accepted: &AcceptedTokens) -> [u8; 32] {
        match self.providers.only() {
            Some(_) => sha256(token.as_bytes()),
            None => sha256(format!("{} {token}", accepted.providers.join(",")).as_bytes()),
        }
    }

    /// Who is to verify a token: the issuer that it names. An opaque token names none, and goes to nobody but the one provider that it
    /// can be of.
    fn issuer(&self, token: &str, accepted: &AcceptedTokens) -> Result<IssuedBy, &'static str> {
        let of_provider = |provider| IssuedBy::Provider(Arc::clone(provider));
        // The only provider is to say what is wrong with a token that is of none.
        let only = self.providers.only().map(of_provider);
        let Ok(parsed) = SignedToken::parse(token) else {
            let mut possible = self.providers.iter().filter(|provider| accepted.takes_provider(provider.name()));
            return match (only, possible.next(), possible.next()) {
                (Some(only), _, _) => Ok(only),
                (None, Some(provider), None) => Ok(of_provider(provider)),
                (None, None, _) => Err(NOT_TAKEN),
                (None, Some(_), Some(_)) => Err("it does not say which provider it is of, and the route takes tokens of several"),
            };
        };
        let claims = parsed.unverified();
        if let Some(issuer) = self.issuers.iter().find(|issuer| issuer.has_issued(claims)) {
            return Ok(IssuedBy::Issuer(Arc::clone(issuer)));
        }
        let mut issued = self.providers.of_access_token(claims).filter(|provider| accepted.takes_provider(provider.name()));
        only.or_else(|| issued.next().map(of_provider)).ok_or(NOT_TAKEN)
    }

    async fn verify_anew(&self, token: &str, by: &IssuedBy, was_good: bool) -> Result<AccessToken, AccessTokenError> {
        let provider = match by {
            IssuedBy::Issuer(issuer) => return issuer.verify(&Secret::new(token)).await,
            IssuedBy::Provider(provider) => provider,
        };
        let (is_opaque, token) = (SignedToken::parse(token).is_err(), Secret::new(token));
        if !is_opaque {
            return provider.verify_access_token(&token).await;
        }
        let calls = if was_good { &self.calls.known } else { &self.calls.unknown };
        let Ok(Ok(_turn)) = tokio::time::timeout(MAX_TURN, calls.acquire()).await else {
            return Err(AccessTokenError::Unavailable("too many tokens wait for introspection".to_owned()));
        };
        let timer = self.metrics.of_provider(provider.name()).provider_timer("introspection");
        let asked = provider.verify_access_token(&token).await;
        timer.finish();
        asked
    }

    /// The token that was found good, which is the one `before` if nothing has changed, with all that was rendered of it.
    fn verified(&self, token: &str, by: &IssuedBy, found: AccessToken, before: Option<&Known>) -> Arc<VerifiedToken> {
        let owner = TokenOwner { names: by.names_of(&found), issued_at: found.issued_at };
        let usage = TokenUse { audiences: found.audiences, client: found.client, scopes: found.scopes };
        if let Some(Verdict::Good(before)) = before.map(|before| &before.verdict)
            && (&before.identity, &before.usage, before.expires_at) == (&found.identity, &usage, found.expires_at)
        {
            return Arc::clone(before);
        }
        Arc::new(VerifiedToken {
            issuer: by.issuer().to_owned(),
            provider: by.provider().map(Arc::clone),
            owner,
            identity: found.identity,
            usage,
            expires_at: found.expires_at,
            is_self_contained: found.is_self_contained,
            verified_at: self.clock.now(),
            hash: sha256(token.as_bytes()),
            token: Secret::new(token),
            headers: Default::default(),
            assertions: Default::default(),
        })
    }

    fn is_within_grace(&self, before: &Known, now: Timestamp) -> bool {
        matches!(before.verdict, Verdict::Good(_)) && now.since(before.known_at) < self.settings.outage_grace
    }
}
