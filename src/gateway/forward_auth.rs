//! Judges requests that do not come here but to an ingress, which asks about each (forward authentication). The request that is
//! asked about is rebuilt, read and judged as one that came here; only its forwarding is the ingress's.

use std::sync::Arc;

use http::{Response, Uri, request};

use super::{
    Answered, Caller, Gateway, Judged,
    cors::{self, Readers},
    destination::{self, Destination},
    for_method,
    route_request::RouteRequest,
    trace::{RouteTaken, Trace},
    webdav,
};
use crate::{
    address::{AccessUrl, requested_host},
    admission::{Credential, Inquiry, NotAdmitted, asks_for_token},
    backoff::SOON,
    bearer::{self, TokenRefusal},
    endpoints::forward_auth::{Form, IdentityLines, Restrictions},
    exchange::{Exchange, Original},
    ext_authz::CheckRequest,
    oidc::VerifyError,
    policy::{Policy, Rule},
    refusal::Refusal,
    routing::{NoRoute, Route},
    visitor::{ConnectionMemo, SignInReason},
};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) has_no_body: bool,
    pub(super) memo: &'a ConnectionMemo,
}

/// How an ingress asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// By this request.
    ByHttp(Form, &'a request::Parts),
    /// By this message of gRPC.
    ByGrpc(&'a CheckRequest<'a>),
}

impl Asked<'_> {
    /// What is demanded of the user besides the rules.
    ///
    /// # Errors
    /// What is wrong with it.
    fn restrictions(self, original: &Uri) -> Result<Restrictions, &'static str> {
        match self {
            Self::ByHttp(form, asked) => form.restrictions(asked, original),
            Self::ByGrpc(asked) => Restrictions::of_context(&asked.context),
        }
    }

    /// Whether the response reaches the client, who can be redirected by it.
    fn reaches_the_client(self) -> bool {
        match self {
            Self::ByHttp(form, _) => form.reaches_the_client(),
            Self::ByGrpc(_) => true,
        }
    }

    /// Whether the ingress takes off what the app is not to get, as it is told.
    fn removes_headers(self) -> bool {
        match self {
            Self::ByHttp(_, _) => false,
            Self::ByGrpc(_) => true,
        }
    }
}

/// What may pass, and how its app is told of it.
#[derive(Debug)]
pub(super) struct Passed<'a> {
    pub(super) identity: IdentityLines<'a>,
    /// The app is not to see its `Authorization`.
    pub(super) hides_authorization: bool,
}

impl Gateway {
    /// Answers an ingress that asks with `asked` about another request.
    pub(super) async fn answer_ingress(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        (form, asked): (Form, &request::Parts),
        has_no_body: bool,
        trace: &mut Trace,
    ) -> Answered {
        let original = form.original(exchange, asked, &self.parts.settings.prefix);
        let question = Question { asked: Asked::ByHttp(form, asked), has_no_body, memo: &caller.memo };
        let response = match self.judge_question(exchange, caller, original.as_ref(), question, trace).await {
            Ok(passed) => form.permitted(passed.identity),
            Err(refused) => form.refused(refused),
        };
        for_method(exchange, response)
    }

    /// Reads and judges the request that is asked about.
    ///
    /// # Errors
    /// It may not pass: the response that its client is to get.
    pub(super) async fn judge_question(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        original: Result<&Original, &&'static str>,
        question: Question<'_>,
        trace: &mut Trace,
    ) -> Result<Passed<'_>, Response<axum::body::Body>> {
        trace.route = RouteTaken::ForwardAuth;
        let (read, judged) = match original {
            Ok(original) => {
                let read = exchange.begin_original(&caller.peer, &self.parts.settings.exchange, &original.head);
                trace.original = Some(Box::new(read.clone()));
                let judged = self.judge_original(&read, original, question, trace).await;
                (read, judged)
            }
            Err(why) => (exchange.clone(), Err(Refusal::BadRequest(why))),
        };
        judged.map_err(|refusal| {
            trace.reason = refusal.reason();
            if let Refusal::BadRequest(why) = refusal {
                // Few clients forge their headers: mostly it is the ingress that is not configured as it should be.
                tracing::info!(request.id = exchange.id_text(), why, "an ingress's question is refused");
            }
            self.refusal_response(&read, refusal)
        })
    }

    /// Judges a request that is asked about.
    async fn judge_original(
        &self,
        exchange: &Exchange,
        original: &Original,
        question: Question<'_>,
        trace: &mut Trace,
    ) -> Result<Passed<'_>, Refusal> {
        let settings = &self.parts.settings;
        if self.names_two_sites(exchange, original) {
            return Err(Refusal::BadRequest(
                "Host and X-Forwarded-Host name two sites, of which one may be forged; an ingress may ask by an address that is no \
                 site, or by that of CODER_OIDC_REDIRECT_URL",
            ));
        }
        let restrictions = question.asked.restrictions(&original.head.uri).map_err(Refusal::BadRequest)?;
        let route = match destination::find(settings, exchange, &original.head)? {
            Destination::Route(route) if original.has_path => Some(route),
            Destination::Route(_) => settings.routes.only(exchange.site.authority()),
            // The ingress sends them here without asking.
            Destination::Endpoint(_) | Destination::ForwardAuth(_) | Destination::ResourceMetadata(_) => {
                return Err(Refusal::NoSuchPage);
            }
        };
        let Some(route) = route else { return Err(self.refuse_unknown_page(exchange, original, question).await) };
        if self.may_have_chosen_site(exchange, original, question.asked, route) {
            return Err(Refusal::BadRequest(
                "Host and X-Original-URL name two sites with different rules, of which one may be forged; an ingress may ask by an \
                 address that is no site, or by that of CODER_OIDC_REDIRECT_URL",
            ));
        }
        let depends_on_method = !route.rule.methods.is_empty() || original.head.headers.contains_key("destination");
        if !original.has_method && depends_on_method {
            return Err(Refusal::BadRequest("the ingress does not say which method the original request has"));
        }
        let headers = &original.head.headers;
        webdav::check(settings, exchange, route, headers)?;
        if !question.asked.removes_headers() && bearer::carries_personal_token(headers) {
            let why =
                "the ingress would hand a personal access token on to the app, so that none is taken by forward auth over HTTP";
            return Err(Refusal::Token(TokenRefusal::Invalid(VerifyError::Refused(why))));
        }
        trace.readers = Readers::of(route, exchange, headers, question.has_no_body);
        let judged = match trace.readers.as_ref().filter(|readers| readers.is_preflight()) {
            // The ingress sends it to the app, which answers it.
            Some(readers) => Ok(Judged::Preflight(cors::permit_preflight(exchange, route, readers, headers)?)),
            None => {
                let Question { has_no_body, memo, asked: _ } = question;
                self.judge(RouteRequest { exchange, memo, route, headers, has_no_body }).await
            }
        };
        let judged = match judged {
            // Who must be one of these is somebody.
            Ok(Judged::Anybody(_)) if route.rule.is_optional() && restrictions.are_given() => {
                Err(NotAdmitted::SignIn(SignInReason::NoSession, None))
            }
            judged @ (Ok(_) | Err(_)) => judged,
        };
        let (permit, authorization_is_proven) = match judged {
            Ok(Judged::Anybody(permit) | Judged::Preflight(permit)) => (permit, false),
            Ok(Judged::User(admitted)) => {
                trace.user = self.recorder.user(&admitted.by);
                let identity = admitted.by.identity();
                let admits = restrictions.admit(identity);
                admits.map_err(|denied| Refusal::Denied(denied, Some(identity.display().to_owned())))?;
                (admitted.permit, matches!(admitted.by, Credential::Token(_)))
            }
            Err(NotAdmitted::SignIn(reason, _)) if asks_for_token(&route.rule, headers) => {
                return Err(Refusal::TokenNeeded(reason));
            }
            Err(not_admitted) => {
                return Err(self.send_original_to_login(exchange, original, &route.rule, question.asked, not_admitted).await);
            }
        };
        let identity = IdentityLines {
            names: self.parts.forwarder.identity_names(route.target),
            lines: self.parts.forwarder.identity_headers(&permit),
            authorization_is_proven,
        };
        if !question.asked.removes_headers() && identity.are_forged_by(headers) {
            return Err(Refusal::BadRequest("the client says who it is by headers that are Evergate's to send"));
        }
        match question.asked {
            // The ingress was refused a moment ago, and its client gets no empty page of it.
            Asked::ByHttp(Form::Refused, _) => Err(Refusal::RenewalUnavailable(SOON)),
            Asked::ByHttp(Form::AuthRequest | Form::ForwardAuth | Form::ExtAuthz, _) | Asked::ByGrpc(_) => {
                Ok(Passed { identity, hides_authorization: permit.hides_authorization() })
            }
        }
    }

    /// Whether an ingress hands one site's name on and another is forwarded, by which a client could choose among the sites' rules.
    /// Where logins of all sites return, no app is, and an ingress may ask there about others.
    fn names_two_sites(&self, exchange: &Exchange, original: &Original) -> bool {
        let host = requested_host(&original.head.uri, &original.head.headers);
        self.other_site(exchange, host).is_some()
    }

    /// Whether the ingress asks by the host of one site about a URL of another one, where `route` is the URL's and that host's page has
    /// another rule. An ingress that hands its client's host on, and writes no URL, passes on the one that its client wrote. ingress-nginx
    /// writes the URL itself, and may ask by a site's address as long as that gains nobody anything.
    fn may_have_chosen_site(&self, exchange: &Exchange, original: &Original, asked: Asked<'_>, route: &Route) -> bool {
        let Asked::ByHttp(_, asked) = asked else { return false };
        let Some(other) = self.other_site(exchange, requested_host(&asked.uri, &asked.headers)) else { return false };
        match self.parts.settings.routes.find(other.authority(), original.head.uri.path()) {
            Ok(found) => !std::ptr::eq(found, route),
            Err(NoRoute::Ambiguous) => true,
            // No app is there.
            Err(NoRoute::Unknown) => false,
        }
    }

    /// The site that `host` names, if it is another one than that of the request, and may have apps.
    fn other_site(&self, exchange: &Exchange, host: Option<&str>) -> Option<Arc<AccessUrl>> {
        let settings = &self.parts.settings;
        let named = settings.exchange.sites.find(host?)?;
        (named != exchange.site && settings.redirect_url.as_ref() != Some(&*named)).then_some(named)
    }

    /// Refuses a request whose path is not known where rules differ by paths.
    async fn refuse_unknown_page(&self, exchange: &Exchange, original: &Original, question: Question<'_>) -> Refusal {
        let rule = Rule::signed_in(Policy::default());
        let inquiry = Inquiry::about_the_visitor(exchange, &original.head.headers, &rule);
        match self.parts.admission.admit_session(inquiry).await {
            Ok(_) => Refusal::BadRequest(
                "nobody who is trusted says which page is asked for (X-Forwarded-Uri, CODER_PROXY_TRUSTED_ORIGINS)",
            ),
            Err(not_admitted) => self.send_original_to_login(exchange, original, &rule, question.asked, not_admitted).await,
        }
    }

    /// What becomes of a request that may not pass: its client is sent to a login, where the response reaches it.
    async fn send_original_to_login(
        &self,
        exchange: &Exchange,
        original: &Original,
        rule: &Rule,
        asked: Asked<'_>,
        not_admitted: NotAdmitted,
    ) -> Refusal {
        match not_admitted {
            NotAdmitted::SignIn(reason, grant) if asked.reaches_the_client() && original.has_path => {
                self.parts.admission.send_to_login(exchange, &original.head.headers, rule, reason, grant).await
            }
            other @ (NotAdmitted::SignIn(..) | NotAdmitted::Refused(_)) => other.without_redirect(),
        }
    }
}
