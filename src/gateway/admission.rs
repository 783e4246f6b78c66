//! Who may pass: the one judgement for routes and for our own pages. It is asked with what a request's head says, and answered
//! with a permit or with why there is none; what becomes of a browser then is for whoever asked to say.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method, Request};

use super::{
    Gateway,
    exchange::Exchange,
    refusal::Refusal,
    visitor::{Familiar, Reason, SignedIn, Visitor},
};
use crate::{
    grant::{EndReason, Grant},
    policy::{CrossOrigin, Denied, Permit, Rule},
    renewal::{Kept, NotKept},
    routing::Route,
    store::StoreError,
};

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Inquiry<'a> {
    exchange: &'a Exchange,
    /// As it was sent: a WebSocket on HTTP/2 comes as CONNECT.
    method: &'a Method,
    headers: &'a HeaderMap,
    rule: &'a Rule,
    /// Whether an outage of the provider is sat out with the last identity.
    serves_stale: bool,
    /// Whether a person is about to see what this brings, whom nothing keeps from a way through the provider.
    views_a_page: bool,
    /// For a request that uses the session: whom its connection's last request came from.
    familiar: Option<&'a Familiar>,
}

/// Who may pass.
pub(super) struct Admitted {
    pub(super) permit: Permit,
    /// Whose it is, unless nobody needed to be known.
    pub(super) signed_in: SignedIn,
    pub(super) kept: Kept,
}

/// Why somebody may not.
pub(super) enum NotAdmitted {
    /// They must sign in first; the grant that they had, if any.
    SignIn(Reason, Option<Arc<Grant>>),
    /// Signing in does not help, or not now.
    Refused(Refusal),
}

/// A strict route is tried again after this.
const SOON: Duration = Duration::from_secs(2);

impl<'a> Inquiry<'a> {
    /// Whether a request may pass to its route.
    pub(super) fn for_route<B>(
        exchange: &'a Exchange,
        route: &'a Route,
        request: &'a Request<B>,
        familiar: &'a Familiar,
    ) -> Self {
        Self {
            exchange,
            method: request.method(),
            headers: request.headers(),
            rule: &route.rule,
            serves_stale: route.serves_stale,
            views_a_page: exchange.views_a_page(),
            familiar: Some(familiar),
        }
    }

    /// Whether its visitor would be let pass by `rule`; to ask is no use of the session.
    pub(super) fn about_the_visitor(exchange: &'a Exchange, headers: &'a HeaderMap, rule: &'a Rule) -> Self {
        Self { exchange, method: &exchange.method, headers, rule, serves_stale: true, views_a_page: false, familiar: None }
    }
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for NotAdmitted {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl Gateway {
    /// Judges a request that somebody must be known for.
    pub(super) async fn admit(&self, inquiry: Inquiry<'_>) -> Result<Admitted, NotAdmitted> {
        let Inquiry { exchange, method, headers, rule, serves_stale, views_a_page, familiar } = inquiry;
        let visitor = match familiar {
            Some(familiar) => self.visitors.recognise_again(headers, familiar).await?,
            None => Box::pin(self.visitors.recognise(headers)).await?,
        };
        let signed_in = match visitor {
            Visitor::SignedIn(signed_in) => signed_in,
            Visitor::Anonymous(reason) => return Err(NotAdmitted::SignIn(reason, None)),
        };
        if !self.settings.cross_origin.allows(method, headers, &exchange.site) {
            return Err(self.cross_origin(exchange, headers).into());
        }
        if familiar.is_some() {
            // Whoever comes while the provider is away uses their session all the same.
            self.visitors.seen(&signed_in);
        }
        let kept = match self.renewer.keep_fresh(Arc::clone(&signed_in.grant)).await {
            Ok(kept) => kept,
            Err(not_kept) => return Err(not_kept_because(not_kept, signed_in.grant)),
        };
        let may_pass = views_a_page && !self.renewer.provider_is_in_trouble();
        // The provider answers and will not renew it: another grant may fare better, and the grace is for outages.
        if may_pass && kept.stale && kept.grant.refused.is_some() && self.sign_in.may_be_silent(headers) {
            return Err(NotAdmitted::SignIn(Reason::GrantRefused, Some(kept.grant)));
        }
        if may_pass && kept.grant.missing_key.is_some() && Box::pin(self.renewer.has_lost_its_key(&kept.grant)).await {
            return Err(NotAdmitted::SignIn(Reason::GrantEnded(EndReason::KeyLost), Some(kept.grant)));
        }
        if kept.stale && !serves_stale {
            return Err(Refusal::RenewalUnavailable(SOON).into());
        }
        if may_pass && self.sign_in.is_outdated(&kept.grant, headers) {
            return Err(NotAdmitted::SignIn(Reason::SettingsChanged, Some(kept.grant)));
        }
        let identity = &kept.grant.identity;
        let permit = rule
            .permit(&self.policy, identity, || kept.grant.passport(kept.stale))
            .map_err(|denied| Refusal::Denied(denied, Some(identity.display().to_owned())))?;
        Ok(Admitted { permit, signed_in, kept })
    }

    /// The refusal of another site's request, with what its administrator needs to know.
    fn cross_origin(&self, exchange: &Exchange, headers: &HeaderMap) -> Refusal {
        let allowed = match &self.settings.cross_origin {
            CrossOrigin::Only(origins) => origins.join(" "),
            CrossOrigin::Any => "*".to_owned(),
        };
        let origin = headers.get(http::header::ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        let origin: String = origin.chars().take(LONGEST_ORIGIN).collect();
        tracing::info!(
            request.id = exchange.id_text(),
            http.method = exchange.method.as_str(),
            http.path = exchange.path().as_ref(),
            http.origin = origin,
            allowed_origins = allowed,
            "a page of another site sent a request that could change something; CODER_ALLOWED_ORIGINS names the origins that may"
        );
        Refusal::Denied(Denied::CrossOrigin, None)
    }
}

/// No more of an origin than this is logged.
const LONGEST_ORIGIN: usize = 256;

/// A grant that could not be kept fresh.
fn not_kept_because(not_kept: NotKept, grant: Arc<Grant>) -> NotAdmitted {
    match not_kept {
        NotKept::SignInAgain(reason) => NotAdmitted::SignIn(Reason::GrantEnded(reason), Some(grant)),
        NotKept::Refused => NotAdmitted::SignIn(Reason::GrantRefused, Some(grant)),
        NotKept::Gone => NotAdmitted::SignIn(Reason::UnknownSession, None),
        NotKept::Unavailable(wait) => Refusal::RenewalUnavailable(wait).into(),
    }
}
