//! Where a browser is sent that must sign in: at which provider, and whether silently.

use std::sync::Arc;

use http::HeaderMap;

use super::{
    Admission, NotAdmitted,
    next_step::{self, Facts, Need, NextStep},
};
use crate::{
    exchange::{Exchange, is_of_a_program},
    grant::Grant,
    policy::{Denied, Rule},
    refusal::Refusal,
    sign_in::{LoginBrowser, Purpose, SignIn, return_to::ReturnTo},
    visitor::SignInReason,
};

/// Whether a request of nobody who is known is asked for a token: a program's is, where the rule takes such.
pub fn asks_for_token(rule: &Rule, headers: &HeaderMap) -> bool {
    rule.tokens.as_ref().is_some_and(|tokens| tokens.personal) && is_of_a_program(headers)
}

impl Admission {
    /// What becomes of a request of nobody who is known, on a route with this rule: a program is asked for a token where the rule takes
    /// such, and a browser is sent to a login.
    pub async fn refuse_unauthenticated(
        &self,
        exchange: &Exchange,
        headers: &HeaderMap,
        rule: &Rule,
        (reason, grant): (SignInReason, Option<Arc<Grant>>),
    ) -> Refusal {
        if asks_for_token(rule, headers) {
            return Refusal::TokenNeeded(reason);
        }
        self.send_to_login(exchange, headers, rule, reason, grant).await
    }

    /// Sends a browser that must sign in where it belongs: a page navigation to the provider and back to its page, silently if its
    /// session is to go on with a new grant. Where the rule takes users of several providers, they choose. Anything else is told where a
    /// login begins, because a redirect would reach no person.
    pub async fn send_to_login(
        &self,
        exchange: &Exchange,
        headers: &HeaderMap,
        rule: &Rule,
        reason: SignInReason,
        grant: Option<Arc<Grant>>,
    ) -> Refusal {
        let grant = grant.as_deref();
        let purpose = match (next_step::decide(reason, Need::Required, self.facts(exchange, headers, grant)), grant) {
            (NextStep::LogInSilently, Some(grant)) => Purpose::Silent(grant),
            (NextStep::LogIn | NextStep::LogInSilently, _) => Purpose::LoginOnTheWay,
            (NextStep::TellToSignIn | NextStep::Serve, _) => return Refusal::SignInNeeded(reason),
            (NextStep::AccessWithdrawn, _) => return Refusal::AccessWithdrawn(reason),
            (NextStep::GrantDoesNotLast, _) => return Refusal::SignInDoesNotLast(reason),
            (NextStep::CookieNotKept, _) => return Refusal::SignInNotKept(reason),
        };
        let return_to = ReturnTo::parse(exchange.path_and_query(), &exchange.site);
        let browser = LoginBrowser { site: &exchange.site, headers, client: exchange.origin.client, left: None };
        let Some(sign_in) = self.sign_in_for(grant, rule) else {
            let redirect = self.sign_ins.let_choose(browser, &return_to, Purpose::LoginOnTheWay, &rule.providers).await;
            return Refusal::SignIn(reason, redirect);
        };
        // Silently only at the provider of the grant.
        let is_own = grant.is_some_and(|grant| sign_in.provider.has_given(grant) || self.sign_ins.only().is_some());
        let purpose = if is_own { purpose } else { Purpose::LoginOnTheWay };
        let mut redirect = match sign_in.begin(browser, &return_to, purpose).await {
            Ok(redirect) => redirect,
            Err(error) => return Refusal::ProviderUnavailable(error),
        };
        if !matches!(purpose, Purpose::Silent(_)) {
            redirect.cookies.extend(sign_in.record_lost_silent_attempt(headers));
        }
        Refusal::SignIn(reason, redirect)
    }

    pub(super) fn facts(&self, exchange: &Exchange, headers: &HeaderMap, grant: Option<&Grant>) -> Facts {
        let sign_in = self.sign_in_at(grant);
        Facts {
            kind: exchange.kind,
            has_living_grant: grant.map(|grant| grant.ended.is_none()),
            supports_prompt_none: sign_in.supports_prompt_none(),
            history: sign_in.history_of(headers, grant),
        }
    }

    /// Where a browser logs in: at the provider of its grant, or else at the only one that the rule takes users of. `None`: its user
    /// chooses.
    fn sign_in_for(&self, grant: Option<&Grant>, rule: &Rule) -> Option<&SignIn> {
        if let Some(own) = grant.and_then(|grant| self.sign_ins.of(grant))
            && rule.takes_provider(own.provider.name())
        {
            return Some(own);
        }
        match self.sign_ins.among(&rule.providers).as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether the rule takes users of a grant's provider. Of a grant that has ended nobody need be told that it is of another one.
    pub(super) fn check_provider(&self, rule: &Rule, grant: &Arc<Grant>) -> Result<(), NotAdmitted> {
        let Some(sign_in) = self.sign_ins.of(grant).filter(|sign_in| !rule.takes_provider(sign_in.provider.name())) else {
            return Ok(());
        };
        tracing::debug!(provider = sign_in.provider.name(), "a route is for users of other providers");
        Err(match &grant.ended {
            Some(ended) => NotAdmitted::SignIn(SignInReason::GrantEnded(ended.reason), Some(Arc::clone(grant))),
            None => Refusal::Denied(Denied::Provider, Some(grant.identity.display().to_owned())).into(),
        })
    }

    /// Where the browser of this grant logs in, or one without any.
    pub(super) fn sign_in_at(&self, grant: Option<&Grant>) -> &SignIn {
        grant.and_then(|grant| self.sign_ins.of(grant)).unwrap_or(self.sign_ins.first())
    }
}
