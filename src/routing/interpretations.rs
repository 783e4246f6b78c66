//! How servers interpret a path. They differ in what they decode, merge, cut and resolve; a path that a proxy and an upstream
//! interpret differently goes around the proxy's rules (path confusion).

use std::borrow::Cow;

/// How often a path is decoded at most; what is still encoded then, no server decodes.
const MAX_DECODINGS: usize = 3;

/// The ways in which some server would interpret a path, other than as it is. Upper and lower case are not told apart.
///
/// `None` for a path that no server should be asked for: one with dot segments however they are written (`..`, `%2e%2e`, `..%2f`,
/// `..\`, `..;x`, `..%20`), with a control character, a backslash, or a `%` without two digits.
pub fn alternatives(path: &str) -> Option<Vec<String>> {
    let may_differ = |byte: &u8| matches!(byte, b'%' | b'\\' | b';') || byte.is_ascii_uppercase() || !byte.is_ascii_graphic();
    let is_plain = !path.as_bytes().iter().any(may_differ);
    if is_plain && !path.contains("//") && !path.contains("/.") && !path.contains("./") && !path.ends_with('.') {
        return Some(Vec::new());
    }
    if path.contains('\\') || !has_valid_escapes(path) {
        return None;
    }
    let mut others = Vec::new();
    let mut decoded = Cow::Borrowed(path.as_bytes());
    for _ in 0..=MAX_DECODINGS {
        for text in decode_text(&decoded) {
            if has_forbidden_segments(&text) {
                return None;
            }
            interpret(&text, &mut others);
        }
        let further = decode(&decoded);
        if further == *decoded {
            break;
        }
        decoded = Cow::Owned(further);
    }
    others.sort_unstable();
    others.dedup();
    Some(others)
}

/// The ways to interpret what is behind a route's prefix, which is all that an upstream sees where the prefix is taken off.
///
/// Two belong here alone, because a prefix with a script's name or a plus means just that: a script's name may be left out, as CGI
/// does (RFC 3875 section 4.1.5; `/index.php/x` is the page `/x` of many an app), and a plus may be a blank, as in forms.
pub fn alternatives_behind_prefix(rest: &str) -> Option<Vec<String>> {
    let mut others = alternatives(rest)?;
    if rest.contains('+') {
        others.extend(alternatives(&rest.replace('+', " "))?);
    }
    let without_script: Vec<_> = others.iter().map(String::as_str).chain([rest]).filter_map(without_script).collect();
    others.extend(without_script);
    Some(others)
}

/// The rest of a path behind a prefix, which is compared without regard to case.
pub fn strip_prefix_ignoring_case<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let head = path.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| path.get(prefix.len()..)).flatten()
}

/// Whether every `%` is followed by two hexadecimal digits (RFC 3986 section 2.1).
fn has_valid_escapes(path: &str) -> bool {
    path.as_bytes()
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| path.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Bytes as careless servers decode them. What is not UTF-8 is Latin-1 to some, and is left out by others.
fn decode_text(bytes: &[u8]) -> Vec<String> {
    let mut texts = vec![fold_to_ascii(&String::from_utf8_lossy(&decode_overlong(bytes)))];
    if str::from_utf8(bytes).is_err() {
        let (mut latin, mut rid) = (String::new(), String::new());
        for chunk in bytes.utf8_chunks() {
            latin.push_str(chunk.valid());
            latin.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
            rid.push_str(chunk.valid());
        }
        texts.extend([fold_to_ascii(&latin), fold_to_ascii(&rid)]);
    }
    texts
}

/// Decodes overlong UTF-8: two bytes that encode one ASCII character, which no encoder writes, are that character.
fn decode_overlong(bytes: &[u8]) -> Vec<u8> {
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
    plain
}

/// Folds letters to those of ASCII: those of full width, and those that are ASCII in another case (`ı`, `ſ`, `ﬁ`).
fn fold_to_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match u32::from(letter) {
            0..0x80 => out.push(letter),
            wide @ 0xFF01..=0xFF5E => out.push(char::from_u32(wide - 0xFF01 + 0x21).unwrap_or(letter)),
            // In lower case it has a second dot for most, but not for all.
            0x130 => out.push('i'),
            _ if letter.to_uppercase().all(|upper| upper.is_ascii()) => out.extend(letter.to_uppercase()),
            _ => out.extend(letter.to_lowercase()),
        }
    }
    out
}

/// What some servers take off the ends: blanks, and what is one to JavaScript or was one in older versions of Unicode.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{180E}' | '\u{200B}' | '\u{FEFF}')
}

/// Whether a path has a control character, or a segment that means "here" or "above".
fn has_forbidden_segments(path: &str) -> bool {
    path.bytes().any(|byte| byte.is_ascii_control())
        || path
            .split(['/', '\\', '?', '#'])
            .filter_map(|segment| segment.split(';').next())
            .any(|segment| matches!(segment.trim_matches(is_blank), "." | ".."))
}

/// Decodes percent-encoding once; a `%` without two digits stays as it is.
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

/// Adds the ways to interpret what was decoded so far: whole or cut at what would begin a query or a fragment, with what begins
/// like a host or without it, as it is or resolved.
fn interpret(text: &str, others: &mut Vec<String>) {
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

/// The path without the first segment that names a script and has something behind it.
fn without_script(path: &str) -> Option<String> {
    let is_script = |segment: &str| {
        let ending = segment.rsplit_once('.').map(|(_, ending)| ending);
        ending.is_some_and(|ending| ["php", "cgi", "fcgi", "pl", "py"].iter().any(|script| ending.eq_ignore_ascii_case(script)))
    };
    let mut start = 0;
    for segment in path.split_inclusive('/') {
        let end = start + segment.len();
        if segment.strip_suffix('/').is_some_and(is_script) {
            return Some([path.get(..start)?, path.get(end..)?].concat());
        }
        start = end;
    }
    None
}

/// Segments without their parameters and without blanks and dots at their ends, empty ones left out; backslashes are slashes.
fn resolve(decoded: &str) -> String {
    let mut out = String::with_capacity(decoded.len());
    for segment in decoded.split(['/', '\\']) {
        let segment = segment.split(';').next().unwrap_or_default().trim_start_matches(is_blank);
        let segment = segment.trim_end_matches(|letter: char| letter == '.' || is_blank(letter));
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

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
