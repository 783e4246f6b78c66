//! `start`, `callback` and `again`: a login's beginning and end, and the way back to a page that failed.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, header};
use hyper::body::Incoming;
use url::{
    Url,
    form_urlencoded::{self, Serializer},
};

use super::{Call, Endpoints, Refused, read_form};
use crate::{
    exchange::{auto_retry_cookie, is_not_a_page},
    refusal::{Refusal, response::redirect},
    sign_in::{FailedLogin, LoginBrowser, Redirect, return_from, return_to::ReturnTo},
    telemetry::logs::causes,
};

/// The longest `login_hint` that is passed on, in bytes.
const MAX_HINT_LEN: usize = 320;
/// The longest query that a form becomes, in bytes: what servers and browsers take in an address.
const MAX_QUERY_LEN: usize = 8 * 1024;

impl Endpoints {
    /// Begins a login by hand; `rd` says where it leads, and `another=true` that it is to be with another account. A third party,
    /// as a portal of a provider's, may begin it too (OpenID Connect Core section 4): `iss` must be that provider then,
    /// `target_link_uri` says where the login leads, and `login_hint` who the user is.
    pub(super) async fn start(&self, call: Call<'_>) -> Result<Response<Body>, Refused> {
        if self.is_not_a_page(call.headers) {
            return Err(Refusal::NavigationRequired.into());
        }
        if let Some(location) = self.start_elsewhere(&call) {
            return Ok(redirect(&Redirect::to(location), "sign_in"));
        }
        let target = call
            .return_to(call.query, &self.components)
            .or_else(|| call.page_named_by("target_link_uri", call.query, &self.components))
            .or_else(|| call.page_of_ingress(&self.components));
        self.begin(&call, target.unwrap_or_else(ReturnTo::front_page)).await
    }

    /// Where a login for a page of another site of ours begins: there, because sessions are a site's own. An ingress may send the
    /// browsers of all its hosts to one address (ingress-nginx's `auth-signin`).
    fn start_elsewhere(&self, call: &Call<'_>) -> Option<String> {
        let page = Url::parse(&call.parameter("rd")?).ok()?;
        let site = self.components.sign_ins.parts().sites.of_url(&page)?;
        let is_another = site.authority() != call.exchange.site.authority();
        let query = Serializer::new(String::new()).extend_pairs(form_urlencoded::parse(call.query.as_bytes())).finish();
        is_another.then(|| format!("{}?{query}", site.at(&format!("{}/start", self.components.prefix))))
    }

    /// Begins a login that a third party began with a form: by GET, because browsers send no Lax cookies with another site's form.
    pub(super) async fn start_by_form(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        if self.is_not_a_page(call.headers) {
            return Err(Refusal::NavigationRequired.into());
        }
        let form = read_form(body).await?;
        let known = |name: &str| matches!(name, "iss" | "provider" | "login_hint" | "target_link_uri" | "rd" | "another");
        let pairs = form_urlencoded::parse(&form).filter(|(name, _)| known(name));
        let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
        if query.len() > MAX_QUERY_LEN {
            return Err(Refusal::BadRequest("the form is too long for an address").into());
        }
        let location = format!("{}?{query}", call.exchange.site.at(&format!("{}/start", self.components.prefix)));
        Ok(redirect(&Redirect::to(location), "sign_in"))
    }

    /// Receives the browser that the provider sends back with a form (OAuth 2.0 Form Post Response Mode): the same response by GET,
    /// for the same reason.
    pub(super) async fn callback_by_form(
        &self,
        call: &Call<'_>,
        provider: &str,
        body: Incoming,
    ) -> Result<Response<Body>, Refused> {
        if self.is_not_a_page(call.headers) {
            return Err(Refusal::NavigationRequired.into());
        }
        let form = read_form(body).await?;
        let sign_in = self.components.sign_ins.named(provider).ok_or(Refusal::NoSuchPage)?;
        let location = sign_in.callback_of_form(&call.exchange.site, &form).map_err(Refusal::from)?;
        Ok(redirect(&Redirect::to(location), "callback"))
    }

    /// Receives the browser that the provider of this name sends back (RFC 6749 section 4.1.2), to the redirect URI that is its own.
    pub(super) async fn callback(&self, call: Call<'_>, provider: &str) -> Result<Response<Body>, Refused> {
        let (sign_ins, headers) = (&self.components.sign_ins, call.headers);
        let Some(sign_in) = sign_ins.named(provider) else {
            let again = match self.is_not_a_page(headers) {
                true => None,
                false => sign_ins.begin_after_rename(browser_of(&call), call.query).await,
            };
            return Ok(redirect(&again.ok_or(Refusal::NoSuchPage)?, "sign_in"));
        };
        if self.is_not_a_page(headers) {
            return Err(Refusal::NavigationRequired.into());
        }
        if let Some(location) = sign_in.callback_elsewhere(&call.exchange.site, call.query) {
            return Ok(redirect(&Redirect::to(location), "callback"));
        }
        let silent_attempt_returned = sign_in.record_returned_silent_attempt(call.query, headers);
        let mut result = match sign_in.complete(browser_of(&call), call.query).await {
            Ok(to) => {
                self.components.admission.visitors.forget(headers);
                Ok(redirect(&to, "signed_in"))
            }
            Err(failed) => self.after_failed_login(failed, &call).await,
        };
        // After the other cookies, of which one may say that the browser was sent out silently.
        if let Some(cookie) = silent_attempt_returned {
            match &mut result {
                Ok(response) => response.headers_mut().extend([(header::SET_COOKIE, cookie)]),
                Err(refused) => refused.cookies.push(cookie),
            }
        }
        result
    }

    /// What becomes of a browser whose login failed.
    pub(super) async fn after_failed_login(&self, failed: FailedLogin, call: &Call<'_>) -> Result<Response<Body>, Refused> {
        // Who went back in the history is signed in all the same. Only who would be let pass is redirected to the page, or they would
        // come round again. Whoever has logged in by an attempt that counts no more may be another user than the session's.
        if failed.leaves_user_signed_in() && self.admit(call).await.is_ok() {
            let location = call.exchange.site.at(failed.return_to.as_ref().map_or("/", ReturnTo::path));
            return Ok(redirect(&Redirect::to(location), "signed_in"));
        }
        if let Some(again) = self.components.sign_ins.of_response(call.query).begin_again(&failed, browser_of(call)).await {
            tracing::info!(request.id = call.exchange.id_text(), error = causes(&failed.error), "a login begins again");
            return Ok(redirect(&again, "sign_in"));
        }
        Err(Refused { refusal: failed.error.into(), return_to: failed.return_to, cookies: Vec::new(), allow: None })
    }

    /// Whether it is certain that nobody is about to see the response as a page.
    pub(super) fn is_not_a_page(&self, headers: &HeaderMap) -> bool {
        is_not_a_page(headers, self.components.cookies.is_embedded())
    }

    /// Leads back to an error page that reloads itself, and counts the reload.
    pub(super) fn again(&self, call: &Call<'_>) -> Response<Body> {
        let retries = call.parameter("n").and_then(|number| number.parse().ok()).unwrap_or(0);
        let site = &call.exchange.site;
        let return_to = return_from(call.query, "rd", site).unwrap_or_else(ReturnTo::front_page);
        let cookies: Vec<HeaderValue> = auto_retry_cookie(&self.components.cookies, retries).into_iter().collect();
        redirect(&Redirect { location: site.at(return_to.path()), cookies }, "again")
    }
}

impl Call<'_> {
    /// What another party that begins a login says of its user.
    pub(super) fn login_hint(&self) -> Option<String> {
        self.parameter("login_hint").filter(|hint| !hint.is_empty() && hint.len() <= MAX_HINT_LEN)
    }
}

/// The browser that a login begins or completes for.
pub(super) fn browser_of<'a>(call: &'a Call<'_>) -> LoginBrowser<'a> {
    LoginBrowser { site: &call.exchange.site, headers: call.headers, client: call.exchange.origin.client, left: None }
}
