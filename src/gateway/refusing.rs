//! The responses to requests that are not served.

use http::{HeaderValue, Response, Version, header};

use super::{Answered, Gateway, for_method};
use crate::{
    endpoints::Refused,
    exchange::{CallFailure, Exchange},
    policy::Denied,
    refusal::{
        Links, OwnPages, Refusal,
        response::{allow_cors, grpc_failed},
    },
    routing::Route,
};

impl Gateway {
    /// Refuses a request for the app.
    pub(super) fn refuse(&self, exchange: &Exchange, refusal: Refusal) -> Answered {
        for_method(exchange, self.refusal_response(exchange, refusal))
    }

    /// The response to a request for the app that is refused, with its body.
    pub(super) fn refusal_response(&self, exchange: &Exchange, refusal: Refusal) -> Response<axum::body::Body> {
        let route = self.parts.settings.routes.find(exchange.site.authority(), exchange.raw_path()).ok();
        let links = Links::of_the_app(exchange, self.own_pages(), route);
        let is_of_method = matches!(refusal, Refusal::MethodNotAllowed | Refusal::Denied(Denied::Method, _));
        let allowed = is_of_method.then(|| allowed_methods(route));
        // Nobody says what else such a client sends.
        let closes = exchange.leaves_body || (exchange.version < Version::HTTP_2 && matches!(refusal, Refusal::HeadTooLarge));
        let may_be_late = refusal.may_come_of_lateness();
        let mut response = refusal.into_response(&links);
        if may_be_late && exchange.call.is_some_and(|call| call.is_past(exchange.elapsed())) {
            response = grpc_failed(CallFailure::DeadlineExceeded);
        }
        if let Some(methods) = allowed {
            response.headers_mut().insert(header::ALLOW, methods);
        }
        if let Some(origin) = &exchange.allowed_origin {
            allow_cors(response.headers_mut(), origin);
        }
        if closes {
            // RFC 9112 section 9.6.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Refuses a request for one of our own pages. Other sites' scripts cannot read it (no CORS), and hyper takes care of a body that
    /// was not read.
    pub(super) fn refuse_at_endpoint(&self, exchange: &Exchange, refused: Refused) -> Answered {
        let Refused { refusal, return_to, cookies, allow } = refused;
        let links = Links::to(exchange, self.own_pages(), return_to);
        let mut response = refusal.into_response(&links);
        response.headers_mut().extend(cookies.into_iter().map(|cookie| (header::SET_COOKIE, cookie)));
        response.headers_mut().extend(allow.map(|methods| (header::ALLOW, methods)));
        for_method(exchange, response)
    }

    fn own_pages(&self) -> OwnPages<'_> {
        let settings = &self.parts.settings;
        OwnPages { prefix: &settings.prefix, cookies: &settings.exchange.cookies, branding: &settings.branding }
    }
}

/// The methods that a route takes, for a request that has another (RFC 9110 section 15.5.6).
fn allowed_methods(route: Option<&Route>) -> HeaderValue {
    // What a route without a list takes is the app's to say: all but CONNECT and TRACE reaches it.
    route.and_then(|route| route.rule.allowed_methods()).unwrap_or(HeaderValue::from_static(USUAL_METHODS))
}

const USUAL_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
