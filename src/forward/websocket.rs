//! As much of WebSocket (RFC 6455) as it takes to close one properly: where its frames end, and what a close frame is.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::prelude::*;
use http::HeaderValue;

/// Whether a tunnel carries WebSocket frames.
pub(super) fn is_websocket(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// Whether `accept` is the answer to a key that shows that a server speaks WebSocket (section 4.2.2). A client of HTTP/2 sends no
/// key, and so cannot see whether an upstream of HTTP/1.1 does (RFC 8441 section 5): the proxy checks.
pub(super) fn accepts(key: &HeaderValue, accept: Option<&HeaderValue>) -> bool {
    let proof = [key.as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let proof = BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &proof));
    accept.is_some_and(|accept| accept.as_bytes() == proof.as_bytes())
}

/// Why a WebSocket is closed (section 7.4.1, and the registry of section 11.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// Evergate drains, and another replica takes the next one.
    ServiceRestart,
    /// The session has ended.
    SessionEnded,
}

impl Close {
    /// The frame as a server sends it. 1012, "service restart", makes clients reconnect that take 1001, "going away", for a user who
    /// left; 1008 is "policy violation".
    pub(super) fn to_client(self) -> Vec<u8> {
        match self {
            Self::ServiceRestart => frame(1012, "service restart", None),
            Self::SessionEnded => frame(1008, "session ended", None),
        }
    }

    /// The frame as a client sends it, masked. It is the client who leaves its app, as when a user closes the page: 1001.
    pub(super) fn to_server(self) -> Vec<u8> {
        match self {
            Self::ServiceRestart => frame(1001, "", Some([0; 4])),
            Self::SessionEnded => frame(1008, "session ended", Some([0; 4])),
        }
    }
}

/// A close frame (section 5.5.1). A mask of zero leaves the payload as it is.
fn frame(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    // The reasons are those above, and short.
    let length = u8::try_from(payload.len()).unwrap_or(0) | if mask.is_some() { 0x80 } else { 0 };
    [&[0x88, length][..], mask.as_ref().map_or(&[][..], |mask| &mask[..]), &payload].concat()
}

/// Where a frame's first byte has its opcode, and that of a close frame (section 5.2).
const OPCODE: u8 = 0x0F;
const CLOSE_OPCODE: u8 = 0x08;

/// Follows the bytes of one direction, and tells whether they stand between two frames.
#[derive(Debug, Default)]
pub(super) struct FrameTracker {
    head: Vec<u8>,
    payload_left: u64,
}

impl FrameTracker {
    /// Whether a frame may be inserted here.
    pub(super) fn at_boundary(&self) -> bool {
        self.head.is_empty() && self.payload_left == 0
    }

    /// Follows `bytes`.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.step(bytes);
        }
    }

    /// Follows `bytes` up to a close frame, and returns how many come before it.
    pub(super) fn advance_to_close(&mut self, bytes: &[u8]) -> usize {
        let mut left = bytes;
        while left.first().is_some_and(|first| !self.at_boundary() || first & OPCODE != CLOSE_OPCODE) {
            left = self.step(left);
        }
        bytes.len() - left.len()
    }

    /// Follows a payload, or one byte of a head. Returns what comes after it.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.payload_left > 0 {
            let skipped = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
            self.payload_left -= skipped as u64;
            return bytes.get(skipped..).unwrap_or_default();
        }
        let Some((first, rest)) = bytes.split_first() else { return bytes };
        self.head.push(*first);
        if let Some(length) = payload_length(&self.head) {
            self.payload_left = length;
            self.head.clear();
        }
        rest
    }
}

/// The payload's length once the whole head of a frame (section 5.2) is there.
fn payload_length(head: &[u8]) -> Option<u64> {
    let (mask, short) = (head.get(1)? & 0x80 != 0, head.get(1)? & 0x7F);
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if head.len() < 2 + extended + if mask { 4 } else { 0 } {
        return None;
    }
    let wide = head.get(2..2 + extended)?.iter().fold(0, |length: u64, byte| length << 8 | u64::from(*byte));
    Some(if extended == 0 { u64::from(short) } else { wide })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_answer() {
        // The example of RFC 6455 section 1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert!(accepts(&key, Some(&HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))));
        assert!(!accepts(&key, Some(&HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOp="))) && !accepts(&key, None));
    }

    #[test]
    fn close_frames_bear_their_code_and_a_reason() {
        assert_eq!(Close::ServiceRestart.to_client(), b"\x88\x11\x03\xF4service restart");
        assert_eq!(Close::ServiceRestart.to_server(), b"\x88\x82\0\0\0\0\x03\xE9");
        assert_eq!(Close::SessionEnded.to_client(), b"\x88\x0F\x03\xF0session ended");
        assert_eq!(Close::SessionEnded.to_server(), b"\x88\x8F\0\0\0\0\x03\xF0session ended");
    }

    fn data(mask: bool, length: usize) -> Vec<u8> {
        let mut bytes = vec![0x82];
        let bit = if mask { 0x80 } else { 0 };
        match length {
            0..126 => bytes.push(bit | u8::try_from(length).unwrap()),
            126..65_536 => {
                bytes.push(bit | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(vec![7; if mask { 4 } else { 0 } + length]);
        bytes
    }

    #[test]
    fn frames_of_every_form_are_followed_however_they_are_cut() {
        for (mask, length) in [(false, 0), (true, 0), (true, 5), (false, 125), (true, 126), (false, 300), (true, 70_000)] {
            let bytes = data(mask, length);
            for cut in [1, 2, 3, 7, bytes.len()] {
                let mut frames = FrameTracker::default();
                let mut passed = 0;
                for piece in bytes.chunks(cut) {
                    frames.advance(piece);
                    passed += piece.len();
                    assert_eq!(
                        frames.at_boundary(),
                        passed == bytes.len(),
                        "mask {mask}, length {length}, cut {cut}, after {passed}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_close_frame_is_found_between_frames_and_nowhere_else() {
        // A payload that looks like a close frame.
        let like_a_close = [&[0x82, 0x82, 0, 0, 0, 0][..], &[0x88, 0x80]].concat();
        let close = Close::ServiceRestart.to_server();
        let bytes = [like_a_close.clone(), data(true, 300), close, data(true, 5)].concat();
        let expected = like_a_close.len() + data(true, 300).len();
        for cut in [1, 2, 3, 7, bytes.len()] {
            let (mut frames, mut passed) = (FrameTracker::default(), 0);
            for piece in bytes.chunks(cut) {
                let advanced = frames.advance_to_close(piece);
                passed += advanced;
                if advanced < piece.len() {
                    break;
                }
            }
            assert_eq!((passed, frames.at_boundary()), (expected, true), "cut {cut}");
        }
    }
}
