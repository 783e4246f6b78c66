//! One login for all sites (`CODER_SHARED_LOGIN`): a browser without a session at a site is sent to the login site, which has one or
//! makes one at the provider, and back with a code that becomes a session of the site's own.
//!
//! The site's part is a login attempt like that at the provider: sealed in `state`, bound to the browser by a cookie of the site's host
//! alone, and accepted once. The code is sealed too; it names the attempt, so that it is of no use with another, and lives for a minute.
//! A session that was handed over is of use at its own site only, because whatever a host's app can get hold of must not open another's.

use std::time::Duration;

use base64::prelude::*;
use serde::{Deserialize, Serialize};
use url::form_urlencoded::Serializer;

use super::{
    LoginBrowser, LoginParts, Redirect, SignIn,
    attempt::{self, Attempt, AttemptParams, Binding, LoginMode},
    authorization_response::AuthorizationResponse,
    callback_error::CallbackError,
    failed::FailedLogin,
    purpose::Purpose,
    return_to::ReturnTo,
};
use crate::{
    address::AccessUrl,
    clock::Timestamp,
    history::{Event, Kind},
    seal::KeyRing,
    secret::hex,
    session::{SessionHash, UserHash},
    store::{HandOver, HandedOver},
    to_its_end::to_its_end,
};

/// How long a code lives: a browser follows a redirect at once.
const CODE_LIFE: Duration = Duration::from_secs(60);
const CONTEXT: &str = "session hand-over";
/// The longest return address that the state carries: the login site's own state has to carry this one.
const MAX_CARRIED_LEN: usize = 128;

/// What a site asks the login site for, when its browser comes there.
#[derive(Debug)]
pub struct HandOverRequest {
    attempt: Attempt,
    state: String,
    site: AccessUrl,
}

impl HandOverRequest {
    /// The names of the providers of which the session may be; an empty list is for all.
    pub fn providers(&self) -> &[String] {
        self.attempt.providers()
    }
}

/// What the code says.
#[derive(Debug, Serialize, Deserialize)]
struct Code {
    /// The session at the login site.
    #[serde(rename = "s")]
    session: [u8; 32],
    /// The attempt's name, in hexadecimal.
    #[serde(rename = "a")]
    attempt: String,
    #[serde(rename = "t")]
    at: i64,
}

impl Code {
    fn seal(&self, keys: &KeyRing) -> Option<String> {
        let plain = serde_json::to_vec(self).ok()?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(keys.seal(CONTEXT, &plain).ok()?))
    }

    fn open(keys: &KeyRing, code: &str) -> Option<Self> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(code).ok()?;
        serde_json::from_slice(&keys.open(CONTEXT, &sealed).ok()?).ok()
    }
}

fn name_of(attempt: &Attempt) -> String {
    hex(&attempt.name("handed over"))
}

impl LoginParts {
    /// The login site, if the login of a browser at `site` is there.
    pub(super) fn login_site_of(&self, site: &AccessUrl) -> Option<&AccessUrl> {
        (self.shares_login && self.login_site != *site).then_some(&self.login_site)
    }

    /// The path of our page `page`.
    fn path_of(&self, page: &str) -> String {
        format!("{}/{page}", self.prefix)
    }

    /// Reads what a browser that comes to the login site from another site asks for.
    ///
    /// # Errors
    /// [`CallbackError::UnknownAttempt`]: it is none of ours, too old, or of a site that is none any more.
    pub fn hand_over_request(&self, site: &AccessUrl, query: &str) -> Result<HandOverRequest, CallbackError> {
        let response = AuthorizationResponse::parse(query)?;
        let attempt = self.attempt_of(&response)?;
        let other = attempt.site().and_then(|authority| self.sites.find(authority));
        let Some(other) = other.filter(|other| **other != self.login_site) else {
            return Err(CallbackError::UnknownAttempt("the site that it was for is none of ours"));
        };
        let is_of_ours = self.shares_login && *site == self.login_site && attempt.mode() == LoginMode::HandOver;
        if !is_of_ours || self.clock.now() >= attempt.at().plus(attempt::LIFE) {
            return Err(CallbackError::UnknownAttempt("it asks for no session, or is too old"));
        }
        Ok(HandOverRequest { attempt, state: response.state, site: (*other).clone() })
    }

    /// The page of the login site that goes on with `request` after a login.
    pub fn hand_over_page(&self, request: &HandOverRequest) -> ReturnTo {
        let query = Serializer::new(String::new()).append_pair("state", &request.state).finish();
        ReturnTo::parse(&format!("{}?{query}", self.path_of("hand_over")), &self.login_site)
    }

    /// Sends a browser back to the site that it came from, with a code for its session at the login site.
    pub fn hand_over(&self, request: &HandOverRequest, session: SessionHash) -> Redirect {
        let code = Code { session: session.0, attempt: name_of(&request.attempt), at: self.clock.now().0 };
        let query = Serializer::new(String::new())
            .append_pair("state", &request.state)
            .append_pair("code", &code.seal(&self.keys).unwrap_or_default())
            .finish();
        Redirect::to(format!("{}?{query}", request.site.at(&self.path_of("handed_over"))))
    }

    /// Gives a browser that comes back from the login site a session of this site's. What is done by it is recorded, even if the client
    /// disconnects meanwhile.
    ///
    /// # Errors
    /// [`FailedLogin`]; no session was created.
    pub async fn complete_hand_over(&self, at: LoginBrowser<'_>, query: &str) -> Result<Redirect, FailedLogin> {
        let (this, (browser, _leaves), query) = (self.clone(), at.detached(), query.to_owned());
        to_its_end(&self.tasks, async move {
            let at = browser.browser();
            match this.try_hand_over(at, &query).await {
                Ok(redirect) => Ok(redirect),
                Err(error) => Err(this.describe_failure(error, at, &query).await),
            }
        })
        .await
    }

    async fn try_hand_over(&self, at: LoginBrowser<'_>, query: &str) -> Result<Redirect, CallbackError> {
        let response = AuthorizationResponse::parse(query)?;
        let attempt = self.attempt_of(&response)?;
        if attempt.mode() != LoginMode::HandOver || attempt.site() != Some(at.site.authority()) {
            return Err(CallbackError::UnknownAttempt("it asks for no session of this site"));
        }
        // Without the cookie that only this host can set, somebody else began it (login CSRF).
        self.binding_of(&attempt, at.headers)?;
        let now = self.clock.now();
        let is_usable = |code: &Code| code.attempt == name_of(&attempt) && now < Timestamp(code.at).plus(CODE_LIFE);
        let code = Code::open(&self.keys, response.code()?).filter(is_usable);
        let code = code.ok_or(CallbackError::UnknownAttempt("its code is not one of ours, or too old"))?;
        let _too_long = tokio::time::timeout(self.store_wait, self.store.until_writable()).await;
        let return_to = self.destination(&attempt, at.site).await;
        self.consume(&attempt).await?;
        let (value, session) = SessionHash::fresh();
        let presented = self.cookies.presented_sessions(at.headers);
        let replaces = presented.first().copied();
        let new = HandedOver { session, site: at.site.authority().to_owned(), replaces, at: now };
        let from = SessionHash(code.session);
        let handed_over = self.with_patience(|| self.store.hand_over_to_client(from, &new, at.left)).await?;
        let HandOver { session: handed_over, replaced } =
            handed_over.ok_or(CallbackError::UnknownAttempt("the session that it was for has ended"))?;
        self.record_replaced(&replaced, now);
        let grant = self.store.grant(handed_over.grant).await?;
        if let Some(grant) = &grant {
            let event = Event::of(Kind::Login, grant.id, &grant.issuer, &grant.identity, now).of_session(session);
            self.store.enqueue_event(event.because("handed_over"));
        }
        tracing::info!(
            grant.id = %handed_over.grant, session = session.short(), site = at.site.authority(),
            "a session was handed over from the login site"
        );
        let mut redirect = at.back(&return_to);
        self.record_round(&attempt, &mut redirect);
        let cookies = self.cookies.set_session(value.expose(), self.sessions.absolute, at.headers);
        redirect.cookies.extend(cookies.ok_or(CallbackError::Parameters("the session's cookie cannot be written"))?);
        let ended = self.end_replaced(presented.into_iter().skip(1), handed_over.login.unwrap_or(session)).await;
        redirect.cookies.extend(self.cookies.clear_former(at.headers, &ended));
        redirect.cookies.extend(grant.and_then(|grant| self.browser_mark(at, UserHash::of_grant(&grant))));
        Ok(redirect)
    }
}

impl SignIn {
    /// The name of the provider, where there are several to choose from.
    pub(super) fn own_name(&self) -> Vec<String> {
        if self.parts.providers.only().is_some() { Vec::new() } else { vec![self.provider.name().to_owned()] }
    }

    /// Sends a browser to the login site, to come back to `return_to` with its session, if that is of one of `providers`. A user who
    /// has chosen one by hand logs in there, whatever the session is of.
    pub(super) async fn ask_for_hand_over(
        &self,
        at: LoginBrowser<'_>,
        login_site: &AccessUrl,
        return_to: &ReturnTo,
        purpose: Purpose<'_>,
        providers: &[String],
    ) -> Redirect {
        let (rounds, is_second) = (self.parts.rounds_of(purpose, at.headers), matches!(purpose, Purpose::LoginOnceMore));
        let (name, binding) = Binding::of_or_new(&self.parts.cookies, at.headers);
        let params = AttemptParams {
            at: self.parts.clock.now(),
            mode: LoginMode::HandOver,
            rounds,
            is_of_chosen_account: false,
            is_second,
        };
        let mut attempt = Attempt::new(&binding, params);
        if return_to.path().len() <= MAX_CARRIED_LEN || !self.parts.store_return_to(&attempt, return_to).await {
            attempt.carry(&return_to.if_no_longer_than(attempt::MAX_CARRIED_LEN));
        }
        attempt.remember_site(Some(at.site.authority()));
        attempt.limit_to(providers);
        let mut query = Serializer::new(String::new());
        query.append_pair("state", &attempt.seal(&self.parts.keys).unwrap_or_default());
        match purpose {
            Purpose::AnotherAccount => drop(query.append_pair("another", "true")),
            Purpose::LoginOf(hint) => drop(query.append_pair("login_hint", hint)),
            Purpose::Login
            | Purpose::LoginOnTheWay
            | Purpose::LoginOnceMore
            | Purpose::Silent(_)
            | Purpose::Interaction
            | Purpose::Consent(_) => {}
        }
        if let (true, [chosen]) = (purpose.is_by_hand(), providers) {
            query.append_pair("provider", chosen);
        }
        let location = format!("{}?{}", login_site.at(&self.parts.path_of("hand_over")), query.finish());
        let mut cookies: Vec<_> = self.parts.cookies.set(&name, binding.value(), attempt::LIFE).into_iter().collect();
        if matches!(purpose, Purpose::Silent(_)) {
            // Whatever the login site has to give, it is asked for it once in a while.
            cookies.extend(self.silent_attempt_is_over());
        }
        Redirect { location, cookies }
    }
}
