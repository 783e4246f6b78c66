//! Responses that Evergate makes itself: pages for people, JSON for scripts, redirects.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::{
    Refusal,
    challenge::challenges,
    links::Links,
    row::{Offer, Row},
};
use crate::{
    exchange::CallFailure,
    forward::{OLD_RESPONSE_MARK, RESPONSE_MARK},
    pages::{Look, Page},
    policy::EXPOSED_OF_REFUSALS,
    sign_in::Redirect,
    visitor::SignInReason,
};

impl Refusal {
    /// Logs the cause and makes the response.
    pub fn into_response(self, links: &Links<'_>) -> Response<axum::body::Body> {
        let exchange = links.exchange;
        self.log(exchange);
        let row = self.row();
        if let Self::SignIn(_, to) = &self {
            return redirect(to, row.error);
        }
        if let Self::RedirectToAccessUrl = &self {
            let location = exchange.site.at(exchange.path_and_query());
            let mut response = redirect(&Redirect::to(location), row.error);
            *response.status_mut() = row.status;
            return response;
        }
        let mut response = if exchange.reads_html { self.page(&row, links) } else { self.for_scripts(&row, links) };
        if let Some(wait) = row.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        let challenges = challenges(&self, &row, links).into_iter();
        response.headers_mut().extend(challenges.map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
        response
    }

    fn for_scripts(&self, row: &Row, links: &Links<'_>) -> Response<axum::body::Body> {
        let message = if matches!(self, Self::SignInNeeded(SignInReason::NoSession)) {
            "You are not signed in. Reload the page to sign in."
        } else if matches!(self, Self::SignInNeeded(_)) {
            "Your session has ended. Reload the page to sign in again."
        } else {
            row.message.for_programs()
        };
        let mut body = serde_json::json!({ "error": row.error, "message": message, "request_id": links.exchange.id_text() });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.reason().map(|reason| ("reason".to_owned(), reason.into())));
            let signs_in = matches!(row.offers, Offer::SignIn | Offer::AnotherAccount | Offer::OtherProvider);
            members.extend(signs_in.then(|| ("login_url".to_owned(), links.start.as_str().into())));
        }
        json(&body, row.status, row.error)
    }
}

/// Lets scripts of an allowed origin read the response, as they may read the app's (CORS, Fetch section 3.2): else a 401 is no more
/// to them than a network failure.
pub fn allow_cors(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_OF_REFUSALS));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// The response to a preflight, without what it allows.
pub fn preflight_response() -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    own_headers(response.headers_mut(), "preflight");
    response
}

/// A page.
pub fn html(page: &Page<'_>, status: StatusCode, mark: &'static str) -> Response<axum::body::Body> {
    document(page.html(), page.look, status, mark)
}

/// A page that is rendered.
pub fn document(text: String, look: &Look<'_>, status: StatusCode, mark: &'static str) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    own_headers(headers, mark);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_LANGUAGE, look.language.header());
    headers.insert(header::CONTENT_SECURITY_POLICY, look.branding.policy().clone());
    response
}

/// Whether a page in a sandbox opens windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Popups {
    /// It does not.
    None,
    /// It does, and they are in a sandbox like its own, of an origin that no service worker is of (HTML, the popup sandboxing flag set).
    Sandboxed,
}

/// The response with a page in a sandbox: it has an origin of its own, and runs no script (CSP 3 section 6.3.2).
pub fn sandboxed(mut response: Response<axum::body::Body>, popups: Popups) -> Response<axum::body::Body> {
    let policy = match popups {
        Popups::None => "sandbox allow-forms allow-top-navigation allow-top-navigation-by-user-activation",
        Popups::Sandboxed => "sandbox allow-forms allow-top-navigation allow-top-navigation-by-user-activation allow-popups",
    };
    response.headers_mut().append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

/// JSON.
pub fn json(body: &serde_json::Value, status: StatusCode, mark: &'static str) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::from(body.to_string()));
    *response.status_mut() = status;
    own_headers(response.headers_mut(), mark);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A 303 with cookies (RFC 9700 section 4.12: never 307, which would send a body along).
pub fn redirect(redirect: &Redirect, mark: &'static str) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    own_headers(response.headers_mut(), mark);
    if let Ok(location) = HeaderValue::from_str(&redirect.location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    for cookie in &redirect.cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    response
}

/// The response to a gRPC call that is not answered: a head that is the whole response.
pub fn grpc_failed(failure: CallFailure) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::empty());
    let mark = match failure {
        CallFailure::DeadlineExceeded => "deadline_exceeded",
        CallFailure::InvalidArgument(_) => "bad_request",
        CallFailure::NotFound(_) | CallFailure::Unimplemented(_) => "not_found",
        CallFailure::PermissionDenied(_) => "forbidden",
    };
    own_headers(response.headers_mut(), mark);
    for (name, value) in [
        (header::CONTENT_TYPE, Ok(HeaderValue::from_static("application/grpc"))),
        (HeaderName::from_static("grpc-status"), Ok(HeaderValue::from(failure.code()))),
        (HeaderName::from_static("grpc-message"), HeaderValue::try_from(failure.to_string())),
    ] {
        response.headers_mut().extend(value.ok().map(|value| (name, value)));
    }
    response
}

/// Sets what every response carries that Evergate makes itself; `mark` says which it is.
pub fn own_headers(headers: &mut HeaderMap, mark: &'static str) {
    headers.insert(RESPONSE_MARK, HeaderValue::from_static(mark));
    headers.insert(OLD_RESPONSE_MARK, HeaderValue::from_static(mark));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
