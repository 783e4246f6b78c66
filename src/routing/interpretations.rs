//! How servers interpret a path. They differ in what they decode, merge, cut and resolve; a path that a proxy and an upstream
//! interpret differently goes around the proxy's rules (path confusion).
//!
//! Whoever sends requests chooses how much there is to interpret, before anybody is authenticated. A path is therefore decoded a few
//! times as a whole, and no more of an interpretation is made than tells which route it leads to.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// How the type of a file's stream begins on Windows.
const STREAM_TYPE: &str = ":$";
/// How often a path is decoded at most; what is still encoded then, no server decodes.
const MAX_DECODINGS: usize = 3;
/// The longest path with an escape in it that is decoded, in bytes. Many servers take no longer request line than 8 KiB.
const MAX_ESCAPED: usize = 4096;

/// What servers decode a path to, as it is and decoded once or more often; nothing if no server interprets it otherwise than as it is.
/// Upper and lower case are not told apart.
///
/// `None` for a path that no server should be asked for: one with dot segments however they are written (`..`, `%2e%2e`, `..%2f`,
/// `..\`, `..;x`, `..%20`), with a control character, a backslash, a `%` without two digits, or with escapes and more than 4 KiB.
pub fn decoded_texts(path: &str) -> Option<Vec<String>> {
    let may_differ = |byte: &u8| matches!(byte, b'%' | b'\\' | b';') || byte.is_ascii_uppercase() || !byte.is_ascii_graphic();
    let is_plain = !path.as_bytes().iter().any(may_differ);
    if is_plain
        && !path.contains(STREAM_TYPE)
        && !path.contains("//")
        && !path.contains("/.")
        && !path.contains("./")
        && !path.ends_with('.')
    {
        return Some(Vec::new());
    }
    if path.contains('\\') || !has_valid_escapes(path) || path.len() > MAX_ESCAPED && path.contains('%') {
        return None;
    }
    let mut texts = Vec::new();
    let mut decoded = path.as_bytes().to_vec();
    for _ in 0..=MAX_DECODINGS {
        texts.extend(decode_text(&decoded));
        if !decoded.contains(&b'%') {
            break;
        }
        let further = decode(&decoded);
        if further == decoded {
            break;
        }
        decoded = further;
    }
    (!texts.iter().any(|text| has_forbidden_segments(text))).then_some(texts)
}

/// Whether all interpretations of a decoded text hold, of which no more than about `limit` bytes are looked at: whole or cut at what
/// would begin a query or a fragment, with what begins like a host or without it, as it is or resolved.
pub fn all_interpretations(text: &str, limit: usize, mut holds: impl FnMut(&str) -> bool) -> bool {
    beginnings(text).all(|path| holds(head(path, limit)) && holds(&resolve(path, limit)))
}

/// The same of what is behind a route's prefix, which is all that an upstream sees where the prefix is taken off.
///
/// Two more ways belong here alone, because a prefix with a script's name or a plus means just that: a script's name may be left out, as
/// CGI does (RFC 3875 section 4.1.5; `/index.php/x` is the page `/x` of many an app), and a plus may be a blank, as in forms.
pub fn all_interpretations_behind_prefix(text: &str, limit: usize, mut holds: impl FnMut(&str) -> bool) -> bool {
    let mut holds_of = |text: &str| {
        beginnings(text).all(|path| {
            holds(head(path, limit))
                && holds(&resolve(path, limit))
                && without_script(path, limit).is_none_or(|rest| holds(&rest))
                && resolve_without_script(path, limit).is_none_or(|rest| holds(&rest))
        })
    };
    if !text.contains('+') {
        return holds_of(text);
    }
    let spaced = text.replace('+', " ");
    !has_forbidden_segments(&spaced) && holds_of(text) && holds_of(&spaced)
}

/// Whether what is behind a prefix is interpreted otherwise than as it is though nothing of it is decoded.
pub fn has_script_or_plus(rest: &str, limit: usize) -> bool {
    rest.contains('+') || without_script(rest, limit).is_some()
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

/// Decodes overlong UTF-8: several bytes that encode one ASCII character, which no encoder writes, are that character.
fn decode_overlong(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        // The byte that has the highest bit of the character, and how many follow in which there is nothing.
        let (high, nothing) = match first {
            0xC0 | 0xC1 => (Some(*first), 0),
            0xE0 => (after.first().copied(), 1),
            0xF0 => (after.get(1).copied(), 2),
            0xF8 => (after.get(2).copied(), 3),
            0xFC => (after.get(3).copied(), 4),
            _ => (None, 0),
        };
        let is_empty =
            after.iter().take(nothing).enumerate().all(|(at, byte)| *byte == 0x80 || at + 1 == nothing && *byte == 0x81);
        match (high, after.get(nothing)) {
            (Some(high), Some(last)) if is_empty && last & 0xC0 == 0x80 => {
                plain.push((high & 1) << 6 | last & 0x3F);
                rest = after.get(nothing + 1..).unwrap_or_default();
            }
            _ => plain.push(*first),
        }
    }
    plain
}

/// Folds letters to those of ASCII: those of other forms (Unicode's compatibility forms: full width, `‥`, `ⓐ`, `ª`), signs that look like a
/// slash or a backslash, and those that are ASCII in another case (`ı`, `ſ`, `ﬁ`).
fn fold_to_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match u32::from(letter) {
            0..0x80 => out.push(letter),
            // In lower case it has a second dot for most, but not for all.
            0x130 => out.push('i'),
            // What was no UTF-8.
            0xFFFD => out.push(letter),
            0x2044 | 0x2215 | 0x29F8 => out.push('/'),
            0x2216 | 0x29F5 => out.push('\\'),
            // Most letters have no other form.
            _ if is_nfkc_quick(std::iter::once(letter)) == IsNormalized::Yes => fold_case(letter, &mut out),
            _ => letter.nfkc().for_each(|letter| fold_case(letter, &mut out)),
        }
    }
    out
}

fn fold_case(letter: char, out: &mut String) {
    if letter.is_ascii() {
        out.push(letter);
    } else if letter.to_uppercase().all(|upper| upper.is_ascii()) {
        out.extend(letter.to_uppercase());
    } else {
        out.extend(letter.to_lowercase());
    }
}

/// What some servers take off the ends: blanks, and what is one to JavaScript or was one in older versions of Unicode.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\u{180E}' | '\u{200B}' | '\u{FEFF}')
}

/// Whether a path has a control character, or a segment that means "here" or "above".
fn has_forbidden_segments(path: &str) -> bool {
    path.bytes().any(|byte| byte.is_ascii_control())
        || may_have_dot_segments(path)
            && path
                .split(['/', '\\', '?', '#'])
                .filter_map(|segment| segment.split(';').next())
                .any(|segment| matches!(segment.trim_matches(is_blank), "." | ".."))
}

/// Whether a dot stands where it could be one of a dot segment, as it does in few paths.
fn may_have_dot_segments(path: &str) -> bool {
    let may_be_next_to_it = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let bytes = path.as_bytes();
    path.match_indices('.').any(|(at, _)| {
        may_be_next_to_it(at.checked_sub(1).and_then(|before| bytes.get(before))) && may_be_next_to_it(bytes.get(at + 1))
    })
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

/// The paths that some servers see in a text: whole or cut at what would begin a query or a fragment, with what begins like a host or
/// without it.
fn beginnings(text: &str) -> impl Iterator<Item = &str> {
    let cut = text.bytes().position(|byte| matches!(byte, b'?' | b'#')).and_then(|end| text.get(..end));
    [Some(text), cut, without_host(text), cut.and_then(without_host)].into_iter().flatten()
}

/// So many bytes of it, or a few more: a letter that is cut off would make another path of it.
fn head(path: &str, limit: usize) -> &str {
    path.get(..path.ceil_char_boundary(limit)).unwrap_or(path)
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

/// The endings of scripts behind whose names servers take the rest of a path for the script's.
const SCRIPTS: [&str; 22] = [
    "asp", "aspx", "ashx", "asmx", "cfc", "cfm", "cfml", "cgi", "dll", "exe", "fcgi", "jsp", "jspx", "lua", "phar", "pht",
    "phtml", "pl", "py", "rb", "sh", "svc",
];

/// Whether a segment names a script.
fn is_script(segment: &str) -> bool {
    let Some((_, ending)) = segment.rsplit_once('.') else { return false };
    // Also `php5` and its like.
    let ending = ending.trim_end_matches(|digit: char| digit.is_ascii_digit());
    ending.eq_ignore_ascii_case("php") || SCRIPTS.iter().any(|script| ending.eq_ignore_ascii_case(script))
}

/// The path without the first segment that names a script and has something behind it, if that is near enough to matter.
fn without_script(path: &str, limit: usize) -> Option<String> {
    let mut start = 0;
    for segment in path.split_inclusive('/') {
        let end = start + segment.len();
        if segment.strip_suffix('/').is_some_and(is_script) {
            return Some([path.get(..start)?, head(path.get(end..)?, limit)].concat());
        }
        start = end;
        if start > limit {
            break;
        }
    }
    None
}

/// Segments without their parameters, their streams (`::$DATA` on Windows), and blanks and dots at their ends, empty ones left out;
/// backslashes are slashes.
fn segments(decoded: &str) -> impl Iterator<Item = &str> {
    decoded.split(['/', '\\']).filter_map(|segment| {
        let segment = segment.split(';').next().unwrap_or_default();
        let segment = without_stream(segment).trim_start_matches(is_blank);
        let segment = segment.trim_end_matches(|letter: char| letter == '.' || is_blank(letter));
        Some(segment).filter(|segment| !segment.is_empty())
    })
}

/// The segment without the name and the type of a stream, as in `dir:$i30:$INDEX_ALLOCATION`, where `dir` is meant.
fn without_stream(segment: &str) -> &str {
    match segment.split_once(':') {
        Some((file, stream)) if stream.contains(STREAM_TYPE) => file,
        Some(_) | None => segment,
    }
}

/// The path of these segments.
fn resolve(decoded: &str, limit: usize) -> String {
    let mut out = String::new();
    for segment in segments(decoded) {
        out.push('/');
        out.push_str(head(segment, limit));
        if out.len() > limit {
            return out;
        }
    }
    if out.is_empty() || decoded.ends_with('/') {
        out.push('/');
    }
    out
}

/// The path of these segments but for the first that names a script and has something behind it, if that is near enough to matter.
fn resolve_without_script(decoded: &str, limit: usize) -> Option<String> {
    let (mut out, mut is_without) = (String::new(), false);
    let ends_with_slash = decoded.ends_with('/');
    let mut segments = segments(decoded).peekable();
    while let Some(segment) = segments.next() {
        if !is_without && is_script(segment) && (ends_with_slash || segments.peek().is_some()) {
            is_without = true;
            continue;
        }
        out.push('/');
        out.push_str(head(segment, limit));
        if out.len() > limit {
            return is_without.then_some(out);
        }
    }
    if out.is_empty() || ends_with_slash {
        out.push('/');
    }
    is_without.then_some(out)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
