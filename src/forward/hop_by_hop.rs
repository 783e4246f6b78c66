//! Hop-by-hop headers (RFC 9110 section 7.6.1), and the upgrade among them (section 7.8).

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};

use super::{
    clear_site_data::CLEAR_SITE_DATA,
    own_headers::{OLD_RESPONSE_MARK, RESPONSE_MARK},
    websocket::is_websocket,
};

/// Whether a header is hop-by-hop by its name.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "http2-settings"
            | "trailer"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

/// Whether a header says where a message ends, whom it is for, or is hop-by-hop: with another value, or without it, the message
/// would be another one. Edits may not name such headers.
pub fn is_framing_header(name: &HeaderName) -> bool {
    is_hop_by_hop(name) || *name == header::CONTENT_LENGTH || *name == header::HOST
}

/// Removes hop-by-hop headers and those that `Connection` lists. Identity headers are added after this, so that a client cannot
/// remove them by naming them in `Connection` (`Connection: X-Forwarded-User`).
pub(super) fn remove(headers: &mut HeaderMap) {
    remove_all(headers, is_hop_by_hop);
}

/// Removes hop-by-hop headers from a response, but for the announcement of its trailers, and the mark of Evergate's own responses.
pub(super) fn remove_from_response(headers: &mut HeaderMap) {
    remove_all(headers, |name| (is_hop_by_hop(name) && *name != header::TRAILER) || is_mark(name));
}

/// Removes from a response's trailers what may stand in a head alone (RFC 9110 section 6.5.1), or not even there. HTTP/2 takes no
/// hop-by-hop field in trailers (RFC 9113 section 8.2.2), and some clients merge trailers into the head.
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    remove_all(trailers, |name| is_framing_header(name) || is_for_a_head_alone(name) || is_mark(name));
    // A field of trailers as well as of requests.
    trailers.remove(header::TE);
}

/// Whether a field of a response's head is none of its trailers, as hyper has it towards clients of HTTP/1.1.
fn is_for_a_head_alone(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::AUTHORIZATION
            | header::CACHE_CONTROL
            | header::CONTENT_ENCODING
            | header::CONTENT_RANGE
            | header::CONTENT_TYPE
            | header::MAX_FORWARDS
            | header::SET_COOKIE
    ) || *name == CLEAR_SITE_DATA
}

/// Whether a field marks Evergate's own responses.
fn is_mark(name: &HeaderName) -> bool {
    *name == RESPONSE_MARK || *name == OLD_RESPONSE_MARK
}

/// Removes what speaks of a body from a response that has none.
pub(super) fn remove_framing(headers: &mut HeaderMap) {
    for name in [header::CONTENT_LENGTH, header::TRAILER] {
        headers.remove(name);
    }
}

fn remove_all(headers: &mut HeaderMap, is_own: impl Fn(&HeaderName) -> bool) {
    // Looking at each name once costs less than asking for ten that are seldom there.
    let found: Vec<HeaderName> = headers.keys().filter(|name| is_own(name)).cloned().collect();
    if found.is_empty() {
        return;
    }
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // Skipped, because nearly all requests list them and they name no header.
        .filter(|word| !word.eq_ignore_ascii_case(b"keep-alive") && !word.eq_ignore_ascii_case(b"close"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        // Framing and routing are not for a client to take from a request.
        .filter(|name| !matches!(*name, header::HOST | header::CONTENT_LENGTH | header::COOKIE | header::AUTHORIZATION))
        .collect();
    let trailers =
        headers.get(header::TE).is_some_and(|te| te.as_bytes().to_ascii_lowercase().windows(8).any(|word| word == b"trailers"));
    for name in found.into_iter().chain(listed) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// The change of protocol that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// `Connection: upgrade` in HTTP/1.1 (RFC 9110 section 7.8), to this protocol.
    Connection(HeaderValue),
    /// A WebSocket on a stream of HTTP/2 (RFC 8441).
    Stream,
}

impl Upgrade {
    /// The upgrade that a request asks for, of WebSocket and `others`, which a route must name. A request for any other upgrade is
    /// sent on as a plain one (RFC 9110 section 7.8).
    pub(super) fn requested<B>(request: &Request<B>, others: &[String]) -> Option<Self> {
        if is_extended_connect(request.method(), request.extensions()) {
            return Some(Self::Stream);
        }
        if request.version() != Version::HTTP_11 {
            return None;
        }
        let headers = request.headers();
        let protocol = headers.get(header::UPGRADE)?;
        let asks = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
        let is_offered = is_websocket(protocol)
            || others.iter().any(|other| protocol.as_bytes().trim_ascii().eq_ignore_ascii_case(other.as_bytes()));
        (asks && headers.get_all(header::UPGRADE).iter().count() == 1 && is_offered).then(|| Self::Connection(protocol.clone()))
    }

    /// Asks the upstream for the upgrade, in HTTP/1.1. `key` is random: RFC 6455 section 4.1 requires one, and clients of HTTP/2 send
    /// none.
    pub(super) fn write_to_upstream(&self, method: &mut Method, headers: &mut HeaderMap, key: impl FnOnce() -> HeaderValue) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        match self {
            Self::Connection(protocol) => {
                headers.insert(header::UPGRADE, protocol.clone());
            }
            Self::Stream => {
                *method = Method::GET;
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_KEY, key());
            }
        }
    }

    /// Accepts the upgrade towards the client, as the upstream did.
    pub(super) fn accept<B>(&self, response: &mut Response<B>, protocol: &HeaderValue) {
        match self {
            Self::Connection(_) => {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                response.headers_mut().insert(header::UPGRADE, protocol.clone());
            }
            Self::Stream => {
                *response.status_mut() = StatusCode::OK;
                response.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
            }
        }
    }
}

/// Whether a request opens a WebSocket on a stream of HTTP/2 (RFC 8441). Any other CONNECT asks for a tunnel to another host.
pub fn is_extended_connect(method: &Method, extensions: &Extensions) -> bool {
    let protocol = extensions.get::<hyper::ext::Protocol>();
    *method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_lists_go_no_further() {
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
    fn trailers_have_nothing_that_belongs_to_a_head() {
        let mut trailers = headers(&[
            ("x-sum", "1"),
            ("grpc-status", "0"),
            ("connection", "x-listed"),
            ("x-listed", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("content-length", "5"),
            ("content-type", "text/html"),
            ("host", "evil"),
            ("set-cookie", "evergate_session=evil"),
            ("evergate-response", "signed_in"),
            ("evergate-answer", "signed_in"),
        ]);
        clean_trailers(&mut trailers);
        assert_eq!(trailers, headers(&[("x-sum", "1"), ("grpc-status", "0")]));
    }

    #[test]
    fn an_upgrade_is_asked_for_in_http_1_1_to_a_websocket_or_what_a_route_names() {
        let wanted = |version, lines: &[(&str, &str)]| {
            let mut request = Request::new(());
            *request.version_mut() = version;
            *request.headers_mut() = headers(lines);
            Upgrade::requested(&request, &["tcp".to_owned()]).is_some()
        };
        assert!(wanted(Version::HTTP_11, &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]));
        assert!(!wanted(Version::HTTP_11, &[("connection", "keep-alive"), ("upgrade", "websocket")]));
        assert!(!wanted(Version::HTTP_10, &[("connection", "upgrade"), ("upgrade", "websocket")]));
        assert!(!wanted(Version::HTTP_11, &[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]));
        assert!(!wanted(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "websocket, H2C")]));
        assert!(!wanted(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")]));
        assert!(wanted(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "TCP")]));
        for other in ["TLS/1.0", "HTTP/2.0", "foo", "tcp2", ""] {
            assert!(!wanted(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", other)]), "{other}");
        }
    }
}
