//! The answer that a refusal makes: a page for people, JSON for scripts.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use url::form_urlencoded::byte_serialize;

use super::{Offer, Refusal, Row};
use crate::{
    gateway::{
        Settings,
        exchange::{Asker, Exchange},
        own_headers, redirect, tries,
        visitor::Reason,
    },
    pages::{Action, Page, content_security_policy},
    session::cookie::Cookies,
    sign_in::{Redirect, return_to::ReturnTo},
};

/// Where an answer can lead whoever reads it.
pub(in crate::gateway) struct Ways<'a> {
    pub(in crate::gateway) exchange: &'a Exchange,
    /// Where logins begin.
    pub(in crate::gateway) start: String,
    /// Where pages try again by themselves.
    pub(in crate::gateway) again: String,
    /// The page that a login begun from here leads to.
    pub(in crate::gateway) return_to: Option<ReturnTo>,
    pub(in crate::gateway) cookies: &'a Cookies,
}

impl<'a> Ways<'a> {
    /// For a page of the app's: back to itself, or to the page whose form was sent.
    pub(in crate::gateway) fn of_the_app(exchange: &'a Exchange, settings: &'a Settings) -> Self {
        let site = &exchange.site;
        let return_to = match &exchange.method {
            &Method::GET | &Method::HEAD => Some(ReturnTo::parse(exchange.path_and_query(), site)),
            _ => exchange.referer.as_ref().and_then(|page| page.to_str().ok()).and_then(|page| ReturnTo::of_page(page, site)),
        };
        Self::of(exchange, settings, return_to)
    }

    /// With logins that lead to `return_to`.
    pub(in crate::gateway) fn of(exchange: &'a Exchange, settings: &'a Settings, return_to: Option<ReturnTo>) -> Self {
        let own = |page: &str| exchange.site.at(&format!("{}/{page}", settings.prefix));
        Self { exchange, start: own("start"), again: own("again"), return_to, cookies: &settings.cookies }
    }

    /// Where a login begins that comes back here.
    fn sign_in(&self, another: bool) -> String {
        let rd = self.return_to.as_ref().map(|to| format!("rd={}", byte_serialize(to.path().as_bytes()).collect::<String>()));
        let parameters: Vec<String> = another.then(|| "another=true".to_owned()).into_iter().chain(rd).collect();
        if parameters.is_empty() { self.start.clone() } else { format!("{}?{}", self.start, parameters.join("&")) }
    }
}

impl Refusal {
    /// Logs the cause and makes the answer.
    pub(in crate::gateway) fn into_response(self, ways: &Ways<'_>) -> Response<axum::body::Body> {
        let exchange = ways.exchange;
        self.log(exchange);
        let row = self.row();
        if let Self::SignIn(_, to) = &self {
            return redirect(to, row.error);
        }
        if let Self::Elsewhere = &self {
            let location = exchange.site.at(exchange.path_and_query());
            let mut response = redirect(&Redirect { location, cookies: Vec::new() }, row.error);
            *response.status_mut() = row.status;
            return response;
        }
        let mut response = if exchange.reads_html { self.page(&row, ways) } else { self.for_scripts(&row, ways) };
        if let Some(wait) = row.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if row.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().extend(challenge(ways).map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
        }
        response
    }

    fn page(&self, row: &Row, ways: &Ways<'_>) -> Response<axum::body::Body> {
        let exchange = ways.exchange;
        let (id, again) = (exchange.id_text(), exchange.site.at(exchange.path_and_query()));
        let (sign_in, another) = (ways.sign_in(false), ways.sign_in(true));
        let lost_a_form = matches!(self, Self::SignInNeeded(_)) && !matches!(exchange.method, Method::GET | Method::HEAD);
        // What a form carried is gone, and is not sent again by itself.
        let tries_again = row.offers == Offer::TryAgain && exchange.method == Method::GET;
        let action = match row.offers {
            Offer::SignIn if lost_a_form => Action::Link { href: &sign_in, label: "Sign in and go back to the page" },
            Offer::SignIn => Action::Link { href: &sign_in, label: "Sign in" },
            Offer::AnotherAccount => Action::Link { href: &another, label: "Use another account" },
            Offer::TryAgain if tries_again => Action::Link { href: &again, label: "Try again" },
            Offer::TryAgain | Offer::Nothing => Action::None,
        };
        let text = if lost_a_form {
            "You are not signed in any more, so what you sent was not taken. Sign in, go back to the page, and send it again."
        } else {
            row.text
        };
        let named = if let Self::Denied(_, Some(account)) = self {
            format!("{text} You are signed in as {account}.")
        } else {
            text.to_owned()
        };
        let reloads = tries_again && exchange.asker == Asker::Navigation && exchange.tries < tries::MOST;
        let by_itself = format!(
            "{}?n={}&rd={}",
            ways.again,
            exchange.tries.saturating_add(1),
            byte_serialize(exchange.path_and_query().as_bytes()).collect::<String>()
        );
        let again = reloads.then(|| (tries::pause(exchange.tries), by_itself.as_str()));
        html(&Page { title: row.title, text: &named, action, again, request_id: &id }, row.status, row.error)
    }

    fn for_scripts(&self, row: &Row, ways: &Ways<'_>) -> Response<axum::body::Body> {
        let message = if matches!(self, Self::SignInNeeded(Reason::NoSession)) {
            "You are not signed in. Reload the page to sign in."
        } else if matches!(self, Self::SignInNeeded(_)) {
            "Your session has ended. Reload the page to sign in again."
        } else {
            row.text
        };
        let mut body = serde_json::json!({ "error": row.error, "message": message, "request_id": ways.exchange.id_text() });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.reason().map(|reason| ("reason".to_owned(), reason.into())));
            let signs_in = matches!(row.offers, Offer::SignIn | Offer::AnotherAccount);
            members.extend(signs_in.then(|| ("login_url".to_owned(), ways.start.as_str().into())));
        }
        json(&body, row.status, row.error)
    }
}

/// How one signs in here (RFC 9110 section 15.5.2 demands that a 401 says it): by a cookie, which a login brings. No registered
/// scheme means that, and any of those would make some clients ask for a password or send a token.
fn challenge(ways: &Ways<'_>) -> Option<HeaderValue> {
    let (start, cookie) = (&ways.start, ways.cookies.session());
    HeaderValue::try_from(format!("Cookie realm=\"Evergate\", form-action=\"{start}\", cookie-name=\"{cookie}\"")).ok()
}

/// Lets scripts of an allowed origin read the answer, as they may read the app's (Fetch section 3.2): else a 401 is no more to them
/// than a failure.
pub(in crate::gateway) fn let_read(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    let exposed = HeaderValue::from_static("evergate-answer, retry-after, www-authenticate");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// A page of ours.
pub(in crate::gateway) fn html(page: &Page<'_>, status: StatusCode, mark: &'static str) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::from(page.html()));
    *response.status_mut() = status;
    own_headers(response.headers_mut(), mark);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::try_from(content_security_policy()) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A JSON answer of ours.
pub(in crate::gateway) fn json(body: &serde_json::Value, status: StatusCode, mark: &'static str) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::from(body.to_string()));
    *response.status_mut() = status;
    own_headers(response.headers_mut(), mark);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
