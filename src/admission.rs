//! Who may pass: the one judgement for routes and for our own pages.
//!
//! It is asked with what a request's head says, and answers with a permit or a refusal. It needs no body, so whatever wants to
//! know who may pass can ask it.

mod admitted;
mod by_token;
mod next_step;
mod to_login;

use std::sync::Arc;

use http::HeaderMap;

use crate::{
    assertion::{About, Assertions},
    backoff::SOON,
    bearer::{self, BearerTokens},
    exchange::Exchange,
    grant::{EndReason, Grant},
    identity::{ForwardedIdentity, HeaderSet, Identity},
    policy::{Cors, CrossOrigin, Denied, Permit, Policies, Policy, Rule, logged_origin},
    refusal::Refusal,
    renewal::{Renewer, Unusable, Usable},
    routing::Route,
    session::SessionHash,
    sign_in::SignIns,
    store::StoreError,
    telemetry::logs::causes,
    visitor::{ConnectionMemo, SignInReason, SignedIn, Visitor, Visitors},
};

use next_step::{Need, NextStep};

pub use admitted::{Admitted, AdmittedSession, Credential, NotAdmitted};
pub use to_login::asks_for_token;

/// Judges requests.
#[derive(Debug)]
pub struct Admission {
    /// Recognises who sends a request.
    pub visitors: Arc<Visitors>,
    /// Keeps their grants fresh.
    pub renewer: Renewer,
    /// Sends browsers to a login.
    pub sign_ins: SignIns,
    /// The policies that every user must pass.
    pub policies: Policies,
    /// Whose pages may send requests that change something.
    pub cross_origin: CrossOrigin,
    /// Signs who sends a request, for apps that want proof.
    pub assertions: Arc<Assertions>,
    /// Verifies the tokens of API clients.
    pub bearer: Arc<BearerTokens>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    exchange: &'a Exchange,
    headers: &'a HeaderMap,
    rule: &'a Rule,
    /// Whether an outage of the provider is bridged with the last verified identity.
    serves_stale: bool,
    /// Whether a person is about to see the response, whom nothing keeps from a redirect through the provider.
    views_a_page: bool,
    /// Whether the request is use of the session, which extends it.
    is_use: bool,
    /// Whom the last request of the connection came from, where requests to apps are asked about.
    memo: Option<&'a ConnectionMemo>,
    /// The headers that tell the app of the visitor; `None` where no app is told.
    identity: Option<&'a Arc<HeaderSet>>,
    /// Whom a signed assertion is for, if the app gets one.
    assertion: Option<&'a Arc<str>>,
    /// Which other origins' pages may use the route.
    cors: Option<&'a Cors>,
    /// Whether a browser sends what authenticates it by itself, also with another site's request.
    is_ambient: bool,
}

impl<'a> Inquiry<'a> {
    /// Whether a request may pass to its route.
    pub fn for_route(exchange: &'a Exchange, headers: &'a HeaderMap, route: &'a Route, memo: &'a ConnectionMemo) -> Self {
        Self {
            exchange,
            headers,
            rule: &route.rule,
            serves_stale: route.serves_stale,
            // Where nobody needs to be signed in, nobody is sent through the provider.
            views_a_page: exchange.views_a_page() && !route.rule.is_optional(),
            is_use: true,
            memo: Some(memo),
            identity: Some(&route.identity),
            assertion: route.assertion.as_ref(),
            cors: route.cors.as_deref(),
            is_ambient: true,
        }
    }

    /// As [`Inquiry::about_the_visitor`], of the page to which other sites send browsers for what the login has to give: a grant that
    /// should be replaced is.
    pub fn about_a_login(exchange: &'a Exchange, headers: &'a HeaderMap, rule: &'a Rule) -> Self {
        Self { views_a_page: exchange.views_a_page(), ..Self::about_the_visitor(exchange, headers, rule) }
    }

    /// Whether a request's visitor passes `rule`. To ask is no use of the session.
    pub fn about_the_visitor(exchange: &'a Exchange, headers: &'a HeaderMap, rule: &'a Rule) -> Self {
        Self {
            exchange,
            headers,
            rule,
            serves_stale: true,
            views_a_page: false,
            is_use: false,
            memo: None,
            identity: None,
            assertion: None,
            cors: None,
            is_ambient: true,
        }
    }

    /// The same of an administrator who does something, or of their program: nothing is done in the name of an identity that the
    /// provider has not confirmed of late.
    pub fn to_administer(exchange: &'a Exchange, headers: &'a HeaderMap, rule: &'a Rule) -> Self {
        Self { serves_stale: false, is_use: true, ..Self::about_the_visitor(exchange, headers, rule) }
    }

    /// The same of a visitor who says that they still use their session.
    pub fn to_keep_the_session(exchange: &'a Exchange, headers: &'a HeaderMap, rule: &'a Rule) -> Self {
        Self { is_use: true, ..Self::about_the_visitor(exchange, headers, rule) }
    }
}

impl Admission {
    /// Judges a request whose user must be known, by their session or by a bearer token where the rule takes such.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub async fn admit(&self, inquiry: Inquiry<'_>) -> Result<Admitted, NotAdmitted> {
        if let Some(accepted) = &inquiry.rule.tokens
            && let Some(presented) = bearer::presented(inquiry.headers)?
        {
            return Box::pin(self.admit_token(inquiry, &presented, accepted)).await;
        }
        self.admit_session(inquiry).await.map(Admitted::from)
    }

    /// Judges a request by its session alone: authentication, CSRF, a fresh grant, the rule.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub async fn admit_session(&self, inquiry: Inquiry<'_>) -> Result<AdmittedSession, NotAdmitted> {
        let visitor = match inquiry.memo {
            Some(memo) => self.visitors.recognise_on_connection(inquiry.headers, memo).await?,
            None => Box::pin(self.visitors.recognise(inquiry.headers)).await?,
        };
        self.admit_visitor(inquiry, visitor).await
    }

    /// Judges a request whose sender has proof of this session that no browser sends by itself.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub async fn admit_proven(&self, inquiry: Inquiry<'_>, session: SessionHash) -> Result<AdmittedSession, NotAdmitted> {
        let visitor = self.visitors.recognise_session(session).await?;
        self.admit_visitor(Inquiry { is_ambient: false, ..inquiry }, visitor).await
    }

    /// Judges a request of this visitor.
    async fn admit_visitor(&self, inquiry: Inquiry<'_>, visitor: Visitor) -> Result<AdmittedSession, NotAdmitted> {
        let Inquiry { exchange, headers, serves_stale, views_a_page, .. } = inquiry;
        let mut signed_in = match visitor {
            Visitor::SignedIn(signed_in) => signed_in,
            Visitor::Remembered(signed_in, error) => return self.admit_remembered(inquiry, signed_in, *error),
            Visitor::Anonymous(reason) => return Err(NotAdmitted::SignIn(reason, None)),
        };
        if is_of_another_site(inquiry.exchange, &signed_in) {
            return Err(NotAdmitted::SignIn(SignInReason::NoSession, None));
        }
        self.check_origin_and_touch(inquiry, &signed_in)?;
        self.check_provider(inquiry.rule, &signed_in.grant)?;
        let usable = match self.renewer.keep_fresh(Arc::clone(&signed_in.grant)).await {
            Ok(usable) => usable,
            Err(unusable) => {
                let Some(moved) = Box::pin(self.visitors.moved(&signed_in)).await? else {
                    return Err(not_admitted_with(unusable, signed_in.grant));
                };
                signed_in = moved;
                let usable = Box::pin(self.renewer.keep_fresh(Arc::clone(&signed_in.grant))).await;
                usable.map_err(|unusable| not_admitted_with(unusable, Arc::clone(&signed_in.grant)))?
            }
        };
        if views_a_page && let Some(reason) = self.reason_to_replace(exchange, headers, &usable).await {
            let refusal =
                Box::pin(self.send_to_login(exchange, headers, inquiry.rule, reason, Some(Arc::clone(&usable.grant)))).await;
            // The grant can be used, so nobody is turned away because a login cannot begin.
            let Refusal::ProviderUnavailable(error) = refusal else { return Err(refusal.into()) };
            tracing::warn!(
                request.id = exchange.id_text(),
                error = causes(&error),
                "a silent login cannot begin; the session continues with its grant"
            );
        }
        if usable.stale && !serves_stale {
            return Err(Refusal::RenewalUnavailable(SOON).into());
        }
        self.permit(inquiry, signed_in, usable)
    }

    /// Judges a request whose session is remembered, because the store failed with `error`. Nothing is refreshed, and nobody is
    /// sent to a login.
    fn admit_remembered(
        &self,
        inquiry: Inquiry<'_>,
        signed_in: SignedIn,
        error: StoreError,
    ) -> Result<AdmittedSession, NotAdmitted> {
        if is_of_another_site(inquiry.exchange, &signed_in) {
            return Err(error.into());
        }
        self.check_origin_and_touch(inquiry, &signed_in)?;
        self.check_provider(inquiry.rule, &signed_in.grant)?;
        let usable = self.renewer.serve_without_store(Arc::clone(&signed_in.grant)).filter(|_| inquiry.serves_stale);
        let Some(usable) = usable else { return Err(error.into()) };
        self.visitors.served_from_memory();
        self.permit(inquiry, signed_in, usable)
    }

    /// Refuses another site's request. Any other is use of the session, also during an outage.
    fn check_origin_and_touch(&self, inquiry: Inquiry<'_>, signed_in: &SignedIn) -> Result<(), Refusal> {
        let Inquiry { exchange, headers, .. } = inquiry;
        // A foreign page's image or script changes nothing as long as browsers send it no cookie.
        let may_change = exchange.asks_for_upgrade || exchange.is_foreign_part;
        let is_allowed = !inquiry.is_ambient || self.cross_origin.allows(&exchange.method, may_change, headers, &exchange.site);
        let is_let_through =
            || inquiry.cors.is_some_and(|cors| cors.lets_through(&exchange.method, exchange.asks_for_upgrade, headers));
        if !is_allowed && !is_let_through() {
            return Err(self.refuse_cross_origin(exchange, headers));
        }
        if inquiry.is_use {
            self.visitors.touch(signed_in);
        }
        Ok(())
    }

    /// Applies the rule to a session's request.
    fn permit(&self, inquiry: Inquiry<'_>, signed_in: SignedIn, usable: Usable) -> Result<AdmittedSession, NotAdmitted> {
        let grant = &usable.grant;
        let about = About::session(&signed_in.session().hash, grant);
        let forwarded = || {
            let mut forwarded = grant.forwarded_identity(inquiry.identity?, usable.stale);
            forwarded.assertion = inquiry.assertion.and_then(|audience| self.assertions.of(audience, about));
            Some(forwarded)
        };
        let Some(policy) = self.policies.of(grant.registration()) else {
            let reason = SignInReason::GrantEnded(EndReason::OtherProvider);
            return Err(NotAdmitted::SignIn(reason, Some(Arc::clone(grant))));
        };
        let permit = apply_rule(inquiry, Some(policy), &grant.identity, forwarded)?;
        Ok(AdmittedSession { permit, signed_in, usable })
    }

    /// Why the browser of a usable grant should get another one from the provider all the same, now that its user views a page.
    async fn reason_to_replace(&self, exchange: &Exchange, headers: &HeaderMap, usable: &Usable) -> Option<SignInReason> {
        let grant = &usable.grant;
        let is_refused = usable.stale && grant.refused.is_some();
        let sign_in = self.sign_in_at(Some(grant));
        let has_changed = sign_in.has_changed_since(grant);
        let cannot_begin = self.renewer.provider_is_in_trouble(grant) || sign_in.provider.has_lately_failed_to_push();
        if !(is_refused || has_changed || grant.missing_key.is_some()) || cannot_begin {
            return None;
        }
        let facts = self.facts(exchange, headers, Some(grant));
        let leads_to_a_login = |reason: &SignInReason| {
            matches!(next_step::decide(*reason, Need::Optional, facts), NextStep::LogIn | NextStep::LogInSilently)
        };
        // The provider answers and does not renew it: another grant may fare better, and the grace is for outages.
        if let Some(reason) = is_refused.then_some(SignInReason::GrantRefused).filter(leads_to_a_login) {
            return Some(reason);
        }
        if grant.missing_key.is_some() && Box::pin(self.renewer.has_lost_its_key(grant)).await {
            let reason = Some(SignInReason::GrantEnded(EndReason::KeyLost)).filter(leads_to_a_login);
            if reason.is_some() {
                Box::pin(self.renewer.record_lost(grant, EndReason::KeyLost)).await;
            }
            return reason;
        }
        has_changed.then_some(SignInReason::SettingsChanged).filter(leads_to_a_login)
    }

    /// Refuses another site's request, and logs what its administrator needs to know.
    fn refuse_cross_origin(&self, exchange: &Exchange, headers: &HeaderMap) -> Refusal {
        let allowed = match &self.cross_origin {
            CrossOrigin::Only(origins) => origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            CrossOrigin::Any => "*".to_owned(),
        };
        tracing::info!(
            request.id = exchange.id_text(),
            http.request.method = exchange.method.as_str(),
            url.path = exchange.path().as_ref(),
            http.request.header.origin = logged_origin(headers),
            allowed_origins = allowed,
            "cross-site request refused: a page of another site sent a request that could change something; \
             CODER_ALLOWED_ORIGINS, or cors of the route with credentials, names the origins that may"
        );
        Refusal::Denied(Denied::CrossOrigin, None)
    }
}

/// Applies the policy for every user, if there is one for whoever sends the request, and the rule.
fn apply_rule(
    inquiry: Inquiry<'_>,
    everybody: Option<&Policy>,
    identity: &Identity,
    forwarded: impl FnOnce() -> Option<ForwardedIdentity>,
) -> Result<Permit, Refusal> {
    let denied = |denied| Refusal::Denied(denied, Some(identity.display().to_owned()));
    inquiry.rule.permit(everybody, identity, forwarded).map_err(denied)
}

/// Whether a session was handed over to another site than that of the request. Browsers do not send its cookie there; whoever got hold
/// of it at one host must not enter at another.
fn is_of_another_site(exchange: &Exchange, signed_in: &SignedIn) -> bool {
    let session = signed_in.session();
    session.login.is_some() && session.site.as_deref() != Some(exchange.site.authority())
}

/// What becomes of a request whose grant cannot be used.
fn not_admitted_with(unusable: Unusable, grant: Arc<Grant>) -> NotAdmitted {
    match unusable {
        Unusable::SignInAgain(reason) => NotAdmitted::SignIn(SignInReason::GrantEnded(reason), Some(grant)),
        Unusable::Refused => NotAdmitted::SignIn(SignInReason::GrantRefused, Some(grant)),
        Unusable::Gone => NotAdmitted::SignIn(SignInReason::UnknownSession, None),
        Unusable::Unavailable(wait) => Refusal::RenewalUnavailable(wait).into(),
    }
}
