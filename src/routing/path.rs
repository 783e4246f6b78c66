//! How a path can be read. Servers differ in what they decode, merge and resolve; whoever finds a path that a proxy and an
//! app read differently walks around the proxy's rules.

use std::borrow::Cow;

/// The ways in which some server would read a path.
#[derive(Debug)]
pub struct Readings {
    /// Where it is not the path itself: percent-decoded to the end, with backslashes as slashes and slashes merged, parameters of segments (`;`) taken off.
    resolved: Option<String>,
}

/// So often is a path decoded; what is still encoded then, nobody decodes.
const MOST_DECODINGS: usize = 3;

impl Readings {
    /// `None` for a path that no server should be asked for: one with dot segments however they are written (`..`,
    /// `%2e%2e`, `..%2f`, `..\`, `..;x`), with a NUL, a backslash, or an escape that is none.
    pub fn of(path: &str) -> Option<Self> {
        let may_differ = |byte: &u8| matches!(byte, b'%' | b'\\' | b';') || byte.is_ascii_uppercase() || !byte.is_ascii_graphic();
        if !path.as_bytes().iter().any(may_differ) && !path.contains("//") && !path.contains("/.") {
            return Some(Self { resolved: None });
        }
        if path.contains('\\') || !escapes_are_whole(path) {
            return None;
        }
        let mut decoded = Cow::Borrowed(path.as_bytes());
        for _ in 0..MOST_DECODINGS {
            if has_traps(&decoded) {
                return None;
            }
            let further = decode(&decoded);
            if further == *decoded {
                break;
            }
            decoded = Cow::Owned(further);
        }
        if has_traps(&decoded) {
            return None;
        }
        Some(Self { resolved: Some(resolve(&decoded)) })
    }

    /// The other way, in which cases do not count.
    pub fn other(&self) -> Option<&str> {
        self.resolved.as_deref()
    }
}

/// The rest of a reading behind a prefix, which is compared without case.
pub fn strip_prefix_loosely<'a>(reading: &'a str, prefix: &str) -> Option<&'a str> {
    let head = reading.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| reading.get(prefix.len()..)).flatten()
}

/// Every `%` is followed by two hexadecimal digits (RFC 3986 section 2.1).
fn escapes_are_whole(path: &str) -> bool {
    path.as_bytes()
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| path.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// A NUL, or a segment that means "here" or "above".
fn has_traps(path: &[u8]) -> bool {
    path.contains(&0)
        || path
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .filter_map(|segment| segment.split(|byte| *byte == b';').next())
            .any(|segment| matches!(segment, b"." | b".."))
}

/// Decodes once; an escape that is none stays as it is.
fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escape = match after {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => out.push(*first),
        }
    }
    out
}

/// Segments without their parameters, empty ones left out.
fn resolve(decoded: &[u8]) -> String {
    let mut out = String::with_capacity(decoded.len());
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let segment = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if !segment.is_empty() {
            out.push('/');
            out.push_str(&String::from_utf8_lossy(segment));
        }
    }
    if out.is_empty() || decoded.ends_with(b"/") {
        out.push('/');
    }
    out
}
