//! `start`, `callback` and `again`: a login's beginning and end, and the way back to a page that failed.

use axum::body::Body;
use http::{HeaderValue, Response, header};

use super::{Call, Endpoints, Refused};
use crate::{
    exchange::{auto_retry_cookie, is_not_a_page},
    refusal::{Refusal, response::redirect},
    sign_in::{FailedLogin, Purpose, Redirect, ReturningBrowser, return_from, return_to::ReturnTo},
    telemetry::logs::causes,
};

impl Endpoints {
    /// Begins a login by hand; `rd` says where it leads, and `another=true` that it is to be with another account.
    pub(super) async fn start(&self, call: Call<'_>) -> Result<Response<Body>, Refused> {
        if is_not_a_page(call.headers) {
            return Err(Refusal::NoPage.into());
        }
        let return_to = call.return_to(call.query, &self.components.routes).unwrap_or_else(ReturnTo::front_page);
        let purpose = if call.flag("another") { Purpose::AnotherAccount } else { Purpose::Login };
        match self.components.sign_in.begin(&call.exchange.site, &return_to, call.headers, purpose).await {
            Ok(to) => Ok(redirect(&to, "sign_in")),
            Err(error) => Err(Refused {
                refusal: Refusal::ProviderUnavailable(error),
                return_to: Some(return_to),
                cookies: Vec::new(),
                allow: None,
            }),
        }
    }

    /// Receives the browser that the provider sends back (RFC 6749 section 4.1.2).
    pub(super) async fn callback(&self, call: Call<'_>) -> Result<Response<Body>, Refused> {
        let (sign_in, headers) = (&self.components.sign_in, call.headers);
        if is_not_a_page(headers) {
            return Err(Refusal::NoPage.into());
        }
        let silent_attempt_returned = sign_in.record_returned_silent_attempt(call.query, headers);
        let browser = ReturningBrowser { site: &call.exchange.site, headers, client: call.exchange.origin.client };
        let mut result = match sign_in.complete(browser, call.query).await {
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
    async fn after_failed_login(&self, failed: FailedLogin, call: &Call<'_>) -> Result<Response<Body>, Refused> {
        // Who went back in the history, or finished in another tab, is signed in all the same. Only who would be let pass is
        // redirected to the page, or they would come round again.
        if failed.is_of_another_attempt() && self.admit(call).await.is_ok() {
            let location = call.exchange.site.at(failed.return_to.as_ref().map_or("/", ReturnTo::path));
            return Ok(redirect(&Redirect { location, cookies: Vec::new() }, "signed_in"));
        }
        if let Some(again) = self.components.sign_in.begin_again(&failed, &call.exchange.site, call.headers).await {
            tracing::info!(request.id = call.exchange.id_text(), error = causes(&failed.error), "a login begins again");
            return Ok(redirect(&again, "sign_in"));
        }
        Err(Refused { refusal: failed.error.into(), return_to: failed.return_to, cookies: Vec::new(), allow: None })
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
