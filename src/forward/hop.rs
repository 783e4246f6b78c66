//! Headers that are one hop's own (RFC 9110 section 7.6.1), and the upgrade among them (section 7.8).

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Removes the hop's own headers and those that `Connection` lists. Identity headers of ours are added after
/// this, so naming them in `Connection` does not help a client (CV: `Connection: X-Forwarded-User`).
pub(super) fn remove(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let listed: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            // Framing and routing are not for a client to take from a request.
            .filter(|name| !matches!(*name, header::HOST | header::CONTENT_LENGTH | header::COOKIE | header::AUTHORIZATION))
            .collect();
        for name in listed {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    let trailers =
        headers.get(header::TE).is_some_and(|te| te.as_bytes().to_ascii_lowercase().windows(8).any(|word| word == b"trailers"));
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        HTTP2_SETTINGS,
        header::TRAILER,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
    ] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// The protocol that a request wants to change to. HTTP/2 in plain text is not offered for a tunnel: what
/// went through it would be requests that nobody had checked.
pub(super) fn wanted_upgrade<B>(request: &Request<B>) -> Option<HeaderValue> {
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let headers = request.headers();
    let asks = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let protocol = headers.get(header::UPGRADE).filter(|_| asks)?;
    let to_http2 = protocol.as_bytes().to_ascii_lowercase().windows(2).any(|pair| pair == b"h2");
    (!to_http2).then(|| protocol.clone())
}

/// Asks for, or grants, a change of protocol.
pub(super) fn ask_upgrade(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_hops_own_headers_and_those_it_lists_go_no_further() {
        let mut map = headers(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("te", "gzip, trailers"),
            ("upgrade", "x"),
            ("accept", "*/*"),
        ]);
        remove(&mut map);
        assert_eq!(map, headers(&[("te", "trailers"), ("accept", "*/*")]));
    }

    #[test]
    fn a_client_cannot_take_framing_or_credentials_out_by_listing_them() {
        let mut map =
            headers(&[("connection", "host, content-length, cookie"), ("host", "h"), ("content-length", "3"), ("cookie", "a=b")]);
        remove(&mut map);
        assert_eq!(map, headers(&[("host", "h"), ("content-length", "3"), ("cookie", "a=b")]));
    }

    #[test]
    fn an_upgrade_is_asked_for_in_http_1_1_and_never_to_http_2() {
        let wanted = |version, lines: &[(&str, &str)]| {
            let mut request = Request::new(());
            *request.version_mut() = version;
            *request.headers_mut() = headers(lines);
            wanted_upgrade(&request).is_some()
        };
        assert!(wanted(Version::HTTP_11, &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]));
        assert!(!wanted(Version::HTTP_11, &[("connection", "keep-alive"), ("upgrade", "websocket")]));
        assert!(!wanted(Version::HTTP_10, &[("connection", "upgrade"), ("upgrade", "websocket")]));
        assert!(!wanted(Version::HTTP_11, &[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]));
        assert!(!wanted(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "websocket, H2C")]));
    }
}
