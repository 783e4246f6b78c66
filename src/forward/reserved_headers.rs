//! Headers that a client must not send to the upstream (RFC 9700 section 4.13).

use http::{HeaderMap, HeaderName};

use crate::header_names;

/// Removes identity and forwarding headers that the client sent, those that settings name (`configured`) among them, in every spelling
/// that some server would read as one: CGI and its successors map every character that is no letter or digit to the same one.
pub(super) fn remove_reserved_headers(headers: &mut HeaderMap, configured: &[HeaderName]) {
    let is_of_a_proxy = |name: &str| {
        // The first letter tells most other headers, as below.
        matches!(name.as_bytes(), [b'c' | b'f' | b'x', ..])
            && OTHER_PROXIES_HEADERS.iter().any(|known| header_names::are_equivalent(name, known))
    };
    remove_all(headers, |name| is_reserved_header(name.as_str()) || is_of_a_proxy(name.as_str()) || is_one_of(name, configured));
}

/// Removes these headers alone, in every such spelling.
pub(super) fn remove_configured_headers(headers: &mut HeaderMap, configured: &[HeaderName]) {
    if !configured.is_empty() {
        remove_all(headers, |name| is_one_of(name, configured));
    }
}

fn is_one_of(name: &HeaderName, configured: &[HeaderName]) -> bool {
    configured.iter().any(|own| header_names::are_equivalent(name.as_str(), own.as_str()))
}

fn remove_all(headers: &mut HeaderMap, is_suspect: impl Fn(&HeaderName) -> bool) {
    let suspects: Vec<HeaderName> = headers.keys().filter(|name| is_suspect(name)).cloned().collect();
    for name in suspects {
        headers.remove(name);
    }
}

/// Prefixes of headers that speak of the client: who it is, where it comes from, what it asked a proxy for. CGI turns `Proxy` into
/// `HTTP_PROXY` (CVE-2016-5385).
const RESERVED_HEADERS: &[&str] = &[
    "x-forwarded",
    "x-auth-request",
    "x-evergate",
    "x-real-ip",
    "x-request-id",
    "x-client-ip",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-remote-user",
    "x-ssl-client",
    "forwarded",
    "evergate",
    "client-cert",
    "ssl-client",
    "remote-user",
    "true-client-ip",
    "proxy",
];

/// What other proxies and networks (CDNs) write of a client. Evergate writes none of them unless `CODER_PROXY_TRUSTED_HEADERS` names it,
/// and a client's own proves nothing. A route may set them.
const OTHER_PROXIES_HEADERS: &[&str] = &[
    "cf-connecting-ip",
    "cf-visitor",
    "cloudfront-forwarded-proto",
    "fastly-client-ip",
    "front-end-https",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-method",
    "x-proxyuser-ip",
    // Tornado reads it before `X-Forwarded-Proto`.
    "x-scheme",
    "x-url-scheme",
];

/// Reserved headers that a route may set all the same, because Evergate writes nothing there: what an app is told of its own address.
const SET_BY_ROUTES: &[&str] = &["x-forwarded-port", "x-forwarded-prefix", "x-forwarded-ssl"];

/// Whether a header is one that only Evergate may send. Header names are lower case in `http`.
pub fn is_reserved_header(name: &str) -> bool {
    // The first letter tells nearly every other header.
    matches!(name.as_bytes(), [b'x' | b'f' | b'e' | b'c' | b's' | b'r' | b't' | b'p', ..])
        && RESERVED_HEADERS.iter().any(|own| header_names::has_prefix(name, own))
}

/// Whether a route may set a header.
pub fn may_be_set(name: &str) -> bool {
    !is_reserved_header(name) || SET_BY_ROUTES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_identity_header_is_removed_and_nothing_else() {
        for spoof in [
            "x-forwarded-user",
            "X-Forwarded-User",
            "x_forwarded_user",
            "x-forwarded_groups",
            "x.forwarded.email",
            "x-forwarded-access-token",
            "x-forwarded-for",
            "forwarded",
            "x-real-ip",
            "x_real_ip",
            "x-auth-request-user",
            "x-evergate-renewed-at",
            "x-forwarded",
            "x-request-id",
            "x_forwarded-preferred_username",
            "evergate-response",
            "evergate-answer",
            "client-cert",
            "client-cert-chain",
            "x-ssl-client-s-dn",
            "ssl_client_verify",
            "proxy",
            "remote-user",
            "true-client-ip",
            "x-original-url",
            "x-original-forwarded-for",
            "x-original-host",
            "x-envoy-external-address",
            "x-cluster-client-ip",
            "cf_connecting_ip",
            "fastly-client-ip",
            "x-scheme",
            "X_Scheme",
            "x-url-scheme",
            "front-end-https",
            "x-proxyuser-ip",
            "x-azure-clientip",
            "x-appengine-user-ip",
            "cloudfront-forwarded-proto",
            "cf-visitor",
        ] {
            let mut headers = HeaderMap::from_iter([(spoof.parse::<HeaderName>().unwrap(), "admin".parse().unwrap())]);
            remove_reserved_headers(&mut headers, &[]);
            assert!(headers.is_empty(), "{spoof}");
        }
        for own in ["x-forwardeduser", "x-custom", "x-requested-with", "from", "authorization", "x-realip", "expect", "etag"] {
            let mut headers = HeaderMap::from_iter([(own.parse::<HeaderName>().unwrap(), "v".parse().unwrap())]);
            remove_reserved_headers(&mut headers, &[]);
            assert_eq!(headers.len(), 1, "{own}");
        }
    }

    #[test]
    fn every_spelling_of_a_configured_header_is_removed_and_nothing_else() {
        let configured = [HeaderName::from_static("x-webauth-user"), HeaderName::from_static("remote_name")];
        let given =
            ["X-WebAuth-User", "x_webauth_user", "x.webauth-user", "remote-name", "x-webauth-users", "x-webauth", "remotename"];
        let mut headers: HeaderMap =
            given.map(|given| (given.parse::<HeaderName>().unwrap(), "eve".parse().unwrap())).into_iter().collect();
        remove_reserved_headers(&mut headers, &configured);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["remotename", "x-webauth", "x-webauth-users"]);
    }
}
