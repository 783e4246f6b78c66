use super::*;

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
    assert_eq!(alternatives_behind_prefix("/index.php"), Some(Vec::new()), "a script by itself is what it is");
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
