//! What the upstream is told about where a request came from: `X-Forwarded-*` and `Forwarded` (RFC 7239),
//! written anew; the client's own were removed before.

use std::{fmt::Write, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::address::Origin;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

pub(super) fn rebuild(headers: &mut HeaderMap, origin: &Origin) {
    let chain = if origin.chain.is_empty() { std::slice::from_ref(&origin.client) } else { &origin.chain };
    let mut addresses = String::with_capacity(16 * chain.len());
    let mut forwarded = String::with_capacity(32 * chain.len() + origin.host.len() + 32);
    for address in chain {
        let separator = if addresses.is_empty() { "" } else { ", " };
        let _infallible = write!(addresses, "{separator}{address}");
        let _infallible = match address {
            IpAddr::V4(address) => write!(forwarded, "{separator}for={address}"),
            // As RFC 7239 section 6 writes it.
            IpAddr::V6(address) => write!(forwarded, "{separator}for=\"[{address}]\""),
        };
    }
    forwarded.push_str(";host=\"");
    forwarded.extend(origin.host.chars().filter(|character| !matches!(character, '"' | '\\')));
    forwarded.push_str("\";proto=");
    forwarded.push_str(origin.scheme.as_str());
    for (name, value) in [(FOR, addresses), (header::FORWARDED, forwarded)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers.insert(PROTO, HeaderValue::from_static(origin.scheme.as_str()));
    if let Ok(host) = HeaderValue::from_str(&origin.host) {
        headers.insert(HOST, host.clone());
        headers.insert(header::HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scheme;

    #[test]
    fn the_origin_is_told_in_both_forms() {
        let mut headers = HeaderMap::new();
        let chain = vec!["2001:db8::1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        rebuild(&mut headers, &Origin { client: chain[0], scheme: Scheme::Https, host: "app.example".into(), chain });
        assert_eq!(headers[FOR], "2001:db8::1, 10.0.0.1");
        assert_eq!(headers[header::FORWARDED], "for=\"[2001:db8::1]\", for=10.0.0.1;host=\"app.example\";proto=https");
        assert_eq!(
            (&headers[PROTO], &headers[HOST], &headers[header::HOST]),
            (
                &HeaderValue::from_static("https"),
                &HeaderValue::from_static("app.example"),
                &HeaderValue::from_static("app.example")
            )
        );
    }
}
