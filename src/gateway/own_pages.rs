//! Our own pages, under the prefix: `start`, `callback`, `again`, `sign_out`, `signed_out`, `backchannel_logout`, `userinfo`, `healthz`, `readyz`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{RawQuery, State},
    routing::{any, get, post},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;
use tower_cookies::{Cookie, CookieManagerLayer, Cookies as Jar};

use super::{
    Gateway,
    admission::{Inquiry, NotAdmitted},
    exchange::{Exchange, is_no_page},
    redirect,
    refusal::{Refusal, Ways, html, json as json_answer},
    tries,
};
use crate::{
    oidc::{Provider, ProviderError},
    pages::{Action, Page},
    renewal::ClientStanding,
    session::SessionHash,
    sign_in::{At, Failed, Purpose, Redirect, return_from, return_to::ReturnTo},
    sign_out::{By, Wish, wish},
    store::{Condition, Store, StoreError},
    telemetry::logs::causes,
    tls::{CertificateState, Showing},
};

/// What readiness is told from.
#[derive(Clone, Debug)]
pub struct Health {
    /// Must take writes.
    pub store: Store,
    /// Its state is shown; sessions are served without it.
    pub provider: Arc<Provider>,
    /// What clients find of them is shown, where TLS is spoken here.
    pub certificates: Option<Arc<Showing>>,
    /// Set when we drain: unready first.
    pub draining: Arc<AtomicBool>,
}

/// What a handler works with. Made for each request, so that nothing travels beside it.
#[derive(Clone)]
struct Asked {
    gateway: Arc<Gateway>,
    exchange: Exchange,
}

/// Forms of ours hold one short field.
const LARGEST_FORM: usize = 16 * 1024;
const FORM_DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn answer(
    gateway: &Arc<Gateway>,
    exchange: &Exchange,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let prefix = gateway.settings.prefix.as_str();
    let pages = Router::new()
        .route("/start", get(start))
        .route("/callback", get(callback))
        .route("/again", get(again))
        .route("/sign_out", any(sign_out))
        .route("/signed_out", get(signed_out))
        .route("/backchannel_logout", post(backchannel_logout))
        .route("/userinfo", get(userinfo))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(|State(asked): State<Asked>| async move { asked.refuse(Refusal::NoSuchPage) })
        .method_not_allowed_fallback(|State(asked): State<Asked>| async move { asked.refuse(Refusal::MethodNotAllowed) })
        .layer(CookieManagerLayer::new());
    let asked = Asked { gateway: Arc::clone(gateway), exchange: exchange.clone() };
    let mut router = if prefix.is_empty() { pages } else { Router::new().nest(prefix, pages) }.with_state(asked);
    match tower_service::Service::call(&mut router, request.map(Body::new)).await {
        Ok(response) => Ok(response),
        Err(infallible) => match infallible {},
    }
}

impl Asked {
    fn refuse(&self, refusal: Refusal) -> Response<Body> {
        self.refuse_back_to(None, refusal)
    }

    /// Refuses, and lets a login that is begun from here lead to `return_to`.
    fn refuse_back_to(&self, return_to: Option<ReturnTo>, refusal: Refusal) -> Response<Body> {
        refusal.into_response(&Ways::of(&self.exchange, &self.gateway.settings, return_to))
    }

    /// Where the parameter `name` leads, if we would serve it.
    fn return_from(&self, query: &str, name: &str) -> Option<ReturnTo> {
        let site = &self.exchange.site;
        let return_to = return_from(query, name, site)?;
        let path = return_to.path().split('?').next().unwrap_or_default();
        let is_served = self.gateway.settings.routes.find(site.authority(), path).is_ok();
        Some(if is_served { return_to } else { ReturnTo::front_page() })
    }

    /// What becomes of a browser whose login came to nothing.
    async fn after_failed_login(&self, failed: Failed, headers: &HeaderMap) -> Response<Body> {
        // Who went back in the history, or finished in another tab, is signed in all the same; and only who would be let
        // pass, or they would come round again.
        let inquiry = Inquiry::about_the_visitor(&self.exchange, headers, &self.gateway.everybody);
        if failed.is_of_another_attempt() && self.gateway.admit(inquiry).await.is_ok() {
            let location = self.exchange.site.at(failed.return_to.as_ref().map_or("/", ReturnTo::path));
            return redirect(&Redirect { location, cookies: Vec::new() }, "signed_in");
        }
        if let Some(again) = self.gateway.sign_in.begin_again(&failed, &self.exchange.site, headers).await {
            tracing::info!(request.id = self.exchange.id_text(), error = causes(&failed.error), "a login begins again");
            return redirect(&again, "sign_in");
        }
        self.refuse_back_to(failed.return_to, failed.error.into())
    }

    /// The end of a logout: the page that was asked for, or one that says so. Never the app's front page by itself,
    /// which would begin the next login.
    fn after_sign_out(&self, return_to: Option<&ReturnTo>) -> Response<Body> {
        if let Some(return_to) = return_to {
            let location = self.exchange.site.at(return_to.path());
            return redirect(&Redirect { location, cookies: Vec::new() }, "signed_out");
        }
        let (href, id) = (format!("{}/start", self.gateway.settings.prefix), self.exchange.id_text());
        let action = Action::Link { href: &href, label: "Sign in again" };
        let text = "You are signed out of this service.";
        self.page(&Page { title: "Signed out", text, action, again: None, request_id: &id }, "signed_out")
    }

    /// A page with a button that signs out.
    fn sign_out_page(&self, (title, text): (&str, &str), by: By, return_to: Option<&ReturnTo>) -> Response<Body> {
        let everywhere = if by == By::UserEverywhere { "?everywhere=true" } else { "" };
        let (rd, id) = (return_to.map_or("", ReturnTo::path), self.exchange.id_text());
        let href = format!("{}/sign_out{everywhere}", self.gateway.settings.prefix);
        let action = Action::Post { href: &href, label: "Sign out", field: ("rd", rd), instead: ("/", "Stay signed in") };
        let mut response = self.page(&Page { title, text, action, again: None, request_id: &id }, "sign_out");
        // Without a referrer browsers send no origin either, and the button's own post would look like a stranger's.
        response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }

    /// The session may live on: its user must know, and can try again.
    fn not_signed_out(&self, error: StoreError, by: By, return_to: Option<&ReturnTo>) -> Response<Body> {
        if !self.exchange.reads_html {
            return self.refuse(error.into());
        }
        tracing::warn!(request.id = self.exchange.id_text(), error = causes(&error), "a session could not be ended");
        let text = "The service cannot end your session right now: you are not signed out yet. Please try again shortly.";
        let mut response = self.sign_out_page(("Not signed out", text), by, return_to);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }

    fn page(&self, page: &Page<'_>, mark: &'static str) -> Response<Body> {
        html(page, StatusCode::OK, mark)
    }
}

/// Begins a login by hand; `rd` says where it leads, and `another=true` that it is to be with another account.
async fn start(State(asked): State<Asked>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response<Body> {
    let (sign_in, query) = (&asked.gateway.sign_in, query.as_deref().unwrap_or_default());
    if is_no_page(&headers) {
        return asked.refuse(Refusal::NoPage);
    }
    let return_to = asked.return_from(query, "rd").unwrap_or_else(ReturnTo::front_page);
    let another = url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "another" && value == "true");
    let purpose = if another { Purpose::AnotherAccount } else { Purpose::Login };
    match sign_in.begin(&asked.exchange.site, &return_to, &headers, purpose).await {
        Ok(to) => redirect(&to, "sign_in"),
        Err(error) => asked.refuse_back_to(Some(return_to), Refusal::ProviderUnavailable(error)),
    }
}

/// Where the provider sends the browser back to.
async fn callback(State(asked): State<Asked>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response<Body> {
    let (sign_in, query) = (&asked.gateway.sign_in, query.as_deref().unwrap_or_default());
    if is_no_page(&headers) {
        return asked.refuse(Refusal::NoPage);
    }
    let came_back = sign_in.came_back(query, &headers);
    let at = At { site: &asked.exchange.site, headers: &headers, client: asked.exchange.origin.client };
    let mut response = match sign_in.complete(at, query).await {
        Ok(to) => {
            asked.gateway.visitors.forget(&headers);
            redirect(&to, "signed_in")
        }
        Err(failed) => asked.after_failed_login(failed, &headers).await,
    };
    // After the others, of which one may say that it was sent there.
    if let Some(cookie) = came_back {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Leads back to a page of a failure that tries again by itself, and counts.
async fn again(State(asked): State<Asked>, RawQuery(query): RawQuery) -> Response<Body> {
    let query = query.as_deref().unwrap_or_default();
    let number = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "n");
    let tries = number.and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
    let return_to = return_from(query, "rd", &asked.exchange.site).unwrap_or_else(ReturnTo::front_page);
    let cookies = tries::cookie(&asked.gateway.settings.cookies, tries).into_iter().collect();
    redirect(&Redirect { location: asked.exchange.site.at(return_to.path()), cookies }, "again")
}

/// Ends the session, at once when our own pages ask and after a question when anybody else does.
async fn sign_out(
    State(asked): State<Asked>,
    method: Method,
    jar: Jar,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response<Body> {
    let gateway = &asked.gateway;
    if !matches!(method, Method::GET | Method::POST) {
        return asked.refuse(Refusal::MethodNotAllowed);
    }
    let access = &*asked.exchange.site;
    // Nobody needs long for a form of one field.
    let Ok(Ok(form)) = tokio::time::timeout(FORM_DEADLINE, axum::body::to_bytes(request.into_body(), LARGEST_FORM)).await else {
        return asked.refuse(Refusal::BadRequest("the form is too large, too slow, or broke off"));
    };
    let form = String::from_utf8_lossy(&form);
    let query = query.as_deref().unwrap_or_default();
    let return_to = asked.return_from(&form, "rd").or_else(|| asked.return_from(query, "rd"));
    let everywhere = url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "everywhere" && value == "true");
    let by = if everywhere { By::UserEverywhere } else { By::User };
    if wish(&method, &headers, access) == Wish::Doubtful {
        let text = match by {
            By::UserEverywhere => "You will be signed out of this service in all your browsers.",
            By::User | By::Administrator | By::Provider => "You will be signed out of this service.",
        };
        return asked.sign_out_page(("Sign out?", text), by, return_to.as_ref());
    }
    let end_session = match gateway.sign_in.cookies.session_value(&headers) {
        Some(value) => {
            match gateway.sign_out.end(SessionHash::of(value), by, access, return_to.as_ref().map(ReturnTo::path)).await {
                Ok(end_session) => end_session,
                Err(error) => return asked.not_signed_out(error, by, return_to.as_ref()),
            }
        }
        // Who has no session here may have one there all the same, as the wrong account that was refused.
        None => gateway.sign_out.at_provider(access, return_to.as_ref().map(ReturnTo::path)),
    };
    let name = gateway.settings.cookies.session().to_owned();
    let mut cookie = Cookie::build((name, ""))
        .path("/")
        .http_only(true)
        .same_site(tower_cookies::cookie::SameSite::Lax)
        .secure(access.is_https())
        .build();
    cookie.make_removal();
    jar.add(cookie);
    // Who signs out and in again has made a click.
    let rounds = gateway.settings.cookies.clear(gateway.settings.cookies.rounds());
    let mut response = match end_session {
        Some(provider) => redirect(&Redirect { location: provider.into(), cookies: Vec::new() }, "signed_out"),
        None => asked.after_sign_out(return_to.as_ref()),
    };
    response.headers_mut().extend(rounds.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

/// Where the provider sends a browser that has logged out there. One fixed address, because providers compare it with
/// what is registered; where the visitor wanted to go comes back in `state`, which
/// leads nowhere unless it is ours.
async fn signed_out(State(asked): State<Asked>, RawQuery(query): RawQuery) -> Response<Body> {
    let query = query.as_deref().unwrap_or_default();
    let state = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "state");
    let to = state.and_then(|(_, state)| asked.gateway.sign_out.destination(&state));
    let return_to = to.map(|to| ReturnTo::parse(&to, &asked.exchange.site));
    asked.after_sign_out(return_to.as_ref())
}

/// Where the provider itself says that somebody has logged out there (OIDC Back-Channel Logout 1.0 section 2.5). It gets 200
/// once their sessions have ended, 400 for a token that is not to be believed, and 503 when it should come again.
async fn backchannel_logout(State(asked): State<Asked>, request: Request<Body>) -> Response<Body> {
    let Ok(Ok(form)) = tokio::time::timeout(FORM_DEADLINE, axum::body::to_bytes(request.into_body(), LARGEST_FORM)).await else {
        return asked.refuse(Refusal::BadRequest("the form is too large, too slow, or broke off"));
    };
    let mut tokens = url::form_urlencoded::parse(&form).filter(|(name, _)| name == "logout_token");
    let (Some((_, token)), None) = (tokens.next(), tokens.next()) else {
        return asked.refuse(Refusal::BadRequest("there is not one logout_token"));
    };
    let token = match asked.gateway.sign_out.provider.logged_out(&token).await {
        Ok(token) => token,
        Err(ProviderError::LogoutToken(error)) => return asked.refuse(Refusal::LogoutToken(error)),
        Err(error) => return asked.refuse(Refusal::ProviderUnavailable(error)),
    };
    match asked.gateway.sign_out.end_by_provider(&token).await {
        Ok(()) => json_answer(&json!({}), StatusCode::OK, "logged_out"),
        Err(error) => asked.refuse(error.into()),
    }
}

/// Who the visitor is, for the app's scripts. Never a token. Whoever would be refused by the app's pages is refused here, for
/// the same reason; and who asks is a script, so that nobody is sent to log in.
async fn userinfo(State(asked): State<Asked>, headers: HeaderMap) -> Response<Body> {
    let gateway = &asked.gateway;
    let inquiry = Inquiry::about_the_visitor(&asked.exchange, &headers, &gateway.everybody);
    let kept = match gateway.admit(inquiry).await {
        Ok(admitted) => admitted.kept,
        Err(NotAdmitted::SignIn(reason, _)) => return asked.refuse(Refusal::SignInNeeded(reason)),
        Err(NotAdmitted::Refused(refusal)) => return asked.refuse(refusal),
    };
    let grant = &kept.grant;
    let body = json!({
        "user": grant.identity.subject,
        "email": grant.identity.email,
        "preferredUsername": grant.identity.username,
        "groups": grant.identity.groups,
        "accessTokenExpiresAt": grant.expires_at.seconds(),
        "renewedAt": grant.renewed_at.seconds(),
        "renewals": grant.generation,
        "renewable": grant.has_refresh_token,
    });
    json_answer(&body, StatusCode::OK, "userinfo")
}

/// Alive: the process answers.
async fn healthz() -> Response<Body> {
    text(StatusCode::OK, "ok\n")
}

/// Ready: sessions can be served. The rest is told and does not decide: without the provider nobody who is signed in needs to
/// notice, and whoever is not served because of a certificate or a rule would not be by another replica either.
async fn readyz(State(asked): State<Asked>) -> Response<Body> {
    let health = &asked.gateway.health;
    let draining = health.draining.load(Ordering::Acquire);
    let store = health.store.condition();
    let ready = store == Condition::Writable && !draining;
    let (provider, settings) = (&health.provider, &asked.gateway.settings);
    let body = json!({
        "ready": ready,
        "draining": draining,
        "store": match store {
            Condition::Writable => "ok",
            Condition::ReadOnly => "read_only",
            Condition::Away => "unavailable",
        },
        "missing_keys": health.store.missing_keys().iter().map(|under| (under.key.to_string(), under.grants.into()))
            .collect::<serde_json::Map<_, _>>(),
        "provider": if provider.is_ready() { "ok" } else { "not_reached" },
        "provider_error": match (provider.is_ready(), provider.is_misconfigured()) {
            (true, _) if provider.is_missing_an_endpoint() => Some("endpoint_not_found"),
            (true, _) => None,
            (false, true) => Some("configuration"),
            (false, false) => Some("unreachable"),
        },
        "refresh_token": if asked.gateway.sign_in.refresh_tokens.are_missing() { "not_issued" } else { "ok" },
        "client": match asked.gateway.renewer.client_standing() {
            ClientStanding::Accepted => "ok",
            ClientStanding::Refused => "refused",
            ClientStanding::Unknown => "unknown",
        },
        "certificate": health.certificates.as_ref().map(|shown| match shown.certificate_state() {
            CertificateState::Good => "ok",
            CertificateState::WrongName => "wrong_name",
            CertificateState::NotYetValid(_) => "not_yet_valid",
            CertificateState::Expired(_) => "expired",
        }),
        "access_url": if settings.serves_tls && !settings.sites.main().is_https() { "plain_http" } else { "ok" },
        "groups": if settings.lacks_group_claim { "no_claim" } else { "ok" },
    });
    json_answer(&body, if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, "readyz")
}

fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    super::own_headers(response.headers_mut(), "healthz");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
