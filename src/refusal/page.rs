//! The page that a person sees of a refusal.

use std::borrow::Cow;

use http::{HeaderValue, Method, Response, StatusCode, header};
use url::form_urlencoded::byte_serialize;

use super::{
    Refusal,
    links::Links,
    response::{Popups, document, html, sandboxed},
    row::{Offer, Row},
};
use crate::{
    exchange::{MAX_AUTO_RETRIES, RequestKind, auto_retry_delay},
    language::Language,
    pages::{self, Action, Look, Message, Page, Text},
    sign_in::CallbackError,
};

impl Refusal {
    /// The page of this row.
    pub(super) fn page(&self, row: &Row, links: &Links<'_>) -> Response<axum::body::Body> {
        let exchange = links.exchange;
        let look = links.own.look(exchange);
        if exchange.is_in_frame && matches!(self, Self::SignInNeeded(_)) && exchange.method == Method::GET {
            return in_frame(row.status, row.error, links, &look);
        }
        if matches!(self, Self::Unreadable(_)) {
            return in_every_language(row, &look);
        }
        if row.offers == Offer::OwnWindow {
            return in_own_window(row, links, &look);
        }
        let again = exchange.site.at(exchange.path_and_query());
        let lost_a_form = matches!(self, Self::SignInNeeded(_)) && !matches!(exchange.method, Method::GET | Method::HEAD);
        // What a form carried is gone, and is not sent again by itself.
        let tries_again = row.offers == Offer::TryAgain && exchange.method == Method::GET;
        let (href, label) = match row.offers {
            Offer::SignIn if lost_a_form && links.leads_back() => (links.sign_in(false), look.text(Text::SignInAndGoBack)),
            Offer::SignIn => (links.sign_in(false), look.sign_in_label(Text::SignIn)),
            Offer::AnotherAccount => (links.sign_in(true), look.text(Text::AnotherAccount)),
            Offer::OtherProvider => (links.sign_in(false), look.text(Text::SignInThere)),
            Offer::TryAgain if tries_again => (again, look.text(Text::TryAgain)),
            Offer::LoadAgain => (again, look.text(Text::LoadAgain)),
            Offer::FrontPage => front_page(links, &look),
            Offer::TryAgain | Offer::OwnWindow | Offer::Nothing => Default::default(),
        };
        let action = if href.is_empty() { Action::None } else { Action::Link { href: &href, label: &label } };
        let (title, text) = look.message(if lost_a_form { Message::FormLost } else { row.message });
        let text = [text.to_owned()].into_iter().chain(self.more(&look)).collect::<Vec<_>>().join(" ");
        let reloads = tries_again && exchange.kind == RequestKind::PageNavigation && exchange.auto_retries < MAX_AUTO_RETRIES;
        let by_itself = format!(
            "{}?n={}&rd={}",
            links.again,
            exchange.auto_retries.saturating_add(1),
            byte_serialize(exchange.path_and_query().as_bytes()).collect::<String>()
        );
        let again = reloads.then(|| (auto_retry_delay(exchange.auto_retries), by_itself.as_str()));
        let mut response = html(&Page { title, text: &text, action, again, look: &look }, row.status, row.error);
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, look.branding.links_policy().clone());
        response
    }

    /// What the page says besides the row's text.
    fn more(&self, look: &Look<'_>) -> Vec<String> {
        let mut more = Vec::new();
        if let Self::Denied(_, Some(account)) = self {
            more.push(look.text(Text::SignedInAs(account)).into_owned());
        }
        // No session was made.
        if let Self::Callback(CallbackError::Denied(_, account)) = self {
            more.push(look.text(Text::KnownAs(account)).into_owned());
        }
        if let Self::Denied(denied, _) | Self::Callback(CallbackError::Denied(denied, _)) = self
            && denied.is_about_the_user()
        {
            more.extend(look.branding.brand.denied_text.clone());
        }
        if let Self::Callback(CallbackError::Refused { code, .. }) = self
            && let Some((code, hint)) = known(code)
        {
            more.extend([Text::ProviderCode(code), hint].map(|text| look.text(text).into_owned()));
        }
        more
    }
}

/// The `error` codes of providers that are shown, and what may be wrong then (RFC 6749 section 4.1.2.1, OpenID Connect Core 1.0
/// section 3.1.2.6). Another one is in the log alone: whoever writes a callback's address chooses it.
fn known(code: &str) -> Option<(&'static str, Text<'static>)> {
    Some(match code {
        "invalid_request" => ("invalid_request", Text::HintRequest),
        "invalid_request_object" => ("invalid_request_object", Text::HintRequest),
        "invalid_request_uri" => ("invalid_request_uri", Text::HintRequest),
        "unauthorized_client" => ("unauthorized_client", Text::HintClient),
        "unsupported_response_type" => ("unsupported_response_type", Text::HintClient),
        "invalid_scope" => ("invalid_scope", Text::HintScopes),
        "server_error" => ("server_error", Text::HintProvider),
        "temporarily_unavailable" => ("temporarily_unavailable", Text::HintProvider),
        "login_required" => ("login_required", Text::HintInteraction),
        "consent_required" => ("consent_required", Text::HintInteraction),
        "interaction_required" => ("interaction_required", Text::HintInteraction),
        "account_selection_required" => ("account_selection_required", Text::HintInteraction),
        _ => return None,
    })
}

/// The page from which somebody goes on who has come to none, unless it is this one.
fn front_page<'a>(links: &Links<'_>, look: &Look<'a>) -> (String, Cow<'a, str>) {
    let (path, label) = match look.branding.brand.has_portal {
        true => (format!("{}/", links.own.prefix), Text::Apps),
        false => ("/".to_owned(), Text::FrontPage),
    };
    if links.exchange.raw_path() == path { Default::default() } else { (path, look.text(label)) }
}

/// The page within a frame, in which providers show no login: it opens one in a new window. It can be framed by anybody, as all that
/// it does is what a link of anybody's does.
fn in_frame(status: StatusCode, mark: &'static str, links: &Links<'_>, look: &Look<'_>) -> Response<axum::body::Body> {
    let (title, text) = look.message(Message::SignInFrame);
    let again = links.exchange.site.at(links.exchange.path_and_query());
    let (open, reload) = (look.text(Text::SignInInNewWindow), look.text(Text::TryAgain));
    let action = Action::NewWindow { opens: (&links.in_new_window(), &open), then: (&again, &reload) };
    let mut response = html(&Page { title, text, action, again: None, look }, status, mark);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, look.branding.frame_policy().clone());
    response
}

/// The page that a service worker reads in place of one with a secret. It is in a sandbox, and so is the window that it opens, in which no
/// service worker sees the pages.
fn in_own_window(row: &Row, links: &Links<'_>, look: &Look<'_>) -> Response<axum::body::Body> {
    let (title, text) = look.message(row.message);
    let again = links.exchange.site.at(links.exchange.path_and_query());
    let (open, front) = (look.text(Text::OpenInNewWindow), look.text(Text::FrontPage));
    let action = Action::NewWindow { opens: (&again, &open), then: ("/", &front) };
    sandboxed(html(&Page { title, text, action, again: None, look }, row.status, row.error), Popups::Sandboxed)
}

/// The page of a request of which nothing is known, not even what its user reads.
fn in_every_language(row: &Row, look: &Look<'_>) -> Response<axum::body::Body> {
    let mut response = document(pages::in_every_language(row.message, look), look, row.status, row.error);
    let all = Language::ALL.map(Language::tag).join(", ");
    if let Ok(all) = HeaderValue::try_from(all) {
        response.headers_mut().insert(header::CONTENT_LANGUAGE, all);
    }
    response
}
