use super::*;

fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

fn list(members: &[&str]) -> Node {
    Node::List(members.iter().map(|member| text(member)).collect())
}

fn map(members: &[(&str, Node)]) -> Node {
    Node::Map(members.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

#[test]
fn json_and_yaml_are_read_alike_and_every_scalar_is_the_text_that_was_written() {
    for (given, expected) in [
        ("{}", map(&[])),
        (r#"{"a":"b"}"#, map(&[("a", text("b"))])),
        ("{a: b}", map(&[("a", text("b"))])),
        ("a: b", map(&[("a", text("b"))])),
        ("{a: b, }", map(&[("a", text("b"))])),
        ("{\n  a: b c ,\n  d: 'it''s'\n}", map(&[("a", text("b c")), ("d", text("it's"))])),
        (r#"{"a, \"b\"": "{c: d}"}"#, map(&[("a, \"b\"", text("{c: d}"))])),
        (r#"{"\u00e4": "x\\"}"#, map(&[("ä", text("x\\"))])),
        ("{https://x.example/a: urn:b:c}", map(&[("https://x.example/a", text("urn:b:c"))])),
        (
            "{a: 3600, b: true, c: 1.50, d: 0042}",
            map(&[("a", text("3600")), ("b", text("true")), ("c", text("1.50")), ("d", text("0042"))]),
        ),
        (r#"{"a":["b","c"],"d":[]}"#, map(&[("a", list(&["b", "c"])), ("d", list(&[]))])),
        ("a:\n- b\n- c d\n# e\nf:\n  g: h", map(&[("a", list(&["b", "c d"])), ("f", map(&[("g", text("h"))]))])),
        ("{a: , b: ~, c: '', d: 'null'}", map(&[("a", Node::Null), ("b", Node::Null), ("c", text("")), ("d", text("null"))])),
        ("", Node::Null),
        ("# only a comment\n", Node::Null),
        ("'{\"a\":\"b\"}'", text("{\"a\":\"b\"}")),
    ] {
        assert_eq!(parse(given), Ok(expected), "{given}");
    }
}

#[test]
fn what_could_mean_something_else_is_refused() {
    for given in [
        "{",
        "}",
        "{a: b",
        "{a: b}}",
        "{a: b} c",
        "{a: b, a: c}",
        "a: b\na: c",
        "{a: *b}",
        "{a: &b c}",
        "{a: !b c}",
        "a: !!binary eA==",
        "{a: 'b}",
        "{a: \"b}",
        r#"{a: "\q"}"#,
        "{[a]: b}",
        "a: b\n---\nc: d",
        "a:\n\tb: c",
        &format!("{}{}", "[".repeat(40), "]".repeat(40)),
    ] {
        assert!(parse(given).is_err(), "{given}");
    }
    assert_eq!(parse("a: b\nc: d\n  e: f").unwrap_err().to_string(), "line 3, column 4");
}

proptest::proptest! {
    #[test]
    fn every_json_object_of_texts_is_read_as_json(members in proptest::collection::btree_map("[ -~äöß]{0,6}", "[ -~äöß\n]{0,6}", 0..4)) {
        let expected = members.iter().map(|(key, value)| (key.clone(), Node::Text(value.clone()))).collect();
        proptest::prop_assert_eq!(parse(&serde_json::to_string(&members).unwrap()), Ok(Node::Map(expected)));
    }

    #[test]
    fn no_text_breaks_the_parser(given in "[{}\\[\\]a:, '\"\\\\#\n&*!|>-]{0,16}") {
        let _any = parse(&given);
    }
}
