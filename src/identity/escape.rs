//! Writes claims so that a text can neither end a header line nor become something else in it.

use std::fmt::Write;

use serde_json::Value;

/// Percent-encodes control characters, and in a member of a list the separator: a claim's text must neither end a header line
/// (header injection) nor add a member to a list. Also encodes whitespace at the ends, which header parsers strip, so that two users
/// would become one, and a percent sign that could be taken for one of these escapes. Other characters are written as UTF-8.
pub(super) fn escape(text: &str, separator: Option<&str>) -> String {
    let inner = text.trim();
    let start = text.len() - text.trim_start().len();
    let is_inner = |at: usize| (start..start + inner.len()).contains(&at);
    let mut out = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let rest = text.get(at..).unwrap_or_default();
        let must = character.is_ascii_control()
            || !is_inner(at)
            || (character == '%' && (separator.is_some() || is_escape_of_ours(rest)))
            || separator.is_some_and(|separator| separates(separator, character));
        if must {
            character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                let _infallible = write!(out, "%{byte:02X}");
            });
        } else {
            out.push(character);
        }
    }
    out
}

/// Whether a character is what separates members. Blanks around another character separate nothing.
fn separates(separator: &str, character: char) -> bool {
    let visible = separator.trim();
    if visible.is_empty() { separator.contains(character) } else { visible.contains(character) }
}

/// Whether a text begins with an escape that [`escape`] could write: of a control character, whitespace, a percent sign, or a
/// character beyond ASCII.
fn is_escape_of_ours(text: &str) -> bool {
    let digits = text.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    byte.is_some_and(|byte| byte <= b' ' || byte == b'%' || byte >= 0x7F)
}

/// JSON in ASCII alone, in which nothing needs to be encoded for a header: JSON escapes control characters itself.
pub(super) fn ascii_json(value: &Value) -> String {
    let text = value.to_string();
    if text.bytes().all(|byte| (b' '..0x7F).contains(&byte)) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if (' '..'\u{7f}').contains(&character) {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_is_encoded_where_it_has_the_list_s_own_separator() {
        for (separator, member, expected) in [
            (",", "a,b;c d", "a%2Cb;c d"),
            (";", "a,b;c d", "a,b%3Bc d"),
            (", ", "a,b c", "a%2Cb c"),
            (" ", "a,b c", "a,b%20c"),
            ("|", "a|b%7C", "a%7Cb%257C"),
            (",", "a\r\nX-Admin: 1", "a%0D%0AX-Admin: 1"),
        ] {
            assert_eq!(escape(member, Some(separator)), expected, "{separator:?}");
        }
    }

    #[test]
    fn json_is_ascii_and_reads_as_what_was_written() {
        for value in [json!(["Zoë", "a\r\nb", "😀", "del\u{7f}"]), json!({"a": [1, true, null]}), json!("plain")] {
            let text = ascii_json(&value);
            assert!(text.bytes().all(|byte| (b' '..0x7F).contains(&byte)), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    proptest! {
        #[test]
        fn lists_of_different_members_are_never_the_same_text(
            one in prop::collection::vec("[a, ;%2C\r\u{e9}]{1,4}", 1..4),
            other in prop::collection::vec("[a, ;%2C\r\u{e9}]{1,4}", 1..4),
            separator in "[,;| ]",
        ) {
            let joined = |members: &[String]| {
                members.iter().map(|member| escape(member, Some(&separator))).collect::<Vec<_>>().join(&separator)
            };
            prop_assert_eq!(joined(&one) == joined(&other), one == other);
            prop_assert!(!joined(&one).contains(['\r', '\n']));
        }
    }
}
