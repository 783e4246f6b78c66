//! Maps as a setting's value: a JSON object, or a flow mapping of YAML (`{admins: staff}`), which Coder takes too. JSON is a part of
//! YAML's flow style (YAML 1.2.2 section 7.4), so that one parser reads both.

use std::collections::BTreeMap;

/// One member's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// A text. A number, true or false is the text as it is written.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// What characters a plain text cannot begin with: YAML's indicators (section 5.3), which all mean something else.
const INDICATORS: &str = "-?:,[]{}#&*!|>'\"%@`";

/// Reads a map; `None` if it is none, names a key twice, or has members of other kinds.
pub(super) fn map(text: &str) -> Option<BTreeMap<String, Member>> {
    let mut rest = Rest(text.trim());
    rest.skip('{')?;
    let mut members = BTreeMap::new();
    while !rest.has_skipped('}') {
        let key = rest.key()?;
        let member = if rest.has_skipped('[') { Member::List(rest.list()?) } else { Member::Text(rest.text(false)?) };
        if members.insert(key, member).is_some() {
            return None;
        }
        if !rest.has_skipped(',') {
            rest.skip('}')?;
            break;
        }
    }
    rest.0.is_empty().then_some(members)
}

/// What is still to be read, without blanks before it.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn has_skipped(&mut self, character: char) -> bool {
        match self.0.strip_prefix(character) {
            Some(rest) => {
                self.0 = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn skip(&mut self, character: char) -> Option<()> {
        self.has_skipped(character).then_some(())
    }

    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest.trim_start();
        Some(taken)
    }

    /// A key and the colon after it. After a plain key a blank must follow the colon, or it would be a part of the key.
    fn key(&mut self) -> Option<String> {
        let is_quoted = self.0.starts_with(['"', '\'']);
        let key = self.text(true)?;
        let after = self.0.strip_prefix(':')?;
        (is_quoted || after.starts_with(char::is_whitespace)).then_some(())?;
        self.skip(':')?;
        Some(key)
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let mut members = Vec::new();
        while !self.has_skipped(']') {
            members.push(self.text(false)?);
            if !self.has_skipped(',') {
                self.skip(']')?;
                break;
            }
        }
        Some(members)
    }

    fn text(&mut self, is_key: bool) -> Option<String> {
        match self.0.chars().next()? {
            '"' => self.double_quoted(),
            '\'' => self.single_quoted(),
            _ => self.plain(is_key),
        }
    }

    /// With JSON's escapes; those that YAML alone has are refused.
    fn double_quoted(&mut self) -> Option<String> {
        let mut is_escaped = false;
        let end = self.0.char_indices().skip(1).find_map(|(at, character)| {
            let ends = character == '"' && !is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            ends.then_some(at + 1)
        })?;
        serde_json::from_str(self.take(end)?).ok()
    }

    /// With a doubled quote as the only escape.
    fn single_quoted(&mut self) -> Option<String> {
        let mut out = String::new();
        self.0 = self.0.strip_prefix('\'')?;
        loop {
            out.push_str(self.0.get(..self.0.find('\'')?)?);
            self.0 = self.0.get(self.0.find('\'')? + 1..)?;
            match self.0.strip_prefix('\'') {
                Some(rest) => {
                    out.push('\'');
                    self.0 = rest;
                }
                None => break,
            }
        }
        self.0 = self.0.trim_start();
        Some(out)
    }

    /// A plain text on one line. What YAML reads as null or as a comment is no text.
    fn plain(&mut self, is_key: bool) -> Option<String> {
        let ends = |(at, character): (usize, char)| {
            let ends_a_key = is_key
                && character == ':'
                && self.0.get(at + 1..).is_none_or(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
            (matches!(character, ',' | '[' | ']' | '{' | '}') || ends_a_key).then_some(at)
        };
        let end = self.0.char_indices().find_map(ends).unwrap_or(self.0.len());
        let text = self.take(end)?.trim_end();
        let means_something_else = text.starts_with(|first| INDICATORS.contains(first))
            || matches!(text, "" | "~" | "null" | "Null" | "NULL")
            || text.ends_with(':')
            || [": ", ":\t", " #", "\t#", "\n", "\r"].iter().any(|mark| text.contains(mark));
        (!means_something_else).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Member {
        Member::Text(text.to_owned())
    }

    fn list(members: &[&str]) -> Member {
        Member::List(members.iter().map(|member| (*member).to_owned()).collect())
    }

    #[test]
    fn json_and_yaml_are_read_alike() {
        for (given, expected) in [
            ("{}", vec![]),
            (" { } ", vec![]),
            (r#"{"a":"b"}"#, vec![("a", text("b"))]),
            ("{a: b}", vec![("a", text("b"))]),
            ("{a: b, }", vec![("a", text("b"))]),
            ("{\n  a: b c ,\n  d: 'it''s'\n}", vec![("a", text("b c")), ("d", text("it's"))]),
            (r#"{"a, \"b\"": "{c: d}"}"#, vec![("a, \"b\"", text("{c: d}"))]),
            (r#"{"\u00e4": "x\\"}"#, vec![("ä", text("x\\"))]),
            ("{https://x.example/a: urn:b:c}", vec![("https://x.example/a", text("urn:b:c"))]),
            ("{max_age: 3600, x: true, y: 1.50}", vec![("max_age", text("3600")), ("x", text("true")), ("y", text("1.50"))]),
            (r#"{"max_age":3600}"#, vec![("max_age", text("3600"))]),
            (r#"{"a":["b","c"],"d":[]}"#, vec![("a", list(&["b", "c"])), ("d", list(&[]))]),
            ("{a: [b c, 'd',], e: f}", vec![("a", list(&["b c", "d"])), ("e", text("f"))]),
            ("{'': ''}", vec![("", text(""))]),
        ] {
            let expected = expected.into_iter().map(|(key, member)| (key.to_owned(), member)).collect();
            assert_eq!(map(given), Some(expected), "{given}");
        }
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        for given in [
            "",
            "{",
            "}",
            "a",
            "a: b",
            "[]",
            "[a]",
            "{a}",
            "{a:b}",
            "{a: }",
            "{a: b",
            "{a: b}}",
            "{a: b} c",
            "{a: b c: d}",
            "{: a}",
            "{a: b, a: c}",
            "{a: {b: c}}",
            "{a: [[b]]}",
            "{a: [b}",
            "{a: null}",
            r#"{"a":null}"#,
            "{a: ~}",
            "{a: *b}",
            "{a: &b c}",
            "{a: !b c}",
            "{a: b # c\n}",
            "{a: b\nc}",
            "{a: 'b}",
            "{a: \"b}",
            r#"{a: "\q"}"#,
            "'{\"a\":\"b\"}'",
            "{a: - b}",
            "{,}",
            "{a: b,, c: d}",
            "{[a]: b}",
            "{a: b:}",
            "{a: \"b\" c}",
            "{a: \"b\"c: d}",
        ] {
            assert_eq!(map(given), None, "{given}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_json_object_of_texts_is_read_as_json(members in proptest::collection::btree_map(".{0,6}", ".{0,6}", 0..4)) {
            let expected = members.iter().map(|(key, value)| (key.clone(), text(value))).collect();
            proptest::prop_assert_eq!(map(&serde_json::to_string(&members).unwrap()), Some(expected));
        }

        #[test]
        fn no_text_breaks_the_parser(given in "[{}\\[\\]a:, '\"\\\\#\n]{0,12}") {
            let _any = map(&format!("{{{given}}}"));
        }
    }
}
