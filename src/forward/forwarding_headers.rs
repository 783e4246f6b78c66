//! Where a request came from: `X-Forwarded-*` and `Forwarded` (RFC 7239), written anew. The client's own were removed before.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::own_headers::OwnHeaders;
use crate::address::{ClientAddress, Origin};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Writes where a request came from into `own_headers`, and the host into `headers`.
pub(super) fn write_forwarding_headers(headers: &mut HeaderMap, own_headers: &mut OwnHeaders, origin: &Origin) {
    let chain = if origin.chain.is_empty() { std::slice::from_ref(&origin.client) } else { &origin.chain };
    let mut addresses = String::with_capacity(16 * chain.len());
    let mut forwarded = String::with_capacity(32 * chain.len() + origin.host.len() + 32);
    for address in chain {
        let separator = if addresses.is_empty() { "" } else { ", " };
        addresses.push_str(separator);
        let start = addresses.len();
        match address {
            ClientAddress::Known(IpAddr::V4(address)) => push_v4(&mut addresses, *address),
            ClientAddress::Known(IpAddr::V6(_)) | ClientAddress::Unknown => {
                let _infallible = write!(addresses, "{address}");
            }
        }
        let written = addresses.get(start..).unwrap_or_default();
        // As RFC 7239 section 6 writes them.
        let is_ipv6 = address.known().is_some_and(|address| address.is_ipv6());
        let [before, after] = if is_ipv6 { ["for=\"[", "]\""] } else { ["for=", ""] };
        for part in [separator, before, written, after] {
            forwarded.push_str(part);
        }
    }
    forwarded.push_str(";host=\"");
    for part in origin.host.split(['"', '\\']) {
        forwarded.push_str(part);
    }
    forwarded.push_str("\";proto=");
    forwarded.push_str(origin.scheme.as_str());
    for (name, value) in [(FOR, addresses), (header::FORWARDED, forwarded)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            own_headers.push((name, value));
        }
    }
    own_headers.push((PROTO, HeaderValue::from_static(origin.scheme.as_str())));
    if let Ok(host) = HeaderValue::from_str(&origin.host) {
        own_headers.push((HOST, host.clone()));
        headers.insert(header::HOST, host);
    }
}

/// Writes the client's address, where it is known, under each of these names.
pub(super) fn write_client_address(headers: &mut HeaderMap, names: &[HeaderName], origin: &Origin) {
    let written = || origin.client.known().and_then(|address| HeaderValue::try_from(address.to_string()).ok());
    for name in names {
        if let Some(address) = written() {
            headers.insert(name.clone(), address);
        }
    }
}

/// Writes an address without the formatter's machinery, because each request needs it.
fn push_v4(out: &mut String, address: Ipv4Addr) {
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push('.');
        }
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let first = digits.iter().position(|digit| *digit > 0).unwrap_or(2);
        out.extend(digits.iter().skip(first).map(|digit| char::from(b'0' + digit)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scheme;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for octets in [[0, 0, 0, 0], [1, 10, 100, 101], [127, 0, 0, 1], [255, 250, 205, 9], [90, 99, 110, 200]] {
            let mut out = String::new();
            push_v4(&mut out, octets.into());
            assert_eq!(out, Ipv4Addr::from(octets).to_string());
        }
    }

    #[test]
    fn the_origin_is_told_in_both_forms() {
        let (mut headers, mut own_headers) = (HeaderMap::new(), OwnHeaders::new());
        let chain = ["2001:db8::1", "10.0.0.1"].map(ClientAddress::read).to_vec();
        write_forwarding_headers(
            &mut headers,
            &mut own_headers,
            &Origin { client: chain[0], scheme: Scheme::Https, host: "app.example".into(), chain },
        );
        headers.extend(own_headers);
        assert_eq!(headers[FOR], "2001:db8::1, 10.0.0.1");
        assert_eq!(headers[header::FORWARDED], "for=\"[2001:db8::1]\", for=10.0.0.1;host=\"app.example\";proto=https");
        // An app that takes the first address for its client's takes no proxy for it.
        let chain = ["unix:", "10.0.0.1"].map(ClientAddress::read).to_vec();
        let (mut nothing, mut of_unknown) = (HeaderMap::new(), OwnHeaders::new());
        let origin = Origin { client: chain[0], scheme: Scheme::Https, host: "app.example".into(), chain };
        write_forwarding_headers(&mut nothing, &mut of_unknown, &origin);
        nothing.extend(of_unknown);
        assert_eq!(nothing[FOR], "unknown, 10.0.0.1");
        assert_eq!(nothing[header::FORWARDED], "for=unknown, for=10.0.0.1;host=\"app.example\";proto=https");
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
