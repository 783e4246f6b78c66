//! Values that must never be printed, and the random source that new ones are generated from.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

/// A text that must not be printed: a token, a client secret, a database URL. `Debug` masks it, there is no `Display`, and the
/// memory, which clones share, is zeroed when the last clone is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// Returns the text, for the code that has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Returns `N` bytes from the operating system's random source.
#[expect(clippy::panic, reason = "a gateway that cannot draw randomness must stop: any value it went on with could be guessed")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => bytes,
        Err(_) => panic!("the system's random source failed"),
    }
}

/// Returns `N` random bytes as URL-safe base64 without padding.
pub fn random_text<const N: usize>() -> String {
    use base64::prelude::*;
    BASE64_URL_SAFE_NO_PAD.encode(random::<N>())
}

/// Computes SHA-256, as which secrets that are only compared are stored.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// Decodes `N` bytes of lower-case hexadecimal. `None`: [`hex`] has not written it.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Encodes bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_as_it_is_written_and_no_other_way() {
        assert_eq!(hex(&[0x01, 0xab]), "01ab");
        assert_eq!(unhex("01ab"), Some([0x01, 0xab]));
        for odd in ["", "01a", "01abc", "01ab01", "01AB", "+1ab", "01a\u{e9}", "01 b"] {
            assert_eq!(unhex::<2>(odd), None, "{odd:?}");
        }
    }
}
