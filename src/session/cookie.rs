//! The cookies that are ours: their names, how they are set and cleared, and how they are found in a
//! request and kept from the upstream.

use std::time::Duration;

use http::{
    HeaderMap, HeaderValue,
    header::{self, Entry},
};

/// Names and attributes of our cookies, which follow from how browsers reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookies {
    /// Over https: the `__Host-` prefix (RFC 6265bis section 4.1.3.2) keeps sibling hosts from setting them.
    Host,
    /// Over plain http, where browsers refuse that prefix and `Secure`.
    Plain,
}

/// Every cookie of ours begins with this, after the prefix.
const OURS: &str = "evergate_";
const ATTEMPT: &str = "evergate_login_";

impl Cookies {
    /// The cookies for an access URL.
    pub fn for_https(https: bool) -> Self {
        if https { Self::Host } else { Self::Plain }
    }

    /// The session cookie's name.
    pub fn session(self) -> &'static str {
        match self {
            Self::Host => "__Host-evergate_session",
            Self::Plain => "evergate_session",
        }
    }

    /// The name of a login attempt's cookie.
    pub fn attempt(self, id: &str) -> String {
        match self {
            Self::Host => format!("__Host-{ATTEMPT}{id}"),
            Self::Plain => format!("{ATTEMPT}{id}"),
        }
    }

    /// The name of the cookie that says when this browser was sent to the provider silently, and whether it came back.
    pub fn returning(self) -> &'static str {
        match self {
            Self::Host => "__Host-evergate_returning",
            Self::Plain => "evergate_returning",
        }
    }

    /// The name of the cookie that counts how often this browser was sent to the provider in a row.
    pub fn rounds(self) -> &'static str {
        match self {
            Self::Host => "__Host-evergate_rounds",
            Self::Plain => "evergate_rounds",
        }
    }

    /// What the browser has under one of these names.
    pub fn value<'a>(self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let (_, value) = pairs(headers).find(|(found, _)| *found == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    /// A `Set-Cookie` value that keeps `value` for `age`.
    pub fn set(self, name: &str, value: &str, age: Duration) -> Option<HeaderValue> {
        self.line(name, value, age.as_secs())
    }

    /// A `Set-Cookie` value that removes the cookie: same attributes, or browsers ignore it (CV-43).
    pub fn clear(self, name: &str) -> Option<HeaderValue> {
        self.line(name, "", 0)
    }

    fn line(self, name: &str, value: &str, age: u64) -> Option<HeaderValue> {
        let secure = match self {
            Self::Host => "; Secure",
            Self::Plain => "",
        };
        HeaderValue::from_str(&format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}")).ok()
    }

    /// The session cookie's value, if it has the form of one. Two different ones are none: one was planted, and we
    /// cannot tell which.
    pub fn session_value(self, headers: &HeaderMap) -> Option<&str> {
        let mut values = pairs(headers).filter(|(name, _)| *name == self.session().as_bytes()).map(|(_, value)| value);
        let first = values.next().filter(|value| has_our_form(value))?;
        if values.all(|other| other == first) { std::str::from_utf8(first).ok() } else { None }
    }

    /// The login attempts that this browser carries: id and value.
    pub fn attempts(self, headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
        pairs(headers).filter_map(move |(name, value)| {
            let name = match self {
                Self::Host => name.strip_prefix(b"__Host-")?,
                Self::Plain => name,
            };
            let id = name.strip_prefix(ATTEMPT.as_bytes())?;
            Some((std::str::from_utf8(id).ok()?, std::str::from_utf8(value).ok()?))
        })
    }
}

/// Removes our cookies, in either form, from what goes to the upstream, and joins several lines to one as
/// HTTP/1.1 wants it (RFC 9113 section 8.2.3).
pub fn strip_ours(headers: &mut HeaderMap) {
    let Entry::Occupied(mut cookies) = headers.entry(header::COOKIE) else { return };
    let mut kept = Vec::with_capacity(cookies.get().len());
    let mut is_as_it_was = cookies.iter().nth(1).is_none();
    let pairs = cookies.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        if is_ours(pair) {
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

fn is_ours(pair: &[u8]) -> bool {
    // A cookie without a name comes back as its value alone, which may look like one with ours.
    let pair = pair.trim_ascii();
    let pair = pair.strip_prefix(b"=").unwrap_or(pair);
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    let name = match name.split_at_checked(7) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"__Host-") => rest,
        Some(_) | None => name,
    };
    name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS.as_bytes()))
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

/// Removes what an upstream would set under our names: only we make sessions.
pub fn strip_planted(headers: &mut HeaderMap) {
    let lines = headers.get_all(header::SET_COOKIE);
    if !lines.iter().any(|line| is_ours(line.as_bytes())) {
        return;
    }
    let kept: Vec<HeaderValue> = lines.iter().filter(|line| !is_ours(line.as_bytes())).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for line in kept {
        headers.append(header::SET_COOKIE, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, line.parse().unwrap())).collect()
    }

    fn stripped(lines: &[&str]) -> Vec<String> {
        let mut headers = headers(lines);
        strip_ours(&mut headers);
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
            assert!(Cookies::Plain.session_value(&headers).is_none_or(str::is_empty), "{odd:?}");
            stripped(&[odd]);
        }
    }

    #[test]
    fn two_different_session_cookies_are_none() {
        let (a, b) = ("a".repeat(43), "b".repeat(43));
        let value = |line: String| Cookies::Plain.session_value(&headers(&[&line])).map(str::to_owned);
        assert_eq!(value(format!("evergate_session={a}")), Some(a.clone()));
        assert_eq!(value(format!("evergate_session={a}; evergate_session={a}")), Some(a.clone()));
        assert_eq!(value(format!("evergate_session={a}; evergate_session={b}")), None);
        assert_eq!(value(format!("evergate_session={a}; evergate_session={a}; evergate_session={b}")), None);
        assert_eq!(value("evergate_session=short".to_owned()), None);
        let plain = headers(&[&format!("evergate_session={a}")]);
        assert_eq!(Cookies::Host.session_value(&plain), None, "without its prefix it is not ours");
    }

    #[test]
    fn a_cookie_in_another_script_neither_hides_ours_nor_passes_for_it() {
        let a = "a".repeat(43);
        let line = |bytes: Vec<u8>| HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_bytes(&bytes).unwrap())]);
        let beside = line(format!("name=Zoë; evergate_session={a}; \u{e9}=x").into_bytes());
        assert_eq!(Cookies::Plain.session_value(&beside), Some(a.as_str()));
        let latin = line([b"x=\xe9; evergate_session=", a.as_bytes()].concat());
        assert_eq!(Cookies::Plain.session_value(&latin), Some(a.as_str()));
        let planted = line(format!("\u{2000}evergate_session={a}").into_bytes());
        assert_eq!(Cookies::Plain.session_value(&planted), None);
    }

    #[test]
    fn an_upstream_cannot_set_cookies_of_ours() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; Path=/", "evergate_session=x; Path=/", "__Host-evergate_login_1=x", "b=evergate_session"] {
            headers.append(header::SET_COOKIE, line.parse().unwrap());
        }
        strip_planted(&mut headers);
        let left: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(left, ["a=1; Path=/", "b=evergate_session"]);
    }

    #[test]
    fn cookies_carry_every_protection_that_the_scheme_allows() {
        let set = |cookies: Cookies| cookies.set(cookies.session(), "v", Duration::from_secs(9)).unwrap();
        assert_eq!(set(Cookies::Host), "__Host-evergate_session=v; Path=/; Max-Age=9; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(set(Cookies::Plain), "evergate_session=v; Path=/; Max-Age=9; HttpOnly; SameSite=Lax");
        assert_eq!(
            Cookies::Host.clear("__Host-evergate_session").unwrap(),
            "__Host-evergate_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
        );
    }
}
