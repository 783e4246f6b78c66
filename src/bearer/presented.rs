//! The token that a request brings. Pure.

use http::{HeaderMap, header};

/// Why a request's `Authorization` cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// No longer one is verified; those of providers with many groups have some 8 KiB.
const MAX_LENGTH: usize = 16 * 1024;

/// Returns the bearer token of a request (RFC 6750 section 2.1), if it brings one. Tokens in the query or in forms (sections 2.2 and
/// 2.3) are none: they end up in logs.
///
/// # Errors
/// [`Malformed`]: two readers could take different ones.
pub fn presented(headers: &HeaderMap) -> Result<Option<&str>, Malformed> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let another = lines.next();
    let Some(token) = bearer(line.as_bytes()) else {
        let hides_one = another.is_some_and(|line| bearer(line.as_bytes()).is_some());
        return if hides_one { Err(Malformed("it has two Authorization headers")) } else { Ok(None) };
    };
    if another.is_some() {
        return Err(Malformed("it has two Authorization headers"));
    }
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    match std::str::from_utf8(token) {
        Ok(token) if !token.is_empty() && token.len() <= MAX_LENGTH && token.bytes().all(|byte| is_plain(&byte)) => {
            Ok(Some(token))
        }
        Ok(_) | Err(_) => Err(Malformed("its bearer token is empty, too long, or has characters that no token has")),
    }
}

/// What follows the scheme, whose case does not matter (RFC 9110 section 11.1).
fn bearer(line: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = line.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    match rest.split_first() {
        Some((b' ', token)) => Some(token.trim_ascii()),
        Some(_) => None,
        None => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_read_from_the_only_authorization_header_whatever_the_scheme_s_case() {
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&["Bearer abc.DEF-1_2~+/="][..], Ok(Some("abc.DEF-1_2~+/="))),
            (&["bEARER   abc"], Ok(Some("abc"))),
            (&["Basic YTpi"], Ok(None)),
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
            assert_eq!(presented(&headers).map_err(|Malformed(_)| ()), expected, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {}", "a".repeat(MAX_LENGTH + 1)).parse().unwrap());
        assert!(presented(&headers).is_err(), "too long");
    }
}
