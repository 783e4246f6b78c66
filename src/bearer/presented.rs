//! The token that a request brings: a bearer token, or a personal access token as a password. Pure.

use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderValue, header};

use crate::{secret::Secret, session::PersonalToken};

/// Why a request's `Authorization` cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// No longer one is verified; those of providers with many groups have some 8 KiB.
const MAX_LENGTH: usize = 16 * 1024;

/// A token as a request brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// `Authorization: Bearer`.
    Bearer(&'a str),
    /// A personal access token as the password of `Authorization: Basic` (RFC 7617), as Git and many tools send it.
    Password(Secret),
}

impl Presented<'_> {
    /// The token.
    pub fn text(&self) -> &str {
        match self {
            Self::Bearer(token) => token,
            Self::Password(token) => token.expose(),
        }
    }
}

/// Returns the token of a request (RFC 6750 section 2.1), if it brings one. Tokens in the query or in forms (sections 2.2 and 2.3) are
/// none: they end up in logs. A password that is no personal access token is the app's.
///
/// # Errors
/// [`Malformed`]: two readers could take different ones.
pub fn presented(headers: &HeaderMap) -> Result<Option<Presented<'_>>, Malformed> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    match lines.next() {
        None => read(line.as_bytes()),
        Some(another) if read(line.as_bytes()) == Ok(None) && read(another.as_bytes()) == Ok(None) => Ok(None),
        Some(_) => Err(Malformed("it has two Authorization headers")),
    }
}

fn read(line: &[u8]) -> Result<Option<Presented<'_>>, Malformed> {
    if let Some(credentials) = credentials_of(line, b"basic") {
        return Ok(personal_token(credentials).map(|token| Presented::Password(Secret::new(token))));
    }
    let Some(token) = credentials_of(line, b"bearer") else { return Ok(None) };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    match std::str::from_utf8(token) {
        Ok(token) if !token.is_empty() && token.len() <= MAX_LENGTH && token.bytes().all(is_plain) => {
            Ok(Some(Presented::Bearer(token)))
        }
        Ok(_) | Err(_) => Err(Malformed("its bearer token is empty, too long, or has characters that no token has")),
    }
}

/// What follows the scheme, whose case does not matter (RFC 9110 section 11.1).
fn credentials_of<'a>(line: &'a [u8], expected: &[u8]) -> Option<&'a [u8]> {
    let (scheme, rest) = line.split_at_checked(expected.len())?;
    if !scheme.eq_ignore_ascii_case(expected) {
        return None;
    }
    match rest.split_first() {
        Some((b' ', credentials)) => Some(credentials.trim_ascii()),
        Some(_) => None,
        None => Some(rest),
    }
}

/// The personal access token among a user name and a password: mostly the password, though some tools know but one field.
fn personal_token(credentials: &[u8]) -> Option<String> {
    let pair = String::from_utf8(ANY_PADDING.decode(credentials).ok()?).ok()?;
    // A user name has no colon.
    let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
    [password, user].into_iter().find(|text| PersonalToken::is_one(text)).map(str::to_owned)
}

/// Apps read what is not padded as well.
const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// Whether any `Authorization` line has a personal access token, also where no token can be read of them.
pub fn carries_personal_token(headers: &HeaderMap) -> bool {
    headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes).any(|line| {
        let mut words = line.split(|byte| byte.is_ascii_whitespace());
        let is_written_out = words.any(|word| word.starts_with(PersonalToken::PREFIX.as_bytes()));
        is_written_out || credentials_of(line, b"basic").is_some_and(|credentials| personal_token(credentials).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_the_only_authorization_header_whatever_the_scheme_s_case() {
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&["Bearer abc.DEF-1_2~+/="][..], Ok(Some("abc.DEF-1_2~+/="))),
            (&["bEARER   abc"], Ok(Some("abc"))),
            (&["Basic YTpi"], Ok(None)),
            (&["basic YW5uOmV2Z194"], Ok(Some("evg_x"))),
            (&["Basic OmV2Z19hOmI="], Ok(Some("evg_a:b"))),
            (&["Basic ZXZnX3g6"], Ok(Some("evg_x"))),
            (&["Basic ZXZnX3g"], Ok(Some("evg_x"))),
            (&["Basic YW5uOnhldmdf"], Ok(None)),
            (&["Basic YW5uOmV2Z194", "Bearer a"], Err(())),
            (&["Basic !"], Ok(None)),
            (&["BearerX abc"], Ok(None)),
            (&["DPoP abc"], Ok(None)),
            (&["Bearer"], Err(())),
            (&["Bearer "], Err(())),
            (&["Bearer a b"], Err(())),
            (&["Bearer a,Bearer b"], Err(())),
            (&["Bearer a\u{e9}"], Err(())),
            (&["Bearer a", "Bearer b"], Err(())),
            (&["Basic YTpi", "Bearer b"], Err(())),
            (&["Bearer a", "Basic YTpi"], Err(())),
            (&["Basic YTpi", "Basic YTpi"], Ok(None)),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            let found = presented(&headers).map(|found| found.map(|found| found.text().to_owned()));
            assert_eq!(
                found.map_err(|Malformed(_)| ()),
                expected.map(|expected: Option<&str>| expected.map(str::to_owned)),
                "{lines:?}"
            );
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {}", "a".repeat(MAX_LENGTH + 1)).parse().unwrap());
        assert!(presented(&headers).is_err(), "too long");
    }
}
