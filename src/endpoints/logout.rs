//! `sign_out`, `signed_out` and `backchannel_logout`.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;
use url::form_urlencoded;

use super::{Call, Endpoints, Refused, read_form, table::follows_a_logout};
use crate::{
    oidc::{ProviderError, VerifyError},
    pages::{Action, Message, Page, Text},
    refusal::{
        Refusal,
        response::{html, json as json_response, redirect},
    },
    session::SessionHash,
    sign_in::{Redirect, SitePage},
    sign_out::{LogoutRequest, LogoutTokenError, UserEnd, UserLogout},
    store::StoreError,
    telemetry::logs::causes,
};

impl Endpoints {
    /// Ends the session: immediately when our own or the app's pages ask, and after a question when anybody else does.
    pub(super) async fn sign_out(&self, call: Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        let (components, exchange) = (&self.components, call.exchange);
        let form = read_form(body).await?;
        let form = String::from_utf8_lossy(&form);
        let next = self.page_after(&call, &form).or_else(|| self.page_after(&call, call.query));
        let what = if call.flag("everywhere") { UserLogout::Everywhere } else { UserLogout::Here };
        if LogoutRequest::classify(&exchange.method, call.headers, &exchange.site) == LogoutRequest::NeedsConfirmation {
            let question = match what {
                UserLogout::Here => Message::SignOut,
                UserLogout::Everywhere => Message::SignOutEverywhere,
            };
            return Ok(self.confirmation(&call, question, what, next.as_ref()));
        }
        let seen_from_here = next.as_ref().map(|page| page.seen_from(&exchange.site));
        let to = seen_from_here.as_deref();
        let served = components.cookies.session_value(call.headers).map(SessionHash::of);
        // A session under another name would be the browser's next one, and may be another user's.
        let mut others = components.cookies.presented_sessions(call.headers);
        others.retain(|hash| Some(*hash) != served);
        let mut ended = match components.sign_out.end_others_of_browser(others).await {
            Ok(ended) => ended,
            Err(error) if exchange.reads_html => return Ok(self.not_signed_out(&call, &error, what, next.as_ref())),
            Err(error) => return Err(error.into()),
        };
        // A cookie of a former name goes if its session is one of ours.
        if let Some(served) = served
            && !components.cookies.clear_former(call.headers, &[served]).is_empty()
            && matches!(components.sign_out.store.session(served).await, Ok(Some(_)))
        {
            ended.push(served);
        }
        let end_session = match served {
            Some(served) => match components.sign_out.end(served, what, &exchange.site, to).await {
                // The session may have ended before, as by the first of two clicks, and that at the provider goes on.
                Ok(end_session) => end_session.or_else(|| components.sign_out.at_provider(&exchange.site, to)),
                Err(error) if exchange.reads_html => {
                    return Ok(self.not_signed_out(&call, &error, what, next.as_ref()));
                }
                Err(error) => return Err(error.into()),
            },
            // Who has no session here may have one there all the same, as the wrong account that was refused.
            None => components.sign_out.at_provider(&exchange.site, to),
        };
        let mut response = match end_session {
            Some(provider) => redirect(&Redirect::to(provider.into()), "signed_out"),
            None => self.after_sign_out(&call, next.as_ref()),
        };
        // Who signs out and in again has clicked: the next login is no round of a redirect loop.
        let cookies = &components.cookies;
        let removed = cookies.clear_sessions().chain(cookies.clear(cookies.redirect_rounds()));
        // Nor does it go straight to a provider: who signs out may want to be at another.
        let asks = components.sign_ins.ask_next_time(call.headers);
        let former = cookies.clear_former(call.headers, &ended);
        response.headers_mut().extend(removed.chain(former).chain(asks).map(|cookie| (header::SET_COOKIE, cookie)));
        Ok(response)
    }

    /// Receives a browser that has logged out at the provider. One fixed address, because providers compare it with what is
    /// registered; where the user wanted to go comes back in `state`, which leads nowhere unless we sealed it.
    pub(super) async fn signed_out(&self, call: &Call<'_>) -> Response<Body> {
        let (sign_out, state) = (&self.components.sign_out, call.parameter("state").unwrap_or_default());
        if let Some(location) = sign_out.signed_out_elsewhere(&call.exchange.site, &state, call.query) {
            return redirect(&Redirect::to(location), "signed_out");
        }
        // Its site may be none of ours any more.
        let next = sign_out.destination(&state).map(|to| self.served_page(call, &to));
        // Another tab may have signed in meanwhile, or the address was typed.
        if next.is_none() && self.components.sign_ins.parts().may_have_session(call.headers).await {
            return self.confirmation(call, Message::SignOut, UserLogout::Here, None);
        }
        self.after_sign_out(call, next.as_ref())
    }

    /// The page that the parameter `rd` of `parameters` names. An empty one, as in a form that had none to pass on, counts as none.
    fn page_after(&self, call: &Call<'_>, parameters: &str) -> Option<SitePage> {
        let (_, text) = form_urlencoded::parse(parameters.as_bytes()).find(|(name, text)| name == "rd" && !text.is_empty())?;
        Some(self.served_page(call, &text))
    }

    /// The page at this address, if it is of one of our sites, and a route serves it or it is one of our own that a logout may lead to; the
    /// front page of this site else.
    fn served_page(&self, call: &Call<'_>, address: &str) -> SitePage {
        let here = &call.exchange.site;
        let page = SitePage::parse(address, here, &self.components.sign_ins.parts().sites);
        let is_served = self.components.serves(page.site(), page.path(), follows_a_logout);
        if is_served { page } else { SitePage::front_page(here) }
    }

    /// Receives the provider's message that somebody has logged out there (OIDC Back-Channel Logout 1.0 section 2.5). It gets 200
    /// once their sessions have ended, 400 for a token that is not to be believed, and 503 when it should come again.
    pub(super) async fn backchannel_logout(&self, headers: &HeaderMap, body: Incoming) -> Result<Response<Body>, Refused> {
        if !is_form(headers) {
            return Err(Refusal::BadRequest("the logout token does not come as a form").into());
        }
        let form = read_form(body).await?;
        let mut tokens = form_urlencoded::parse(&form).filter(|(name, _)| name == "logout_token");
        let (Some((_, token)), None) = (tokens.next(), tokens.next()) else {
            return Err(Refusal::BadRequest("there is not one logout_token").into());
        };
        let sign_out = &self.components.sign_out;
        let Some(provider) = sign_out.providers.of_logout_token(&token) else {
            // It may be of one whose issuers are not known yet, and comes again.
            if !sign_out.providers.are_ready() {
                return Err(Refusal::ProviderUnavailable(ProviderError::NotReady).into());
            }
            return Err(Refusal::LogoutToken(VerifyError::Refused("its iss and aud are no provider's and client's")).into());
        };
        let token = match sign_out.verify_logout_token(provider, &token).await {
            Ok(token) => token,
            Err(LogoutTokenError::Provider(ProviderError::LogoutToken(error))) => {
                return Err(Refusal::LogoutToken(error).into());
            }
            Err(LogoutTokenError::Provider(error)) => return Err(Refusal::ProviderUnavailable(error).into()),
            Err(LogoutTokenError::Store(error)) => return Err(Refusal::from(error).into()),
        };
        sign_out.end_user(UserEnd::of_logout_token(token)).await.map_err(Refusal::from)?;
        Ok(json_response(&json!({}), StatusCode::OK, "logged_out"))
    }

    /// The end of a logout: the page that was asked for, or one that says so. Never the app's front page by itself, which would
    /// begin the next login.
    fn after_sign_out(&self, call: &Call<'_>, next: Option<&SitePage>) -> Response<Body> {
        if let Some(page) = next {
            return redirect(&Redirect::to(page.url()), "signed_out");
        }
        let (href, look) = (format!("{}/start", self.components.prefix), self.look(call));
        let label = look.sign_in_label(Text::SignInAgain);
        let (title, text) = look.message(Message::SignedOut);
        let action = Action::Link { href: &href, label: &label };
        html(&Page { title, text, action, again: None, look: &look }, StatusCode::OK, "signed_out")
    }

    /// A page with a button that signs out.
    fn confirmation(&self, call: &Call<'_>, question: Message, what: UserLogout, next: Option<&SitePage>) -> Response<Body> {
        let everywhere = if what == UserLogout::Everywhere { "?everywhere=true" } else { "" };
        let (rd, look) = (next.map_or_else(String::new, |page| page.seen_from(&call.exchange.site)), self.look(call));
        let href = format!("{}/sign_out{everywhere}", self.components.prefix);
        let (label, stay) = (look.text(Text::SignOut), look.text(Text::StaySignedIn));
        let action = Action::Post { href: &href, label: &label, field: ("rd", &rd), instead: ("/", &stay) };
        let (title, text) = look.message(question);
        let mut response = html(&Page { title, text, action, again: None, look: &look }, StatusCode::OK, "sign_out");
        // Without a referrer browsers send no origin either, and the button's own post would look like a stranger's.
        response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        response
    }

    /// The session may live on: its user must know, and can try again.
    fn not_signed_out(&self, call: &Call<'_>, error: &StoreError, what: UserLogout, next: Option<&SitePage>) -> Response<Body> {
        tracing::warn!(request.id = call.exchange.id_text(), error = causes(error), "a session could not be ended");
        let mut response = self.confirmation(call, Message::NotSignedOut, what, next);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }
}

/// Whether a body is a form as section 2.5 of OpenID Connect Back-Channel Logout 1.0 has it. A client that does not say is believed.
fn is_form(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    lines.all(|line| {
        let kind = line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}
