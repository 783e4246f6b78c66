//! The request that Envoy asks about over gRPC. It describes it in fields of its own, which no client writes, and hands the client's
//! headers on besides.

use std::str;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};

use super::{FORWARDED_HOST, FORWARDED_PROTO, Original, restore_upgrade, target};
use crate::{
    address::ClientAddress,
    ext_authz::{CheckRequest, Source},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Original {
    /// Rebuilds the request that a trusted ingress asks about, with the lines by which a proxy says where a request comes from.
    ///
    /// # Errors
    /// What is wrong.
    pub fn of_check(asked: &CheckRequest<'_>) -> Result<Self, &'static str> {
        let mut head = Request::new(()).into_parts().0;
        head.method = Method::from_bytes(asked.method).map_err(|_| "the original method is none")?;
        head.uri = Uri::from(target(asked.path)?);
        head.version = version(asked.protocol);
        for (name, value) in asked.headers().iter().filter(|(name, _)| !name.starts_with(b":")) {
            let name = HeaderName::from_bytes(name).map_err(|_| "the name of a header is malformed")?;
            let value = HeaderValue::from_bytes(value).map_err(|_| "the value of a header is malformed")?;
            head.headers.try_append(name, value).map_err(|_| "there are too many headers")?;
        }
        let host = HeaderValue::from_bytes(asked.host).map_err(|_| "the original host is malformed")?;
        head.headers.insert(HOST, host);
        // The ingress forwards it by that host, whatever another proxy or a client says of one.
        head.headers.remove(FORWARDED_HOST);
        let scheme = str::from_utf8(asked.scheme).ok().filter(|scheme| matches!(*scheme, "http" | "https"));
        if let Some(scheme) = scheme.and_then(|scheme| HeaderValue::from_str(scheme).ok()) {
            head.headers.insert(FORWARDED_PROTO, scheme);
        }
        tell_source(&mut head.headers, asked.source);
        restore_upgrade(&mut head.headers);
        Ok(Self { head, has_path: true, has_method: true })
    }
}

/// Whether a request that is asked about has no body, as far as the ingress knows. `size`: what it says of that.
pub fn has_no_body(size: i64, headers: &HeaderMap) -> bool {
    let is_empty = headers.get(CONTENT_LENGTH).is_none_or(|length| length.as_bytes() == b"0");
    size <= 0 && is_empty && !headers.contains_key(TRANSFER_ENCODING)
}

/// Adds the other end of the ingress's connection to the chain of addresses, unless the ingress has (`use_remote_address`). Without it
/// a client that the ingress does not add could write the whole chain: where it is not known what the other end is, nothing of the chain
/// is believed.
fn tell_source(headers: &mut HeaderMap, source: Source<'_>) {
    let last =
        headers.get_all(FORWARDED_FOR).iter().next_back().and_then(|line| line.as_bytes().rsplit(|byte| *byte == b',').next());
    let last = last.map(|last| ClientAddress::read(&String::from_utf8_lossy(last)));
    let source = match source {
        Source::Address(address) => ClientAddress::read(&String::from_utf8_lossy(address)),
        // Whoever the administrator lets use a socket on the ingress's machine is a proxy there, and says whom it speaks for.
        Source::Pipe if last.is_some() => return,
        Source::Pipe | Source::Unsaid => ClientAddress::Unknown,
    };
    if source == ClientAddress::Unknown {
        headers.insert(FORWARDED_FOR, HeaderValue::from_static("unknown"));
    } else if last != Some(source)
        && let Ok(source) = HeaderValue::try_from(source.to_string())
    {
        // There is room for it, or the head has more headers than any that is let pass.
        let _full = headers.try_append(FORWARDED_FOR, source);
    }
}

/// The version that the client speaks. What is unknown is judged as HTTP/1.1, whose messages can be framed in more ways.
fn version(protocol: &[u8]) -> Version {
    match protocol {
        b"HTTP/1.0" => Version::HTTP_10,
        b"HTTP/2" => Version::HTTP_2,
        b"HTTP/3" => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ext_authz::{PIPE, UNSAID, WITHIN, written_check};

    fn read(source: &str, fields: &[(u64, &str)], lines: &[(&str, &str)]) -> Result<Original, &'static str> {
        let message = written_check(source, fields, lines);
        Original::of_check(&CheckRequest::read(&message).unwrap().unwrap())
    }

    const GET: [(u64, &str); 5] = [(2, "GET"), (4, "/a%2Fb?c=d"), (5, "app.test"), (6, "https"), (10, "HTTP/2")];

    #[test]
    fn what_the_ingress_says_counts_and_not_what_its_client_does() {
        let lines = [
            (":path", "/public"),
            ("host", "open.test"),
            ("x-forwarded-host", "open.test"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-uri", "/public"),
            ("accept", "text/html"),
        ];
        let Original { head, has_path, has_method } = read("192.0.2.7", &GET, &lines).unwrap();
        assert_eq!((head.uri.to_string().as_str(), head.method, head.version), ("/a%2Fb?c=d", Method::GET, Version::HTTP_2));
        assert!(has_path && has_method);
        let all = |name: &str| head.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!((all("host"), all("x-forwarded-proto")), (vec!["app.test"], vec!["https"]));
        assert!(all("x-forwarded-host").is_empty());
        assert_eq!((all("accept"), all("x-forwarded-for")), (vec!["text/html"], vec!["192.0.2.7"]));
    }

    #[test]
    fn the_other_end_of_the_ingress_s_connection_is_the_last_of_the_chain() {
        let chain = |source: &str, lines: &[(&str, &str)]| {
            let head = read(source, &GET, lines).unwrap().head;
            head.headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap()).collect::<Vec<_>>().join(", ")
        };
        for (source, lines, expected) in [
            ("192.0.2.7", &[][..], "192.0.2.7"),
            ("192.0.2.7", &[("x-forwarded-for", "10.0.0.1")], "10.0.0.1, 192.0.2.7"),
            ("192.0.2.7", &[("x-forwarded-for", "10.0.0.1, 192.0.2.7")], "10.0.0.1, 192.0.2.7"),
            ("192.0.2.7", &[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-for", "10.0.0.1")], "192.0.2.7, 10.0.0.1, 192.0.2.7"),
            ("2001:db8::1", &[("x-forwarded-for", "2001:db8:0::1")], "2001:db8:0::1"),
            ("fe80::1%eth0", &[("x-forwarded-for", "10.0.0.1")], "10.0.0.1, fe80::1"),
            ("fe80::1%2", &[("x-forwarded-for", "10.0.0.1, fe80::1%2")], "10.0.0.1, fe80::1%2"),
            ("", &[("x-forwarded-for", "10.0.0.1")], "unknown"),
            ("@envoy", &[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.1")], "unknown"),
            ("10.0.0.1%eth0", &[], "unknown"),
            (WITHIN, &[("x-forwarded-for", "10.0.0.1")], "unknown"),
            (UNSAID, &[("x-forwarded-for", "10.0.0.1")], "unknown"),
            // A proxy on Envoy's machine, and one that does not say whom it speaks for.
            (PIPE, &[("x-forwarded-for", "10.0.0.1")], "10.0.0.1"),
            (PIPE, &[], "unknown"),
        ] {
            assert_eq!(chain(source, lines), expected, "{source} {lines:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (field, text) in
            [(2, ""), (2, "G T"), (4, ""), (4, "*"), (4, "a"), (4, "/a#b"), (4, "/a b"), (4, "http://x/"), (5, "app\ntest")]
        {
            let fields: Vec<_> = GET.iter().map(|known| if known.0 == field { (field, text) } else { *known }).collect();
            assert!(read("192.0.2.7", &fields, &[]).is_err(), "{field} {text:?}");
        }
        for line in [("a b", "c"), ("", "c"), ("a", "b\r\nc"), ("a", "\0")] {
            assert!(read("192.0.2.7", &GET, &[line]).is_err(), "{line:?}");
        }
        let name = |number: u32| format!("x-{number}");
        let names: Vec<String> = (0..40_000).map(name).collect();
        let lines: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert!(read("192.0.2.7", &GET, &lines).is_err(), "more than a map holds");
    }

    #[test]
    fn a_websocket_and_a_body_are_known_by_what_is_left_of_them() {
        let socket = read("192.0.2.7", &GET, &[("sec-websocket-key", "x")]).unwrap();
        assert!(socket.head.headers.contains_key("upgrade"));
        for (line, size, expected) in [
            (("accept", "a"), 0, true),
            (("content-length", "0"), -1, true),
            (("content-length", "5"), 0, false),
            (("transfer-encoding", "chunked"), 0, false),
            (("accept", "a"), 7, false),
        ] {
            let headers = read("192.0.2.7", &GET, &[line]).unwrap().head.headers;
            assert_eq!(has_no_body(size, &headers), expected, "{line:?} {size}");
        }
    }

    #[test]
    fn a_version_that_is_not_known_is_the_one_that_is_judged_most_strictly() {
        for (protocol, expected) in [
            ("HTTP/1.0", Version::HTTP_10),
            ("HTTP/1.1", Version::HTTP_11),
            ("HTTP/2", Version::HTTP_2),
            ("HTTP/3", Version::HTTP_3),
            ("", Version::HTTP_11),
        ] {
            assert_eq!(version(protocol.as_bytes()), expected, "{protocol}");
        }
    }
}
