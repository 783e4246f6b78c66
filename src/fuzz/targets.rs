//! Targets whose functions are public within the crate.

use std::{collections::BTreeMap, io::Write, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

use super::run;
use crate::{
    address::{AccessUrl, ClientAddress, Scheme, Sites, TrustedProxies},
    config::{Environment, Problems, check, print},
    exchange::Original,
    ext_authz::{CheckRequest, Source, unframed},
    jose::{KeySet, SignedToken},
    policy::{Policy, Rule},
    routing::{Route, Routes},
    session::cookie::{Cookies, DEFAULT_NAME},
    sign_in::return_to::ReturnTo,
};

/// The lines of an input that a header may hold.
fn values(data: &[u8]) -> impl Iterator<Item = HeaderValue> {
    data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line.trim_ascii()).ok())
}

/// A path that takes a public route is read by nobody as one under the protected prefix within it.
#[test]
fn request_path() {
    let route = |prefix: &str, rule, target| Route {
        host: None,
        prefix: prefix.to_owned(),
        rule,
        serves_stale: true,
        identity: Default::default(),
        assertion: None,
        app_tokens: false,
        cors: None,
        shown: None,
        keeps_form_posts: false,
        target,
    };
    let admins = Policy { allowed_groups: vec!["admins".to_owned()], ..Policy::default() };
    let routes = Routes::new(vec![
        route("", Rule::signed_in(Policy::default()), 0),
        route("/public", Rule::public(), 1),
        route("/public/admin", Rule::signed_in(admins), 2),
    ]);
    run("request_path", &["/public", "/public/admin", "%2561dmin", "%2e%2e%2f", ";", "%5c", "\u{ff0f}"], |data| {
        let Ok(path) = str::from_utf8(data) else { return };
        // What comes after these is no part of the path.
        let path = format!("/{}", path.trim_start_matches('/').split(['?', '#']).next().unwrap_or_default());
        let Ok(taken) = routes.find("app.example", &path) else { return };
        assert!(!path.contains('\\') && !path.contains(char::is_control), "an app may take it for a separator");
        let mut decoded = path.clone();
        for _ in 0..3 {
            for (escape, plain) in
                [("%25", "%"), ("%2f", "/"), ("%2F", "/"), ("%61", "a"), ("%64", "d"), ("%6d", "m"), ("//", "/")]
            {
                decoded = decoded.replace(escape, plain);
            }
            let is_admins = decoded.to_ascii_lowercase().starts_with("/public/admin/");
            assert!(taken.target != 1 || !is_admins, "{path:?} takes the public route");
        }
    });
}

/// No address leads to another origin, and what was checked is its own check.
#[test]
fn return_address() {
    let access = AccessUrl::parse("https://app.example").unwrap();
    run("return_address", &["https://", "//evil.example", "app.example", "@", "\t", "javascript:", "/.//"], |data| {
        let checked = ReturnTo::parse(&String::from_utf8_lossy(data), &access);
        let origin = |url: Result<Url, url::ParseError>| url.unwrap().origin();
        assert_eq!(origin(Url::parse(&access.at(checked.path()))), access.as_url().origin());
        assert_eq!(origin(access.as_url().join(checked.path())), access.as_url().origin());
        assert_eq!(ReturnTo::parse(checked.path(), &access), checked);
    });
}

/// What an ingress asks over gRPC is read or refused, and what is read of it is the ingress's, whatever its client says.
#[test]
fn check_request() {
    let words =
        ["\x1a", "\x22\x02/a", "\x2a", "\x6a", "\x0a", ":path", "x-forwarded-host", "x-forwarded-for", "cookie", "HTTP/2"];
    run("check_request", &words, |data| {
        let message = unframed(data).unwrap_or(data);
        let Ok(Some(asked)) = CheckRequest::read(message) else { return };
        let Ok(original) = Original::of_check(&asked) else { return };
        let Original { head, has_path, has_method } = original;
        assert!(has_path && has_method);
        assert_eq!(head.uri.path_and_query().map(|target| target.as_str().as_bytes()), Some(asked.path));
        assert!(head.uri.path().starts_with('/') && head.method.as_str().as_bytes() == asked.method);
        assert!(head.headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes).eq([asked.host]));
        assert!(!head.headers.contains_key("x-forwarded-host"));
        let last =
            head.headers.get_all("x-forwarded-for").iter().next_back().map(|line| String::from_utf8_lossy(line.as_bytes()));
        let last = last.as_deref().and_then(|line| line.rsplit(',').next()).map(ClientAddress::read);
        match asked.source {
            Source::Address(address) => {
                let source = ClientAddress::read(&String::from_utf8_lossy(address));
                assert_eq!(last, Some(source), "the chain ends with the other end of the connection");
            }
            Source::Unsaid => assert_eq!(last, Some(ClientAddress::Unknown), "nothing of the chain is believed"),
            Source::Pipe => assert!(head.headers.contains_key("x-forwarded-for"), "nobody is taken for the ingress"),
        }
    });
}

/// The app's cookies pass as they are, ours never, and what was stripped once stays as it is.
#[test]
fn cookie_header() {
    let cookies = Cookies::new(true, DEFAULT_NAME);
    run("cookie_header", &["__Host-", "evergate_", "evergate_session=", "; ", "=", "\t"], |data| {
        let mut headers: HeaderMap = values(data).map(|value| (header::COOKIE, value)).collect();
        let _any = (
            cookies.session_value(&headers),
            cookies.bindings(&headers).count(),
            cookies.has_attempt_of_previous_release(&headers),
        );
        cookies.strip_reserved_cookies(&mut headers);
        let once: Vec<_> = headers.get_all(header::COOKIE).iter().cloned().collect();
        for pair in once.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')) {
            let name = pair.trim_ascii().to_ascii_lowercase();
            assert!(!name.starts_with(b"evergate_") && !name.starts_with(b"__host-evergate_"), "ours goes to the app");
        }
        cookies.strip_reserved_cookies(&mut headers);
        assert!(headers.get_all(header::COOKIE).iter().eq(once.iter()));
    });
}

/// Whoever is no trusted proxy says nothing, and of a chain all but the first address are trusted proxies.
#[test]
fn forwarded_headers() {
    let networks: Vec<ipnet::IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let trusted = TrustedProxies::new(networks.clone(), Vec::new());
    let sites = Sites::new(AccessUrl::parse("https://app.example").unwrap());
    let is_trusted = |address: &ClientAddress| address.is_in(&networks);
    run(
        "forwarded_headers",
        &["10.0.0.1", ", ", "[fd00::1]:443", "::ffff:10.0.0.1", "https", "app.example", "unknown", "fe80::1%eth0"],
        |data| {
            let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"].map(HeaderName::from_static);
            let headers: HeaderMap = names.iter().cycle().cloned().zip(values(data)).collect();
            let outside = trusted.origin("192.0.2.1".parse().unwrap(), Scheme::Http, "app.example", &headers, &sites);
            assert_eq!(
                (outside.client.to_string().as_str(), outside.host.as_str(), outside.chain.len()),
                ("192.0.2.1", "app.example", 0)
            );
            assert_eq!(outside.scheme, Scheme::Http);
            let inside = trusted.origin("10.0.0.9".parse().unwrap(), Scheme::Http, "app.example", &headers, &sites);
            assert!(inside.chain.iter().skip(1).all(is_trusted), "{inside:?}");
            assert_eq!(inside.client, inside.chain.first().copied().unwrap_or(ClientAddress::read("10.0.0.9")));
        },
    );
}

/// A key set has the same keys when it is printed and read again, and never more than are allowed. Of a member that cannot be read nothing
/// can be printed.
#[test]
fn key_set() {
    run("key_set", &[r#""kty":"RSA""#, r#""kty":"EC""#, r#""crv":"P-256""#, r#""use":"enc""#, r#""keys":["#, "AQAB"], |data| {
        let Ok(keys) = KeySet::parse(data) else { return };
        assert!(keys.len() <= 128);
        let Ok(document) = serde_json::from_slice::<serde_json::Value>(data) else { return };
        assert_eq!(KeySet::parse(document.to_string().as_bytes()).map(|again| again.len()), Ok(keys.len()));
    });
}

/// Any text is taken apart without harm.
#[test]
fn signed_token() {
    run("signed_token", &[".", "eyJhbGciOiJub25lIn0", "e30"], |data| {
        let text = String::from_utf8_lossy(data);
        if let Ok(token) = SignedToken::parse(&text) {
            assert_eq!(text.trim().split('.').count(), 3);
            let _any = (token.typ(), token.unverified().members.len());
        }
    });
}

/// A settings file is read, or its problems are said; what is printed of it is read again as the same.
#[test]
fn settings_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let mut runs = 0_u32;
    let file = std::cell::RefCell::new(&mut file);
    let runs = std::cell::RefCell::new(&mut runs);
    run("settings_file", &["[[route]]", "\"\"\"", "path = ", "rule = \"public\"", "true", "0s", "https://", " = "], |data| {
        // Each costs a file: one in ten.
        **runs.borrow_mut() += 1;
        if **runs.borrow() % 10 != 1 {
            return;
        }
        let mut file = file.borrow_mut();
        file.as_file().set_len(0).unwrap();
        std::io::Seek::rewind(file.as_file_mut()).unwrap();
        file.write_all(data).unwrap();
        let environment = Environment { variables: BTreeMap::new(), config_path: Some(path.clone()), ..Environment::default() };
        let mut problems = Problems::default();
        let raw = environment.read(&mut problems);
        let printed = print::effective(&raw);
        assert_eq!(print::effective(&environment.read(&mut Problems::default())), printed);
        if let Ok(checked) = check(&raw, problems) {
            assert!(checked.renewal.outage_grace < Duration::MAX);
        }
    });
}
