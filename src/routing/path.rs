//! How a path can be read. Servers differ in what they decode, merge, cut and resolve; whoever finds a path that a proxy and an
//! app read differently walks around the proxy's rules.

use std::borrow::Cow;

/// The ways in which some server would read a path, where they are not the path itself.
#[derive(Debug)]
pub struct Readings {
    others: Vec<String>,
}

/// So often is a path decoded; what is still encoded then, nobody decodes.
const MOST_DECODINGS: usize = 3;

impl Readings {
    /// `None` for a path that no server should be asked for: one with dot segments however they are written (`..`,
    /// `%2e%2e`, `..%2f`, `..\`, `..;x`, `..%20`), with a control character, a backslash, or an escape that is none.
    pub fn of(path: &str) -> Option<Self> {
        let may_differ = |byte: &u8| matches!(byte, b'%' | b'\\' | b';') || byte.is_ascii_uppercase() || !byte.is_ascii_graphic();
        let is_plain = !path.as_bytes().iter().any(may_differ);
        if is_plain && !path.contains("//") && !path.contains("/.") && !path.contains("./") && !path.ends_with('.') {
            return Some(Self { others: Vec::new() });
        }
        if path.contains('\\') || !escapes_are_whole(path) {
            return None;
        }
        let mut others = Vec::new();
        let mut decoded = Cow::Borrowed(path.as_bytes());
        for _ in 0..=MOST_DECODINGS {
            let text = text_of(&decoded);
            if has_traps(&text) {
                return None;
            }
            read(&text, &mut others);
            let further = decode(&decoded);
            if further == *decoded {
                break;
            }
            decoded = Cow::Owned(further);
        }
        others.sort_unstable();
        others.dedup();
        Some(Self { others })
    }

    /// The other ways, in which cases do not count.
    pub fn others(&self) -> &[String] {
        &self.others
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

/// Bytes as a careless server reads them: two bytes that encode one ASCII character (which no encoder writes) are that character,
/// and letters of full width are those of ASCII.
fn text_of(bytes: &[u8]) -> String {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after.first()) {
            (0xC0 | 0xC1, Some(second)) if second & 0xC0 == 0x80 => {
                plain.push((first & 1) << 6 | second & 0x3F);
                rest = after.get(1..).unwrap_or_default();
            }
            (byte, _) => plain.push(*byte),
        }
    }
    let narrow = |letter: char| match u32::from(letter) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFF01 + 0x21).unwrap_or(letter),
        // The two letters beyond ASCII that are of ASCII in another case.
        0x212A => 'k',
        0x017F => 's',
        _ => letter,
    };
    String::from_utf8_lossy(&plain).chars().map(narrow).collect()
}

/// A control character, or a segment that means "here" or "above".
fn has_traps(path: &str) -> bool {
    path.bytes().any(|byte| byte.is_ascii_control())
        || path
            .split(['/', '\\', '?', '#'])
            .filter_map(|segment| segment.split(';').next())
            .any(|segment| matches!(segment.trim(), "." | ".."))
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

/// Adds the ways to read what was decoded so far: whole or cut at what would begin a query or a fragment, with what begins like a
/// host or without it, as it is or resolved.
fn read(text: &str, others: &mut Vec<String>) {
    let cut = text.split(['?', '#']).next().unwrap_or_default();
    for path in [Some(text), Some(cut), without_host(text), without_host(cut)].into_iter().flatten() {
        others.push(path.to_owned());
        others.push(resolve(path));
    }
}

/// The path behind what is a host in a reference that begins with two slashes (RFC 3986 section 4.2). Some take any number of
/// slashes for two, and a backslash for a slash.
fn without_host(path: &str) -> Option<&str> {
    let rest = path.trim_start_matches(['/', '\\']);
    if path.len() - rest.len() < 2 {
        return None;
    }
    rest.find(['/', '\\']).map_or(Some("/"), |at| rest.get(at..))
}

/// Segments without their parameters and without blanks and dots at their ends, empty ones left out; backslashes are slashes.
fn resolve(decoded: &str) -> String {
    let mut out = String::with_capacity(decoded.len());
    for segment in decoded.split(['/', '\\']) {
        let segment = segment.split(';').next().unwrap_or_default().trim();
        let segment = segment.trim_end_matches(|letter: char| letter == '.' || letter.is_whitespace());
        if !segment.is_empty() {
            out.push('/');
            out.push_str(segment);
        }
    }
    if out.is_empty() || decoded.ends_with('/') {
        out.push('/');
    }
    out
}
