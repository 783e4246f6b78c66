//! Keeps a client to the protocol that the TLS handshake chose (ALPN, RFC 7301). Without ALPN a TLS connection carries HTTP/1.1,
//! because HTTP/2 by prior knowledge is for plain text alone (RFC 9113, sections 3.2 and 3.3).

/// The connection preface that a client of HTTP/2 begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The ALPN name of HTTP/2.
const H2: &[u8] = b"h2";

/// The protocols that a client may begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// HTTP/1.1, or HTTP/2 by prior knowledge: on plain text.
    Either,
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What a client's first bytes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    /// Too few bytes to tell.
    Undecided,
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Another protocol than was expected.
    Unexpected,
}

impl Expected {
    /// What a TLS handshake that chose `alpn` lets the client speak.
    pub(super) fn after_tls(alpn: Option<&[u8]>) -> Self {
        if alpn == Some(H2) { Self::Http2 } else { Self::Http1 }
    }

    /// Tells the protocol by all bytes that came so far.
    pub(super) fn detect(self, received: &[u8]) -> Detected {
        let matching = PREFACE.iter().zip(received).take_while(|(a, b)| a == b).count();
        let is_http2 = if matching == PREFACE.len() {
            true
        } else if matching == received.len() {
            return Detected::Undecided;
        } else {
            false
        };
        match (is_http2, self) {
            (true, Self::Either | Self::Http2) => Detected::Http2,
            (false, Self::Either | Self::Http1) => Detected::Http1,
            (true, Self::Http1) | (false, Self::Http2) => Detected::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_speaks_nothing_but_the_protocol_that_the_handshake_chose() {
        use Detected::{Http1, Http2, Undecided, Unexpected};
        let get = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let priority = b"PRIORITY / HTTP/1.1\r\n\r\n";
        let tls = Expected::after_tls;
        for (expected, bytes, detected) in [
            (tls(Some(b"h2")), PREFACE, Http2),
            (tls(Some(b"h2")), get, Unexpected),
            (tls(Some(b"h2")), priority, Unexpected),
            (tls(Some(b"http/1.1")), PREFACE, Unexpected),
            (tls(Some(b"http/1.1")), get, Http1),
            (tls(Some(b"http/1.1")), priority, Http1),
            (tls(None), PREFACE, Unexpected),
            (tls(None), get, Http1),
            (Expected::Either, PREFACE, Http2),
            (Expected::Either, get, Http1),
            (Expected::Either, priority, Http1),
        ] {
            for step in [1, 5, 100] {
                let lengths = (0..=bytes.len()).step_by(step).chain([bytes.len()]);
                let mut found = lengths.map(|length| expected.detect(&bytes[..length]));
                let first = found.find(|detected| *detected != Undecided);
                assert_eq!(first, Some(detected), "{expected:?} {step}");
            }
        }
    }
}
