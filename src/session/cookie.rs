//! Our cookies: their names, how they are set and cleared, and how they are found in a request and kept from the upstream.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue,
    header::{self, Entry},
};
use tower_cookies::{
    Cookie,
    cookie::{self, SameSite},
};

/// Names and attributes of our cookies, which follow from how browsers reach us and from `CODER_COOKIE_NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Over https: the `__Host-` prefix (RFC 6265bis section 4.1.3.2) keeps sibling hosts from setting them. Over plain http
    /// browsers refuse that prefix and `Secure`.
    is_host: bool,
    base: Arc<str>,
    session: Arc<str>,
    returning: Arc<str>,
    rounds: Arc<str>,
    tries: Arc<str>,
    binding: Arc<str>,
}

/// What the names begin with, after the prefix, unless that is set.
pub const DEFAULT_NAME: &str = "evergate";

/// And how long that may be.
pub const LONGEST_NAME: usize = 16;

/// So many logins that begin at once in a browser without any cookie of ours can each have their own; together these cookies stay
/// under 3 KiB.
const BINDINGS: u8 = 64;

impl Cookies {
    /// The cookies for an access URL, whose names begin with `base`.
    pub fn new(is_https: bool, base: &str) -> Self {
        let name = |what: &str| format!("{}{base}_{what}", if is_https { "__Host-" } else { "" }).into();
        Self {
            is_host: is_https,
            base: base.into(),
            session: name("session"),
            returning: name("returning"),
            rounds: name("rounds"),
            tries: name("tries"),
            binding: name("login_"),
        }
    }

    /// The session cookie's name.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The name of the cookie that says when this browser was sent to the provider silently, and whether it came back.
    pub fn returning(&self) -> &str {
        &self.returning
    }

    /// The name of the cookie that counts how often this browser was sent to the provider in a row.
    pub fn rounds(&self) -> &str {
        &self.rounds
    }

    /// The name of the cookie that counts how often a page of ours has tried again by itself.
    pub fn tries(&self) -> &str {
        &self.tries
    }

    /// The name of a cookie that binds logins to this browser; which one is chance.
    pub fn binding(&self, chance: u8) -> String {
        format!("{}{}", self.binding, chance % BINDINGS)
    }

    /// The cookies of this browser that bind logins to it: names and values.
    pub fn bindings<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = (&'a str, &'a str)> {
        pairs(headers).filter_map(|(name, value)| {
            let (name, value) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?);
            let number = name.strip_prefix(&*self.binding)?;
            (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then_some((name, value))
        })
    }

    /// What the browser has under one of these names.
    pub fn value<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let (_, value) = pairs(headers).find(|(found, _)| *found == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    /// A `Set-Cookie` value that keeps `value` for `age`.
    pub fn set(&self, name: &str, value: &str, age: Duration) -> Option<HeaderValue> {
        self.line(name, value, age)
    }

    /// A `Set-Cookie` value that removes the cookie: it has the same attributes, or browsers would keep
    /// the old one (RFC 6265 section 5.3).
    pub fn clear(&self, name: &str) -> Option<HeaderValue> {
        self.line(name, "", Duration::ZERO)
    }

    fn line(&self, name: &str, value: &str, age: Duration) -> Option<HeaderValue> {
        let cookie = Cookie::build((name, value))
            .path("/")
            .max_age(cookie::time::Duration::try_from(age).ok()?)
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_host);
        HeaderValue::try_from(cookie.to_string()).ok()
    }

    /// The session cookie's value, if it has the form of one. Two different ones are none: one was planted, and we
    /// cannot tell which.
    pub fn session_value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let mut values = pairs(headers).filter(|(name, _)| *name == self.session().as_bytes()).map(|(_, value)| value);
        let first = values.next().filter(|value| has_our_form(value))?;
        if values.all(|other| other == first) { std::str::from_utf8(first).ok() } else { None }
    }

    /// Whether this browser is on its way through a login that the release before began, which named a cookie for each.
    pub fn has_attempt_of_before(&self, headers: &HeaderMap) -> bool {
        let is_one = |name: &[u8]| {
            let id = name.strip_prefix(self.binding.as_bytes()).unwrap_or_default();
            id.len() == 20 && id.iter().take(12).all(u8::is_ascii_hexdigit)
        };
        pairs(headers).any(|(name, _)| is_one(name))
    }

    /// Removes our cookies, in either form, from what goes to the upstream, and joins several lines to one as
    /// HTTP/1.1 wants it (RFC 9113 section 8.2.3).
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

    /// Removes what an upstream would set under our names: only we make sessions.
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

    /// Whether a cookie is ours, or of another Evergate with names of its own on the same host, by how it begins.
    fn is_ours(&self, pair: &[u8]) -> bool {
        // A cookie without a name comes back as its value alone, which may look like one with ours.
        let pair = pair.trim_ascii();
        let pair = pair.strip_prefix(b"=").unwrap_or(pair);
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        let name = match name.split_at_checked(7) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"__Host-") => rest,
            Some(_) | None => name,
        };
        [&*self.base, DEFAULT_NAME].iter().any(|base| {
            let (start, rest) = name.split_at_checked(base.len()).unwrap_or_default();
            start.eq_ignore_ascii_case(base.as_bytes()) && !start.is_empty() && rest.starts_with(b"_")
        })
    }
}

/// Whether a text could be one of ours: 256 bits as base64. Nobody is asked about any other.
fn has_our_form(text: &[u8]) -> bool {
    text.len() == 43 && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Cookies as pairs. Bytes, because one cookie of the app's that is not ASCII must not hide ours; and trimmed of ASCII
/// blanks alone, because a sibling host may set a name that begins with a blank of another script and then with ours.
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
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, line.parse().unwrap())).collect()
    }

    fn plain() -> Cookies {
        Cookies::new(false, DEFAULT_NAME)
    }

    fn stripped(lines: &[&str]) -> Vec<String> {
        let mut headers = headers(lines);
        plain().strip_reserved_cookies(&mut headers);
        headers.get_all(header::COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn our_cookies_never_reach_the_upstream_in_any_spelling() {
        assert_eq!(stripped(&["a=1; b=2"]), ["a=1; b=2"]);
        assert_eq!(stripped(&["a=1; evergate_session=x; b=2"]), ["a=1; b=2"]);
        assert_eq!(stripped(&["__Host-evergate_session=x"]), [""; 0]);
        assert_eq!(stripped(&["__host-EVERGATE_login_1=x;a=1"]), ["a=1"]);
        assert_eq!(stripped(&["a=1", "evergate_session=x", "b=2"]), ["a=1; b=2"]);
        assert_eq!(stripped(&["a=evergate_session; my_evergate_x=1"]), ["a=evergate_session; my_evergate_x=1"]);
    }

    #[test]
    fn odd_cookie_headers_are_read_without_harm() {
        for odd in ["", ";;", "=", "=x", "evergate_session", "; evergate_session ;", "a=1;;;evergate_session="] {
            let headers = headers(&[odd]);
            assert!(plain().session_value(&headers).is_none_or(str::is_empty), "{odd:?}");
            stripped(&[odd]);
        }
    }

    #[test]
    fn two_different_session_cookies_are_none() {
        let (a, b) = ("a".repeat(43), "b".repeat(43));
        let value = |line: String| plain().session_value(&headers(&[&line])).map(str::to_owned);
        assert_eq!(value(format!("evergate_session={a}")), Some(a.clone()));
        assert_eq!(value(format!("evergate_session={a}; evergate_session={a}")), Some(a.clone()));
        assert_eq!(value(format!("evergate_session={a}; evergate_session={b}")), None);
        assert_eq!(value(format!("evergate_session={a}; evergate_session={a}; evergate_session={b}")), None);
        assert_eq!(value("evergate_session=short".to_owned()), None);
        let plain = headers(&[&format!("evergate_session={a}")]);
        assert_eq!(Cookies::new(true, DEFAULT_NAME).session_value(&plain), None, "without its prefix it is not ours");
    }

    #[test]
    fn a_cookie_in_another_script_neither_hides_ours_nor_passes_for_it() {
        let a = "a".repeat(43);
        let line = |bytes: Vec<u8>| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_bytes(&bytes).unwrap())]);
        let beside = line(format!("name=Zoë; evergate_session={a}; \u{e9}=x").into_bytes());
        assert_eq!(plain().session_value(&beside), Some(a.as_str()));
        let latin = line([b"x=\xe9; evergate_session=", a.as_bytes()].concat());
        assert_eq!(plain().session_value(&latin), Some(a.as_str()));
        let planted = line(format!("\u{2000}evergate_session={a}").into_bytes());
        assert_eq!(plain().session_value(&planted), None);
    }

    #[test]
    fn an_upstream_cannot_set_cookies_of_ours() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; Path=/", "evergate_session=x; Path=/", "__Host-evergate_login_1=x", "b=evergate_session"] {
            headers.append(header::SET_COOKIE, line.parse().unwrap());
        }
        plain().strip_reserved_set_cookies(&mut headers);
        let left: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(left, ["a=1; Path=/", "b=evergate_session"]);
    }

    #[test]
    fn cookies_carry_every_protection_that_the_scheme_allows() {
        let set = |cookies: Cookies| cookies.set(cookies.session(), "v", Duration::from_secs(9)).unwrap();
        assert_eq!(
            set(Cookies::new(true, DEFAULT_NAME)),
            "__Host-evergate_session=v; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=9"
        );
        assert_eq!(set(plain()), "evergate_session=v; HttpOnly; SameSite=Lax; Path=/; Max-Age=9");
        assert_eq!(
            Cookies::new(true, DEFAULT_NAME).clear("__Host-evergate_session").unwrap(),
            "__Host-evergate_session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"
        );
    }

    #[test]
    fn two_of_us_on_one_host_have_cookies_of_their_own() {
        let (one, other) = (Cookies::new(true, "one"), Cookies::new(true, "other"));
        assert_eq!((one.session(), other.session()), ("__Host-one_session", "__Host-other_session"));
        let mut lines = headers(&["one_session=a; other_session=b; __Host-one_login_7=c; evergate_session=d; ones=e"]);
        one.strip_reserved_cookies(&mut lines);
        assert_eq!(lines[header::COOKIE], "other_session=b; ones=e");
    }

    #[test]
    fn all_of_ours_together_stay_under_four_kibibytes() {
        let cookies = Cookies::new(true, &"n".repeat(LONGEST_NAME));
        let names: BTreeSet<_> = (0..=u8::MAX).map(|chance| cookies.binding(chance)).collect();
        let others = [cookies.session(), cookies.returning(), cookies.rounds(), cookies.tries()];
        let length = |name: &str, value: usize| name.len() + "=; ".len() + value;
        let bindings: usize = names.iter().map(|name| length(name, 16)).sum();
        assert!(bindings + others.map(|name| length(name, 43)).iter().sum::<usize>() <= 4096);
    }
}
