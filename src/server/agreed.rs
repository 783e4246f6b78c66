//! The protocol that both sides agreed on in the TLS handshake (ALPN, RFC 7301): no other is spoken then. Without an agreement
//! TLS bears HTTP/1.1, because HTTP/2 by prior knowledge is for plain text alone (RFC 9113, sections 3.2 and 3.3).

/// What a client of HTTP/2 begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The ALPN name of HTTP/2.
const H2: &[u8] = b"h2";

/// What a client's first bytes are compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    is_http2: bool,
    /// So many bytes of the preface came.
    matched: usize,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// They may still become either.
    Undecided,
    /// They are what was agreed on.
    Kept,
    /// They are not.
    Broken,
}

impl Agreed {
    /// By what the handshake chose.
    pub(super) fn on(alpn: Option<&[u8]>) -> Self {
        Self { is_http2: alpn == Some(H2), matched: 0 }
    }

    /// Looks at what came next.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Judgement {
        let expected = PREFACE.get(self.matched..).unwrap_or_default();
        let same = expected.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        self.matched += same;
        let is_http2 = same == expected.len();
        match (is_http2 || same < bytes.len(), is_http2 == self.is_http2) {
            (false, _) => Judgement::Undecided,
            (true, true) => Judgement::Kept,
            (true, false) => Judgement::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_spoken_but_what_was_agreed_on() {
        use Judgement::{Broken, Kept};
        let get = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let priority = b"PRIORITY / HTTP/1.1\r\n\r\n";
        for (alpn, bytes, expected) in [
            (Some(&b"h2"[..]), PREFACE, Kept),
            (Some(b"h2"), get, Broken),
            (Some(b"h2"), priority, Broken),
            (Some(b"http/1.1"), PREFACE, Broken),
            (Some(b"http/1.1"), get, Kept),
            (Some(b"http/1.1"), priority, Kept),
            (None, PREFACE, Broken),
            (None, get, Kept),
        ] {
            for step in [1, 5, 100] {
                let mut agreed = Agreed::on(alpn);
                let mut judged = bytes.chunks(step).map(|piece| agreed.judge(piece));
                let first = judged.find(|judgement| *judgement != Judgement::Undecided);
                assert_eq!(first, Some(expected), "{alpn:?} {step}");
            }
        }
    }
}
