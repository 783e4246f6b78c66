//! Every way in which a request is not served, and the one table that says what the client sees of it. The
//! client gets fixed text and a request id; the cause goes to the log.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};

use super::{exchange::Exchange, own_headers, redirect, visitor::Reason};
use crate::{
    forward::ForwardError,
    oidc::{ProviderError, VerifyError},
    pages::{Action, Page, content_security_policy},
    policy::Denied,
    sign_in::{CallbackError, Redirect},
    store::StoreError,
    telemetry::logs::causes,
};

/// Why a request is not served.
#[derive(Debug)]
pub(super) enum Refusal {
    BadRequest(&'static str),
    /// The server cannot read it, and says this status of it.
    Unreadable(u16),
    HeadTooLarge,
    Misdirected,
    Elsewhere,
    MethodNotAllowed,
    NoSuchPage,
    SignIn(Reason, Redirect),
    SignInNeeded(Reason),
    SignInDoesNotLast(Reason),
    LogoutToken(VerifyError),
    Denied(Denied),
    StoreUnavailable(StoreError),
    RenewalUnavailable(Duration),
    ProviderUnavailable(ProviderError),
    Callback(CallbackError),
    Upstream(ForwardError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(error)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<ForwardError> for Refusal {
    fn from(error: ForwardError) -> Self {
        Self::Upstream(error)
    }
}

impl From<CallbackError> for Refusal {
    fn from(error: CallbackError) -> Self {
        match error {
            CallbackError::Store(error) => Self::StoreUnavailable(error),
            CallbackError::Denied(denied) => Self::Denied(denied),
            other @ (CallbackError::Parameters(_)
            | CallbackError::UnknownAttempt(_)
            | CallbackError::Issuer
            | CallbackError::Refused(_)
            | CallbackError::Declined
            | CallbackError::Busy
            | CallbackError::Provider(_)) => Self::Callback(other),
        }
    }
}

/// What the client sees.
struct Row {
    status: StatusCode,
    /// `error` of the JSON, and the mark in the header.
    error: &'static str,
    title: &'static str,
    text: &'static str,
    retry_after: Option<Duration>,
    /// Whether signing in (again) may help.
    offers_sign_in: bool,
}

const SOON: Option<Duration> = Some(Duration::from_secs(2));

impl Refusal {
    fn row(&self) -> Row {
        let row = |status, error, title, text| Row { status, error, title, text, retry_after: None, offers_sign_in: false };
        match self {
            Self::HeadTooLarge | Self::Unreadable(431) => row(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "Request too large",
                "The header of the request is larger than it may be.",
            ),
            Self::Unreadable(414) => {
                row(StatusCode::URI_TOO_LONG, "target_too_long", "Address too long", "The address is longer than it may be.")
            }
            Self::BadRequest(_) | Self::Unreadable(_) => {
                row(StatusCode::BAD_REQUEST, "bad_request", "Bad request", "The request is malformed.")
            }
            Self::Misdirected => row(
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                "Wrong address",
                "This service is not known by the address that was asked for. Its administrator sets the address with CODER_ACCESS_URL.",
            ),
            Self::Elsewhere => row(StatusCode::PERMANENT_REDIRECT, "elsewhere", "Elsewhere", "This service has another address."),
            Self::MethodNotAllowed => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This method is not allowed here.",
            ),
            Self::NoSuchPage => row(StatusCode::NOT_FOUND, "not_found", "Not found", "There is no such page."),
            Self::SignIn(_, _) => row(StatusCode::SEE_OTHER, "sign_in", "Sign in", ""),
            Self::SignInNeeded(_) => Row {
                offers_sign_in: true,
                ..row(StatusCode::UNAUTHORIZED, "sign_in_required", "Sign in", "You need to sign in to see this page.")
            },
            Self::SignInDoesNotLast(_) => Row {
                offers_sign_in: true,
                ..row(
                    StatusCode::BAD_GATEWAY,
                    "sign_in_does_not_last",
                    "Sign-in does not last",
                    "The sign-in service signed you in, and ended it at once. Please try again; if it happens again, tell whoever runs this service.",
                )
            },
            Self::LogoutToken(_) => {
                row(StatusCode::BAD_REQUEST, "invalid_request", "Bad request", "The logout token is not acceptable.")
            }
            Self::Denied(Denied::Method) => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This method is not allowed here.",
            ),
            Self::Denied(Denied::CrossOrigin | Denied::EmailDomain | Denied::Group) => Row {
                offers_sign_in: true,
                ..row(
                    StatusCode::FORBIDDEN,
                    "access_denied",
                    "No access",
                    "Your account may not use this service. If you have another account, sign in with that one.",
                )
            },
            Self::StoreUnavailable(_) => Row {
                retry_after: SOON,
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_unavailable",
                    "Just a moment",
                    "The service cannot look up sessions right now. You are still signed in; please try again shortly.",
                )
            },
            Self::RenewalUnavailable(wait) => Row {
                retry_after: Some(*wait),
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "renewal_unavailable",
                    "Just a moment",
                    "The sign-in service does not answer right now. You are still signed in; please try again shortly.",
                )
            },
            Self::ProviderUnavailable(_) => Row {
                retry_after: SOON,
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "provider_unavailable",
                    "Just a moment",
                    "The sign-in service does not answer right now. Please try again shortly.",
                )
            },
            Self::Callback(error) => Row { offers_sign_in: true, ..callback_row(error, row) },
            Self::Upstream(ForwardError::Unreachable(_)) => Row {
                retry_after: SOON,
                ..row(
                    StatusCode::BAD_GATEWAY,
                    "upstream_unreachable",
                    "The application is not running",
                    "The application behind this gateway cannot be reached. Please try again shortly.",
                )
            },
            Self::Upstream(
                ForwardError::Broken(_) | ForwardError::Reset(_) | ForwardError::Unasked | ForwardError::NoUpstream,
            ) => row(
                StatusCode::BAD_GATEWAY,
                "upstream_broken",
                "The application failed",
                "The application broke off before it answered.",
            ),
            Self::Upstream(ForwardError::Incomplete(_)) => row(
                StatusCode::REQUEST_TIMEOUT,
                "request_incomplete",
                "The request broke off",
                "The rest of the request did not come, or was not wanted any more.",
            ),
            Self::Upstream(ForwardError::Busy) => Row {
                retry_after: SOON,
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "upstream_busy",
                    "The application is busy",
                    "The application behind this gateway has as much to do as it may have. Please try again shortly.",
                )
            },
            Self::Upstream(ForwardError::TimedOut) => row(
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timed_out",
                "The application is too slow",
                "The application did not answer in time.",
            ),
            Self::Upstream(ForwardError::Target(_)) => {
                row(StatusCode::BAD_REQUEST, "bad_request", "Bad request", "The request is malformed.")
            }
        }
    }

    /// `reason` of the JSON: only for what the client can act on.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::SignIn(reason, _) | Self::SignInNeeded(reason) | Self::SignInDoesNotLast(reason) => Some(reason.as_str()),
            Self::BadRequest(_)
            | Self::Unreadable(_)
            | Self::HeadTooLarge
            | Self::Misdirected
            | Self::Elsewhere
            | Self::MethodNotAllowed
            | Self::NoSuchPage
            | Self::LogoutToken(_)
            | Self::Denied(_)
            | Self::StoreUnavailable(_)
            | Self::RenewalUnavailable(_)
            | Self::ProviderUnavailable(_)
            | Self::Callback(_)
            | Self::Upstream(_) => None,
        }
    }

    /// The cause, once, where it is handled.
    fn log(&self, exchange: &Exchange) {
        let id = exchange.id_text();
        match self {
            Self::SignIn(reason, _) | Self::SignInNeeded(reason) => {
                tracing::debug!(request.id = id, reason = reason.as_str(), "sign-in needed")
            }
            Self::SignInDoesNotLast(reason) => {
                tracing::error!(request.id = id, reason = reason.as_str(), "a grant ended as soon as it was obtained")
            }
            Self::LogoutToken(error) => tracing::warn!(request.id = id, %error, "a logout token was refused"),
            Self::Misdirected => tracing::info!(
                request.id = id,
                http.host = exchange.origin.host,
                "a request names another host than CODER_ACCESS_URL"
            ),
            Self::BadRequest(why) => tracing::debug!(request.id = id, why, "bad request"),
            Self::Unreadable(status) => tracing::debug!(request.id = id, status, "a request that cannot be read"),
            Self::HeadTooLarge => tracing::debug!(request.id = id, "a request with too large a head"),
            Self::MethodNotAllowed | Self::NoSuchPage | Self::Elsewhere => {}
            Self::Denied(denied) => tracing::info!(request.id = id, %denied, "access denied"),
            Self::StoreUnavailable(error) => {
                tracing::error!(request.id = id, error = causes(error), "the store failed a request")
            }
            Self::RenewalUnavailable(wait) => {
                tracing::debug!(request.id = id, retry.seconds = wait.as_secs(), "a renewal is due and the provider is away")
            }
            Self::ProviderUnavailable(error) => tracing::warn!(request.id = id, error = causes(error), "a login cannot begin"),
            Self::Callback(error) => tracing::warn!(request.id = id, error = causes(error), "a login failed"),
            Self::Upstream(error) => tracing::warn!(request.id = id, error = causes(error), "the upstream failed a request"),
        }
    }

    /// Logs the cause and makes the answer.
    pub(super) fn into_response(self, exchange: &Exchange, login_url: &str) -> Response<axum::body::Body> {
        self.log(exchange);
        let row = self.row();
        let reason = self.reason();
        if let Self::SignIn(_, to) = &self {
            return redirect(to, row.error);
        }
        if let Self::Elsewhere = &self {
            let location = exchange.site.at(exchange.path_and_query());
            let mut response = redirect(&Redirect { location, cookies: Vec::new() }, row.error);
            *response.status_mut() = row.status;
            return response;
        }
        let id = exchange.id_text();
        let mut response = if exchange.reads_html {
            let action = if row.offers_sign_in { Action::Link { href: login_url, label: "Sign in" } } else { Action::None };
            html(&Page { title: row.title, text: row.text, action, request_id: &id }, row.status, row.error)
        } else {
            let mut body = serde_json::json!({ "error": row.error, "message": row.text, "request_id": id });
            if let Some(members) = body.as_object_mut() {
                members.extend(reason.map(|reason| ("reason".to_owned(), reason.into())));
                members.extend(row.offers_sign_in.then(|| ("login_url".to_owned(), login_url.into())));
            }
            json(&body, row.status, row.error)
        };
        if let Some(wait) = row.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}

fn callback_row(error: &CallbackError, row: impl Fn(StatusCode, &'static str, &'static str, &'static str) -> Row) -> Row {
    match error {
        CallbackError::Parameters(_) => {
            row(StatusCode::BAD_REQUEST, "bad_callback", "Sign-in failed", "The answer of the sign-in service is incomplete.")
        }
        CallbackError::UnknownAttempt(_) => row(
            StatusCode::BAD_REQUEST,
            "unknown_login_attempt",
            "Sign-in expired",
            "This sign-in was begun in another browser, too long ago, or has been completed already. Please begin again.",
        ),
        CallbackError::Issuer => row(
            StatusCode::FORBIDDEN,
            "wrong_issuer",
            "Sign-in failed",
            "The answer does not come from this service's sign-in service.",
        ),
        CallbackError::Declined => {
            row(StatusCode::FORBIDDEN, "login_declined", "Sign-in declined", "The sign-in was declined. You can try again.")
        }
        CallbackError::Refused(_) => {
            row(StatusCode::BAD_GATEWAY, "login_refused", "Sign-in failed", "The sign-in service reported an error.")
        }
        CallbackError::Busy => Row {
            retry_after: SOON,
            ..row(
                StatusCode::SERVICE_UNAVAILABLE,
                "login_busy",
                "Just a moment",
                "Many people sign in right now. Please reload this page.",
            )
        },
        CallbackError::Provider(error) => provider_row(error, row),
        CallbackError::Denied(_) | CallbackError::Store(_) => {
            row(StatusCode::FORBIDDEN, "access_denied", "No access", "Your account may not use this service.")
        }
    }
}

fn provider_row(error: &ProviderError, row: impl Fn(StatusCode, &'static str, &'static str, &'static str) -> Row) -> Row {
    match error {
        ProviderError::NotReady
        | ProviderError::Issuer
        | ProviderError::Discovery(_)
        | ProviderError::Metadata(_)
        | ProviderError::Keys(_)
        | ProviderError::Fetch(_)
        | ProviderError::Token(_)
        | ProviderError::UserInfo(_) => row(
            StatusCode::BAD_GATEWAY,
            "provider_error",
            "Sign-in failed",
            "The sign-in service could not complete the sign-in. Please try again.",
        ),
        ProviderError::IdToken(_) | ProviderError::NoIdToken | ProviderError::OtherSubject => row(
            StatusCode::FORBIDDEN,
            "identity_refused",
            "Sign-in failed",
            "The sign-in service's answer could not be verified.",
        ),
        ProviderError::Claims(_) => row(
            StatusCode::FORBIDDEN,
            "claims_refused",
            "No access",
            "Your account is missing something that this service needs, such as a verified e-mail address.",
        ),
    }
}

/// A page of ours.
pub(super) fn html(page: &Page<'_>, status: StatusCode, mark: &'static str) -> Response<axum::body::Body> {
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
pub(super) fn json(body: &serde_json::Value, status: StatusCode, mark: &'static str) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::from(body.to_string()));
    *response.status_mut() = status;
    own_headers(response.headers_mut(), mark);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
