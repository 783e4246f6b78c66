use super::*;

/// All interpretations of a path, whole.
fn alternatives(path: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for text in decoded_texts(path)? {
        all_interpretations(&text, usize::MAX, |one| {
            found.push(one.to_owned());
            true
        });
    }
    Some(found)
}

/// The same of what is behind a prefix; `None` where one of them is forbidden.
fn alternatives_behind_prefix(rest: &str) -> Option<Vec<String>> {
    let (mut found, texts) = (Vec::new(), decoded_texts(rest)?);
    for text in texts.iter().map(String::as_str).chain([rest]) {
        let is_allowed = all_interpretations_behind_prefix(text, usize::MAX, |one| {
            found.push(one.to_owned());
            true
        });
        if !is_allowed {
            return None;
        }
    }
    Some(found)
}

#[test]
fn a_path_has_these_other_interpretations() {
    for (path, others) in [
        ("/a/b", &[][..]),
        ("/", &[]),
        ("/A", &["/A"]),
        ("/a//b", &["/a//b", "/a/b"]),
        ("/a/", &[]),
        ("/a%2fb", &["/a%2fb", "/a/b"]),
        ("/a%252fb", &["/a%252fb", "/a%2fb", "/a/b"]),
        ("/a;p=1/b", &["/a/b", "/a;p=1/b"]),
        ("/a%20", &["/a", "/a ", "/a%20"]),
        ("/a%3fx", &["/a", "/a%3fx", "/a?x"]),
        ("/a%23x", &["/a", "/a#x", "/a%23x"]),
        ("//x/a", &["//x/a", "/a", "/x/a"]),
        ("/a.", &["/a", "/a."]),
        ("/%c1%a1", &["/%c1%a1", "/a"]),
        ("/%ef%bd%81", &["/%ef%bd%81", "/a"]),
        ("/%e0%81%a1", &["/a"]),
        ("/%f0%80%81%a1", &["/a"]),
        ("/%e2%93%90", &["/a"]),
        ("/a%e2%81%84b", &["/a/b"]),
        ("/a%e2%88%95b", &["/a/b"]),
        ("/a%e2%88%96b", &["/a/b"]),
        ("/A::$DATA/b", &["/A/b"]),
        ("/a:$i30:$index_allocation/b", &["/a/b"]),
        ("/a:name:$DATA", &["/a"]),
    ] {
        let found = alternatives(path).expect(path);
        for other in others {
            assert!(found.iter().any(|found| found == other), "{path} is {other} to some: {found:?}");
        }
        assert!(others.is_empty() == found.is_empty(), "{path}: {found:?}");
    }
}

#[test]
fn behind_a_prefix_a_plus_is_a_blank_and_a_scripts_name_is_left_out() {
    for (rest, other) in [("/a+", "/a"), ("/index.php/a", "/a"), ("/x/y.CGI/a", "/x/a"), ("/a%2fx.py%2fb", "/a/b")] {
        let found = alternatives_behind_prefix(rest).expect(rest);
        assert!(found.iter().any(|found| found == other), "{rest}: {found:?}");
    }
    for rest in ["/x.cfm/a", "/x.php5/a", "/x.phtml/a", "/x.aspx/a", "/x.lua/a", "/x.rb/a"] {
        assert!(alternatives_behind_prefix(rest).unwrap().iter().any(|found| found == "/a"), "{rest}");
    }
    for rest in ["/index.php", "/ann.smith/a", "/v1.2/a"] {
        let found = alternatives_behind_prefix(rest).unwrap();
        assert!(found.iter().all(|found| found == rest), "{rest} is what it is: {found:?}");
    }
}

#[test]
fn every_character_that_unicode_reads_as_ascii_is_read_so() {
    let mut read = 0;
    for letter in ('\u{80}'..=char::MAX).filter(|letter| letter.nfkc().all(|letter| letter.is_ascii())) {
        let (folded, form) = (fold_to_ascii(&letter.to_string()), letter.nfkc().collect::<String>());
        assert!(folded.eq_ignore_ascii_case(&form), "{letter:?} is {form:?}, and is read as {folded:?}");
        read += 1;
    }
    assert!(read > 1000, "{read}");
}

#[test]
fn no_server_is_asked_for_these() {
    for path in [
        "/..",
        "/.",
        "/a/../b",
        "/a/%2e%2e",
        "/a/%252e%252e",
        "/a/%25252e%25252e",
        "/a/..%2fb",
        "/..;x",
        "/..%20/x",
        "/a\\b",
        "/a%5c..%5cb",
        "/%",
        "/%z1",
        "/%1",
        "/a%00",
        "/a%0a",
        "/%c0%ae%c0%ae/x",
        "/%e0%80%ae%e0%80%ae/x",
        "/%f0%80%80%ae./x",
        "/a/%e2%80%a5/x",
        "/a/%e2%80%a4%e2%80%a4/x",
        "/a/..%e2%81%84x",
        "/a/..%e2%88%95x",
        "/a/..%e2%88%96x",
        "/a/..%ef%bc%8fx",
        "/a/..%cd%be/x",
        "/a/\u{ff0e}\u{fe52}/x",
    ] {
        assert_eq!(alternatives(path), None, "{path}");
        assert_eq!(alternatives_behind_prefix(path), None, "{path}");
    }
}

/// However one character of a path is encoded, the path as it was is among the interpretations.
#[test]
fn what_is_encoded_is_found() {
    let path = "/public/admin";
    for (at, character) in path.char_indices() {
        let (before, after) = (path.get(..at).unwrap(), path.get(at + 1..).unwrap());
        let byte = u32::from(character);
        let fullwidth = char::from_u32(byte - 0x21 + 0xFF01).unwrap();
        for encoded in [
            format!("%{byte:02x}"),
            format!("%{byte:02X}"),
            format!("%25{byte:02x}"),
            format!("%2525{byte:02x}"),
            format!("%c{:x}%{:02x}", byte >> 6, 0x80 | (byte & 0x3F)),
            fullwidth.to_string(),
            if character == '/' { "//".to_owned() } else { character.to_ascii_uppercase().to_string() },
        ] {
            let odd = [before, &encoded, after].concat();
            let found = alternatives(&odd).unwrap_or_else(|| panic!("{odd} is refused"));
            assert!(found.iter().any(|found| found.eq_ignore_ascii_case(path)), "{odd}: {found:?}");
        }
    }
}

/// Whoever is not authenticated chooses paths, some of which cost HTTP/2 a few bytes each.
#[test]
fn however_a_path_is_written_little_is_made_of_it() {
    const LIMIT: usize = 20;
    for piece in
        ["%ff+%2525ff.php/", "//", "/;", "/+", "a.php/", "/?", "%2525ff/+", "\u{2025}x/", "/%2f", "x%3f//", "%c0%80", " ", "/x;;"]
    {
        let path: String = std::iter::once("/x/").chain(std::iter::repeat(piece)).take(4000 / piece.len()).collect();
        let Some(texts) = decoded_texts(&path) else { continue };
        let decoded: usize = texts.iter().map(String::len).sum();
        assert!(decoded <= 40 * path.len(), "{piece:?}: {decoded}");
        let (mut interpretations, mut bytes) = (0, 0);
        let mut count = |one: &str| {
            interpretations += 1;
            bytes += one.len();
            true
        };
        for text in &texts {
            all_interpretations(text, LIMIT, &mut count);
            all_interpretations_behind_prefix(text, LIMIT, &mut count);
        }
        assert!(interpretations <= 500 && bytes <= 500 * 2 * (LIMIT + 1), "{piece:?}: {interpretations}, {bytes}");
    }
}

#[test]
fn a_long_path_is_not_decoded() {
    let long = |piece: &str, length: usize| format!("/{}", piece.repeat(length / piece.len()));
    assert!(decoded_texts(&long("%41", 4000)).is_some());
    assert_eq!(decoded_texts(&long("%41", 5000)), None);
    for piece in ["Ab", "a", "a;", "\u{e9}"] {
        assert!(decoded_texts(&long(piece, 60_000)).is_some_and(|texts| texts.len() <= 1), "{piece} is decoded once");
    }
}

#[test]
fn no_letter_is_cut_in_two_for_a_prefix_that_ends_before_it() {
    for (limit, head_of) in [(2, "/b"), (3, "/b\u{fc}"), (4, "/b\u{fc}"), (5, "/b\u{fc}c"), (99, "/b\u{fc}cher")] {
        assert_eq!(head("/b\u{fc}cher", limit), head_of, "{limit}");
    }
}
