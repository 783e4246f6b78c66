//! Evergate's cookies: their names, how they are set and cleared, how requests are parsed for them, and how they are stripped
//! from what the upstream gets.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue,
    header::{self, Entry},
};
use tower_cookies::{
    Cookie,
    cookie::{self, SameSite},
};

use super::SessionHash;

/// Names and attributes of Evergate's cookies, by the access URL's scheme and `CODER_COOKIE_NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Whether the names have the `__Host-` prefix (RFC 6265bis section 4.1.3.2), which keeps sibling hosts from setting the
    /// cookies. Over plain http browsers refuse that prefix and `Secure`.
    is_host: bool,
    is_secure: bool,
    context: EmbeddingContext,
    base: Arc<str>,
    session: Arc<str>,
    partitioned_session: Arc<str>,
    silent_login: Arc<str>,
    redirect_rounds: Arc<str>,
    auto_retries: Arc<str>,
    binding: Arc<str>,
    browser: Arc<str>,
    provider: Arc<str>,
    former: Arc<[FormerNames]>,
}

/// The names that cookies had before (`CODER_COOKIE_FORMER_NAMES`).
#[derive(Clone, Debug, PartialEq, Eq)]
struct FormerNames {
    base: Box<str>,
    session: Box<str>,
    partitioned_session: Box<str>,
    binding: Box<str>,
}

/// Where browsers send Evergate's cookies (`CODER_SAMESITE_AUTH_COOKIE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddingContext {
    /// `SameSite=Lax`: to pages of their own, and when a link of another site is followed.
    TopLevel,
    /// `SameSite=None` and `Partitioned` (CHIPS): also in a frame of another site, with a cookie jar for each embedding site.
    Embedded,
}

/// The default base of the names, which follows the prefix.
pub const DEFAULT_NAME: &str = "evergate";

/// The maximum length of the base, in bytes.
pub const MAX_NAME_LEN: usize = 16;

/// The number of binding cookies. Concurrent logins of a browser that has none take different ones by chance; together they stay
/// under 3 KiB.
const BINDINGS: u8 = 64;

/// How many sessions one request can present: one for each jar of each name that browsers may have. More are planted, and each costs a
/// look-up.
const MAX_SESSIONS: usize = 8;

impl Cookies {
    /// Derives the names for an access URL from `base`.
    pub fn new(is_https: bool, base: &str) -> Self {
        let name = |what: &str| format!("{}{base}_{what}", if is_https { "__Host-" } else { "" }).into();
        Self {
            is_host: is_https,
            is_secure: is_https,
            context: EmbeddingContext::TopLevel,
            base: base.into(),
            session: name("session"),
            partitioned_session: name("partitioned_session"),
            silent_login: name("returning"),
            redirect_rounds: name("rounds"),
            auto_retries: name("tries"),
            binding: name("login_"),
            browser: name("browser"),
            provider: name("provider"),
            former: Arc::default(),
        }
    }

    /// Accepts cookies of sessions and of logins under way also under the names that these bases make, as they are set before
    /// `CODER_COOKIE_NAME` is changed and, in a rolling deploy, after it.
    #[must_use]
    pub fn formerly(self, bases: &[String]) -> Self {
        let former = bases.iter().filter(|base| **base != *self.base).map(|base| {
            let before = Self::new(self.is_host, base);
            FormerNames {
                base: base.as_str().into(),
                session: (&*before.session).into(),
                partitioned_session: (&*before.partitioned_session).into(),
                binding: (&*before.binding).into(),
            }
        });
        Self { former: former.collect(), ..self }
    }

    /// Sets `Secure` also over plain http (`CODER_SECURE_AUTH_COOKIE`), where some browsers accept it from loopback alone.
    #[must_use]
    pub fn always_secure(self) -> Self {
        Self { is_secure: true, ..self }
    }

    /// Sends the cookies in `context`. Browsers accept [`EmbeddingContext::Embedded`] with `Secure` alone.
    #[must_use]
    pub fn sent_in(self, context: EmbeddingContext) -> Self {
        Self { context, ..self }
    }

    /// Whether browsers send the cookies in a frame of another site too.
    pub fn is_embedded(&self) -> bool {
        self.context == EmbeddingContext::Embedded
    }

    /// Whether the cookies are `Secure`.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The name of the session cookie that is set. Browsers keep a partitioned cookie beside another of the same name, so that it
    /// has a name of its own: two values of one name would count as none.
    pub fn session(&self) -> &str {
        let [session, _] = self.sessions();
        session
    }

    /// The names of session cookies that are accepted: the one that is set first. A session outlives a change of
    /// `CODER_SAMESITE_AUTH_COOKIE`.
    pub fn sessions(&self) -> [&str; 2] {
        match self.context {
            EmbeddingContext::TopLevel => [&self.session, &self.partitioned_session],
            EmbeddingContext::Embedded => [&self.partitioned_session, &self.session],
        }
    }

    /// The name of the cookie that records silent re-authentication: when this browser was sent to the provider with
    /// `prompt=none`, and whether it came back.
    pub fn silent_login(&self) -> &str {
        &self.silent_login
    }

    /// The name of the cookie that counts consecutive redirects to the provider, to detect redirect loops.
    pub fn redirect_rounds(&self) -> &str {
        &self.redirect_rounds
    }

    /// The name of the cookie that counts the automatic retries of an error page.
    pub fn auto_retries(&self) -> &str {
        &self.auto_retries
    }

    /// The name of the cookie that says which browser it is, and who was signed in there last.
    pub fn browser(&self) -> &str {
        &self.browser
    }

    /// The name of the cookie that says at which of several providers this browser's user chose to log in.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The name of a cookie that binds login attempts to this browser, chosen by `chance`.
    pub fn binding(&self, chance: u8) -> String {
        format!("{}{}", self.binding, chance % BINDINGS)
    }

    /// Returns the names and values of this browser's binding cookies, as they are set.
    pub fn bindings<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = (&'a str, &'a str)> {
        numbered(headers, &self.binding)
    }

    /// Returns the values of this browser's binding cookies, also of those of former names: a replica before or after the change of
    /// the name may have begun the login.
    pub fn accepted_bindings<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let prefixes = std::iter::once(&*self.binding).chain(self.former.iter().map(|former| &*former.binding));
        prefixes.flat_map(|prefix| numbered(headers, prefix)).map(|(_, value)| value)
    }

    /// Returns the value of the cookie `name`.
    pub fn value<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let (_, value) = pairs(headers).find(|(found, _)| *found == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    /// Returns the value of the cookie `name`, unless it is there twice with two values: one was planted, and it is not known which.
    pub fn only_value<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let mut values = pairs(headers).filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value);
        let first = values.next()?;
        if values.all(|other| other == first) { std::str::from_utf8(first).ok() } else { None }
    }

    /// Builds a `Set-Cookie` value that keeps `value` for `age`.
    pub fn set(&self, name: &str, value: &str, age: Duration) -> Option<HeaderValue> {
        self.line(name, value, age, self.context)
    }

    /// Builds a `Set-Cookie` value that removes the cookie. It has the same attributes, or browsers would keep the old cookie
    /// (RFC 6265 section 5.3).
    pub fn clear(&self, name: &str) -> Option<HeaderValue> {
        self.line(name, "", Duration::ZERO, self.context)
    }

    /// Builds the `Set-Cookie` values that keep a session for `age`, and remove the cookie of the other jar if the request has one: a
    /// session that has ended must not hide the new one after a change of `CODER_SAMESITE_AUTH_COOKIE`. One of a former name hides
    /// nothing, and may be another gateway's by now.
    pub fn set_session(&self, value: &str, age: Duration, request: &HeaderMap) -> Option<Vec<HeaderValue>> {
        let is_sent = |name: &str| pairs(request).any(|(found, _)| found == name.as_bytes());
        let other = self.session_jars().filter(|(name, context)| *context != self.context && is_sent(name));
        let cleared = other.filter_map(|(name, context)| self.line(name, "", Duration::ZERO, context));
        Some(std::iter::once(self.set(self.session(), value, age)?).chain(cleared).collect())
    }

    /// Builds the `Set-Cookie` values that remove the cookies of former names that this request has of these sessions. Only what was
    /// ours: another gateway on the host may have one of the names by now.
    pub fn clear_former(&self, request: &HeaderMap, ended: &[SessionHash]) -> Vec<HeaderValue> {
        let former = self.former.iter().flat_map(|former| {
            [(&*former.session, EmbeddingContext::TopLevel), (&*former.partitioned_session, EmbeddingContext::Embedded)]
        });
        let is_of_ended = |name: &str| session_values(request, name).any(|value| ended.contains(&SessionHash::of(value)));
        former
            .filter(|(name, _)| is_of_ended(name))
            .filter_map(|(name, context)| self.line(name, "", Duration::ZERO, context))
            .collect()
    }

    /// Builds the `Set-Cookie` values that remove the session cookie from both cookie jars.
    pub fn clear_sessions(&self) -> impl Iterator<Item = HeaderValue> {
        self.session_jars().filter_map(|(name, context)| self.line(name, "", Duration::ZERO, context))
    }

    /// The session cookie's name in each jar that browsers may have.
    fn session_jars(&self) -> impl Iterator<Item = (&str, EmbeddingContext)> {
        let partitioned = self.is_secure.then_some((&*self.partitioned_session, EmbeddingContext::Embedded));
        [(&*self.session, EmbeddingContext::TopLevel)].into_iter().chain(partitioned)
    }

    /// The names of session cookies that are accepted, in the order in which they count: the one that is set first.
    fn accepted(&self) -> impl Iterator<Item = &str> {
        let former = self.former.iter().flat_map(|former| [&*former.session, &*former.partitioned_session]);
        // Browsers send a partitioned cookie only where it could be set.
        self.sessions().into_iter().filter(|name| self.is_secure || *name != &*self.partitioned_session).chain(former)
    }

    fn line(&self, name: &str, value: &str, age: Duration, context: EmbeddingContext) -> Option<HeaderValue> {
        let is_embedded = context == EmbeddingContext::Embedded;
        let cookie = Cookie::build((name, value))
            .path("/")
            .max_age(cookie::time::Duration::try_from(age).ok()?)
            .http_only(true)
            .same_site(if is_embedded { SameSite::None } else { SameSite::Lax })
            .partitioned(is_embedded)
            .secure(self.is_secure);
        HeaderValue::try_from(cookie.to_string()).ok()
    }

    /// Returns the session cookie's value if it is well formed. Two different values of one name count as none, whatever the other
    /// name has: one was planted, and it is not known which.
    pub fn session_value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let mut found = None;
        for name in self.accepted() {
            let mut values = pairs(headers).filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value);
            let Some(first) = values.next() else { continue };
            if !values.all(|other| other == first) {
                return None;
            }
            found = found.or(Some(first).filter(|value| is_session_value(value)));
        }
        std::str::from_utf8(found?).ok()
    }

    /// Returns all sessions that a request presents, under whatever name, that by which it is served first: who logs in or out in a
    /// browser leaves none of them behind, not of another user either.
    pub fn presented_sessions(&self, headers: &HeaderMap) -> Vec<SessionHash> {
        let mut presented: Vec<SessionHash> = Vec::new();
        let values = self.accepted().flat_map(|name| session_values(headers, name));
        for value in self.session_value(headers).into_iter().chain(values) {
            let hash = SessionHash::of(value);
            if presented.len() < MAX_SESSIONS && !presented.contains(&hash) {
                presented.push(hash);
            }
        }
        presented
    }

    /// Whether this browser has a login attempt of the previous release under way, which used one cookie for each attempt.
    pub fn has_attempt_of_previous_release(&self, headers: &HeaderMap) -> bool {
        let is_one = |name: &[u8]| {
            let id = name.strip_prefix(self.binding.as_bytes()).unwrap_or_default();
            id.len() == 20 && id.iter().take(12).all(u8::is_ascii_hexdigit)
        };
        pairs(headers).any(|(name, _)| is_one(name))
    }

    /// Removes Evergate's cookies, with or without the prefix, from a request to the upstream, and joins several `Cookie` lines
    /// into one, as HTTP/1.1 requires (RFC 9113 section 8.2.3).
    pub fn strip_reserved_cookies(&self, headers: &mut HeaderMap) {
        let Entry::Occupied(mut cookies) = headers.entry(header::COOKIE) else { return };
        let mut kept = Vec::with_capacity(cookies.get().len());
        let mut is_as_it_was = cookies.iter().nth(1).is_none();
        let pairs = cookies.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            if self.is_ours(pair) {
                is_as_it_was = false;
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair);
        }
        if is_as_it_was {
            return;
        }
        match HeaderValue::try_from(kept) {
            Ok(kept) if !kept.is_empty() => {
                cookies.insert(kept);
            }
            Ok(_) | Err(_) => {
                cookies.remove();
            }
        }
    }

    /// Removes the `Set-Cookie` lines by which an upstream would set Evergate's cookies (session fixation).
    pub fn strip_reserved_set_cookies(&self, headers: &mut HeaderMap) {
        let lines = headers.get_all(header::SET_COOKIE);
        if !lines.iter().any(|line| self.is_ours(line.as_bytes())) {
            return;
        }
        let kept: Vec<HeaderValue> = lines.iter().filter(|line| !self.is_ours(line.as_bytes())).cloned().collect();
        headers.remove(header::SET_COOKIE);
        for line in kept {
            headers.append(header::SET_COOKIE, line);
        }
    }

    /// Whether a cookie has a name of this Evergate, one that it had before, or a default name, as another Evergate on the same host may
    /// have.
    fn is_ours(&self, pair: &[u8]) -> bool {
        // Browsers send a cookie without a name as its value alone, which may look like a reserved name.
        let pair = pair.trim_ascii();
        let pair = pair.strip_prefix(b"=").unwrap_or(pair);
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        let name = match name.split_at_checked(7) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"__Host-") => rest,
            Some(_) | None => name,
        };
        [&*self.base, DEFAULT_NAME].into_iter().chain(self.former.iter().map(|former| &*former.base)).any(|base| {
            let (start, rest) = name.split_at_checked(base.len()).unwrap_or_default();
            start.eq_ignore_ascii_case(base.as_bytes()) && !start.is_empty() && rest.starts_with(b"_")
        })
    }
}

/// The names and values of the cookies whose names are `prefix` and a number.
fn numbered<'a>(headers: &'a HeaderMap, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    pairs(headers).filter_map(move |(name, value)| {
        let (name, value) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?);
        let number = name.strip_prefix(prefix)?;
        (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then_some((name, value))
    })
}

/// The well-formed values of the session cookies of this name.
fn session_values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = pairs(headers).filter(move |(found, value)| *found == name.as_bytes() && is_session_value(value));
    named.filter_map(|(_, value)| std::str::from_utf8(value).ok())
}

/// Whether a text has the form of a session cookie's value: 256 bits as base64. Other values are not looked up.
fn is_session_value(text: &[u8]) -> bool {
    text.len() == 43 && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Parses cookies into names and values. As bytes, because an app's cookie that is not ASCII must not hide Evergate's; trimmed of
/// ASCII whitespace only, because a sibling host may set a name that begins with Unicode whitespace and continues as a reserved
/// name.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        Some((name.trim_ascii(), value.trim_ascii()))
    })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
