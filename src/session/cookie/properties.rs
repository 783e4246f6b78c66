//! Properties of the cookie codec.

use proptest::prelude::*;

use super::*;

/// The pairs of some lines, as every reader takes them apart.
fn apart<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).collect()
}

/// Whether a pair could be taken for one of ours by any reader: by name in any case, or by what a cookie without a name says.
fn is_reserved(pair: &[u8]) -> bool {
    let text = pair.to_ascii_lowercase();
    let text = text.strip_prefix(b"=").unwrap_or(&text).trim_ascii();
    let text = text.strip_prefix(b"__host-").unwrap_or(text);
    text.starts_with(b"evergate_")
}

/// Lines out of names that look like ours, and of bytes that a header may hold.
fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let words = prop::sample::select(vec![
        "evergate_session",
        "__Host-evergate_session",
        "__HOST-",
        "EVERGATE_",
        "evergate",
        "_login_1",
        "=",
        "=",
        ";",
        "; ",
        " ",
        "\t",
        "a",
        "b=2",
        ",",
        "\"",
        "$Version",
        "my_evergate_x",
    ]);
    let odd = prop::collection::vec(prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8, Just(b'\t')], 0..3);
    let piece = prop_oneof![4 => words.prop_map(|word| word.as_bytes().to_vec()), 1 => odd];
    let line = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    prop::collection::vec(line, 1..4)
}

fn headers(lines: &[Vec<u8>]) -> HeaderMap {
    lines.iter().map(|line| (header::COOKIE, HeaderValue::from_bytes(line).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_apps_cookies_pass_byte_for_byte_and_ours_never(lines in lines()) {
        let mut stripped = headers(&lines);
        Cookies::new(true, DEFAULT_NAME).strip_reserved_cookies(&mut stripped);
        let left: Vec<_> = stripped.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        prop_assert!(left.len() <= 1, "HTTP/1.1 has one line");
        let expected: Vec<_> = apart(lines.iter().map(Vec::as_slice)).into_iter().filter(|pair| !is_reserved(pair)).collect();
        prop_assert_eq!(apart(left.into_iter()), expected);
    }

    #[test]
    fn a_session_is_read_as_it_was_set(value in "[A-Za-z0-9_-]{43}", others in lines()) {
        let cookies = Cookies::new(true, DEFAULT_NAME);
        let set = cookies.set(cookies.session(), &value, Duration::from_secs(1)).unwrap();
        let pair = set.to_str().unwrap().split(';').next().unwrap().as_bytes().to_vec();
        // Two different ones are none.
        let is_another = |line: &Vec<u8>| {
            pairs(&headers(std::slice::from_ref(line))).any(|(name, _)| name == cookies.session().as_bytes())
        };
        let others: Vec<_> = others.into_iter().filter(|line| !is_another(line)).collect();
        let read = headers(&[others, vec![pair]].concat());
        prop_assert_eq!(cookies.session_value(&read), Some(value.as_str()));
    }
}
