//! Who may ask at all. Pure.
//!
//! A unix socket is guarded by its file's permissions. Loopback is reached by every process of the machine, which is why a secret
//! guards it, and by the browsers of its users: a page of any site can send requests there, and one whose name was moved to this
//! address (DNS rebinding) can read the answers.

use std::net::SocketAddr;

use http::{HeaderMap, header, request};

use super::error::TokenError;
use crate::{
    fetch_metadata::FetchMetadata,
    secret::{Secret, sha256},
};

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReachedBy {
    /// By the unix socket.
    Unix,
    /// By this address on loopback.
    Loopback(SocketAddr),
}

/// Checks that a request comes from a program that knows the listener.
///
/// # Errors
/// [`TokenError::Browser`], [`TokenError::WrongHost`], [`TokenError::InvalidClient`].
pub(super) fn check(head: &request::Parts, reached: ReachedBy, secret: Option<&Secret>) -> Result<(), TokenError> {
    if head.headers.contains_key(header::ORIGIN) || FetchMetadata::of(&head.headers).are_there() {
        return Err(TokenError::Browser);
    }
    if let ReachedBy::Loopback(address) = reached {
        let names = [address.to_string(), format!("localhost:{}", address.port())];
        let is_ours = |name: &str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
        let named = only(&head.headers, &header::HOST).is_some_and(is_ours);
        if !named || !head.uri.authority().is_none_or(|authority| is_ours(authority.as_str())) {
            return Err(TokenError::WrongHost);
        }
    }
    let Some(secret) = secret else { return Ok(()) };
    let presented = only(&head.headers, &header::AUTHORIZATION).and_then(bearer).unwrap_or_default();
    // Hashes, so that the time of the comparison tells nothing of the secret.
    if sha256(presented.as_bytes()) == sha256(secret.expose().as_bytes()) { Ok(()) } else { Err(TokenError::InvalidClient) }
}

/// The token of `Bearer` credentials (RFC 6750 section 2.1).
fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The value of a header that stands once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok();
    value.filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use http::Request;

    use super::*;

    const HERE: ReachedBy = ReachedBy::Loopback(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4181));

    fn checked(reached: ReachedBy, secret: Option<&str>, uri: &str, headers: &[(&str, &str)]) -> Result<(), TokenError> {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head, reached, secret.map(Secret::new).as_ref())
    }

    #[test]
    fn loopback_is_asked_by_its_own_name_with_the_secret() {
        let (host, wrong) = (Err(TokenError::WrongHost), Err(TokenError::InvalidClient));
        let good = ("authorization", "Bearer s3cret");
        for (headers, expected) in [
            (vec![("host", "127.0.0.1:4181"), good], Ok(())),
            (vec![("host", "LOCALHOST:4181"), ("authorization", "bearer  s3cret")], Ok(())),
            (vec![("host", "127.0.0.1"), good], host),
            (vec![("host", "127.0.0.1:80"), good], host),
            (vec![("host", "rebound.example:4181"), good], host),
            (vec![("host", "127.0.0.1:4181"), ("host", "127.0.0.1:4181"), good], host),
            (vec![good], host),
            (vec![("host", "127.0.0.1:4181")], wrong),
            (vec![("host", "127.0.0.1:4181"), good, good], wrong),
            (vec![("host", "127.0.0.1:4181"), ("authorization", "Bearer s3cret2")], wrong),
            (vec![("host", "127.0.0.1:4181"), ("authorization", "Bearer")], wrong),
            (vec![("host", "127.0.0.1:4181"), ("authorization", "Basic s3cret")], wrong),
        ] {
            assert_eq!(checked(HERE, Some("s3cret"), "/oauth2/token", &headers), expected, "{headers:?}");
        }
        let absolute = checked(HERE, Some("s3cret"), "http://rebound.example:4181/", &[("host", "127.0.0.1:4181"), good]);
        assert_eq!(absolute, host);
    }

    #[test]
    fn a_browser_gets_nothing_by_any_way() {
        for reached in [HERE, ReachedBy::Unix] {
            for name in ["origin", "sec-fetch-site", "sec-fetch-mode"] {
                let headers = [("host", "127.0.0.1:4181"), ("authorization", "Bearer s3cret"), (name, "null")];
                assert_eq!(checked(reached, Some("s3cret"), "/", &headers), Err(TokenError::Browser), "{name}");
            }
        }
    }

    #[test]
    fn a_unix_socket_needs_no_name_and_a_secret_only_where_one_is_set() {
        assert_eq!(checked(ReachedBy::Unix, None, "/", &[("host", "anything")]), Ok(()));
        assert_eq!(checked(ReachedBy::Unix, None, "/", &[]), Ok(()));
        assert_eq!(checked(ReachedBy::Unix, Some("s3cret"), "/", &[]), Err(TokenError::InvalidClient));
        assert_eq!(checked(ReachedBy::Unix, Some("s3cret"), "/", &[("authorization", "Bearer s3cret")]), Ok(()));
    }
}
