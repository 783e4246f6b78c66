//! The administrator's own logo, which we serve ourselves.

use bytes::Bytes;

/// An image of `CODER_LOGO_FILE`.
#[derive(Clone, Debug)]
pub struct Logo {
    /// Its media type.
    pub media_type: &'static str,
    /// The file.
    pub bytes: Bytes,
}

/// Why a file is no logo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// It is larger than 256 KiB.
    #[error("must be a file of 256 KiB at most")]
    TooLarge,
    /// It is of another kind.
    #[error("must be a PNG, WebP, JPEG or SVG file")]
    UnknownKind,
}

/// Every browser that signs in loads it.
const LARGEST: usize = 256 * 1024;

impl Logo {
    /// The image in these bytes, whose kind they tell themselves.
    ///
    /// # Errors
    /// [`LogoError`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, LogoError> {
        if bytes.len() > LARGEST {
            return Err(LogoError::TooLarge);
        }
        let media_type = match bytes.as_slice() {
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => "image/png",
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
            text if std::str::from_utf8(text).is_ok_and(is_svg) => "image/svg+xml",
            _ => return Err(LogoError::UnknownKind),
        };
        Ok(Self { media_type, bytes: bytes.into() })
    }
}

/// Whether the first element of a text is `svg`.
fn is_svg(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let (opening, closing) = match rest {
            _ if rest.starts_with("<!--") => ("<!--", "-->"),
            _ if rest.starts_with("<?") => ("<?", "?>"),
            _ if rest.starts_with("<!") => ("<!", ">"),
            _ => return rest.strip_prefix("<svg").is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n', '>'])),
        };
        let Some((_, after)) = rest.get(opening.len()..).and_then(|rest| rest.split_once(closing)) else { return false };
        rest = after.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_s_kind_is_what_its_bytes_say() {
        let kind = |bytes: &[u8]| Logo::parse(bytes.to_vec()).map(|logo| logo.media_type);
        assert_eq!(kind(b"\x89PNG\r\n\x1a\n..."), Ok("image/png"));
        assert_eq!(kind(b"\xff\xd8\xff\xe0"), Ok("image/jpeg"));
        assert_eq!(kind(b"RIFF\0\0\0\0WEBPVP8 "), Ok("image/webp"));
        for svg in ["<svg xmlns='x'/>", "\u{feff}<?xml version='1.0'?>\n<!-- a <b> -->\n<!DOCTYPE svg>\n<svg\n>"] {
            assert_eq!(kind(svg.as_bytes()), Ok("image/svg+xml"), "{svg}");
        }
        for other in ["", "<html><svg>", "<svgx>", "<!-- <svg ", "GIF89a", "<?", "<!>"] {
            assert_eq!(kind(other.as_bytes()), Err(LogoError::UnknownKind), "{other}");
        }
        assert_eq!(kind(&vec![b' '; LARGEST + 1]), Err(LogoError::TooLarge));
    }
}
