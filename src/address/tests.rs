use http::{HeaderName, HeaderValue};

use super::*;

fn trusted() -> TrustedProxies {
    trusted_by(Vec::new())
}

fn trusted_by(headers: Vec<HeaderName>) -> TrustedProxies {
    TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()], headers)
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn sites() -> Sites {
    Sites::new(AccessUrl::parse("https://app.example").unwrap())
}

fn client(peer: &str, forwarded_for: &'static str) -> String {
    let headers = headers(&[("x-forwarded-for", forwarded_for)]);
    trusted().origin(peer.parse().unwrap(), Scheme::Http, "h", &headers, &sites()).client.to_string()
}

#[test]
fn the_client_is_the_rightmost_untrusted_address_and_only_for_a_trusted_peer() {
    assert_eq!(client("127.0.0.1", "198.51.100.7"), "198.51.100.7");
    assert_eq!(client("127.0.0.1", "203.0.113.66, 198.51.100.7, 10.1.2.3"), "198.51.100.7");
    assert_eq!(client("192.0.2.10", "198.51.100.7"), "192.0.2.10");
    assert_eq!(client("127.0.0.1", "198.51.100.7, garbage"), "unknown");
    assert_eq!(client("::ffff:127.0.0.1", "198.51.100.7"), "198.51.100.7");
}

#[test]
fn the_client_is_in_the_first_header_that_the_administrator_trusts() {
    let trusted = trusted_by(["cf-connecting-ip", "x-forwarded-for"].map(HeaderName::from_static).to_vec());
    let both =
        |cloudflare: &'static str| headers(&[("cf-connecting-ip", cloudflare), ("x-forwarded-for", "192.0.2.7, 10.1.2.3")]);
    let mut two = both("198.51.100.9");
    two.append("cf-connecting-ip", "198.51.100.8".parse().unwrap());
    for (peer, headers, client, chain) in [
        ("10.0.0.1", both("198.51.100.9"), "198.51.100.9", &["198.51.100.9"][..]),
        ("10.0.0.1", both("2001:db8::9"), "2001:db8::9", &["2001:db8::9"]),
        ("10.0.0.1", both("fe80::9%eth0"), "fe80::9", &["fe80::9"]),
        ("10.0.0.1", both("198.51.100.9, 198.51.100.8"), "unknown", &["unknown"]),
        ("10.0.0.1", two, "unknown", &["unknown"]),
        ("10.0.0.1", headers(&[("x-forwarded-for", "192.0.2.7")]), "192.0.2.7", &["192.0.2.7"]),
        ("10.0.0.1", headers(&[("true-client-ip", "192.0.2.7")]), "10.0.0.1", &[]),
        ("192.0.2.10", both("198.51.100.9"), "192.0.2.10", &[]),
    ] {
        let origin = trusted.origin(peer.parse().unwrap(), Scheme::Http, "h", &headers, &sites());
        let told: Vec<_> = origin.chain.iter().map(ToString::to_string).collect();
        assert_eq!(
            (origin.client.to_string().as_str(), told),
            (client, chain.iter().map(ToString::to_string).collect()),
            "{headers:?}"
        );
    }
    let only_cloudflare = trusted_by(vec![HeaderName::from_static("cf-connecting-ip")]);
    let forged = headers(&[("x-forwarded-for", "192.0.2.7")]);
    let origin = only_cloudflare.origin("10.0.0.1".parse().unwrap(), Scheme::Http, "h", &forged, &sites());
    assert_eq!(origin.client.to_string(), "10.0.0.1", "a header that is not named says nothing");
}

#[test]
fn an_address_is_read_with_its_port_and_brackets() {
    for (written, read) in [
        ("203.0.113.9:51234", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("\"[2001:db8::1]:443\"", "2001:db8::1"),
        ("203.0.113.9:51234, 10.1.2.3:80", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:1", "203.0.113.9"),
        ("203.0.113.9:port", "unknown"),
        ("unknown", "unknown"),
        ("203.0.113.9, fe80::1%eth0", "fe80::1"),
        // What proxies write of a client that has no address.
        ("203.0.113.9, unix:, 10.1.2.3", "unknown"),
        ("203.0.113.9, ", "unknown"),
        ("", "unknown"),
    ] {
        assert_eq!(client("127.0.0.1", written), read, "{written}");
    }
}

#[test]
fn a_client_that_writes_no_text_hides_nothing_of_what_a_proxy_adds() {
    for (line, read) in
        [(&b"\xff, 198.51.100.7"[..], "198.51.100.7"), (b"10.0.0.1, \xff, 10.1.2.3", "unknown"), (b"\xff", "unknown")]
    {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_bytes(line).unwrap())]);
        let origin = trusted().origin("10.0.0.1".parse().unwrap(), Scheme::Http, "h", &headers, &sites());
        assert_eq!(origin.client.to_string(), read, "{line:?}");
    }
}

#[test]
fn of_several_proxies_the_one_before_the_client_tells_what_it_asked_for() {
    for (lines, scheme, host) in [
        (vec![("x-forwarded-host", "app.example, middle.internal")], Scheme::Http, "app.example"),
        (vec![("x-forwarded-host", "APP.example:443, middle.internal")], Scheme::Http, "APP.example:443"),
        (vec![("x-forwarded-host", "evil.example, app.example")], Scheme::Http, "app.example"),
        (vec![("x-forwarded-host", "evil.example, other.example")], Scheme::Http, "other.example"),
        (vec![("x-forwarded-proto", "https, http"), ("x-forwarded-for", "192.0.2.1, 10.0.0.2")], Scheme::Https, "inner"),
        (vec![("x-forwarded-proto", "https, http"), ("x-forwarded-for", "192.0.2.1")], Scheme::Http, "inner"),
        (vec![("x-forwarded-proto", "https"), ("x-forwarded-for", "192.0.2.1, 10.0.0.2")], Scheme::Https, "inner"),
        (vec![("x-forwarded-proto", " , ")], Scheme::Http, "inner"),
    ] {
        let origin = trusted().origin("10.0.0.1".parse().unwrap(), Scheme::Http, "inner", &headers(&lines), &sites());
        assert_eq!((origin.scheme, origin.host.as_str()), (scheme, host), "{lines:?}");
    }
}

#[test]
fn an_untrusted_peer_cannot_choose_scheme_or_host() {
    let spoofed = headers(&[("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example")]);
    let origin = trusted().origin("192.0.2.10".parse().unwrap(), Scheme::Http, "app.example", &spoofed, &sites());
    assert_eq!((origin.scheme, origin.host.as_str()), (Scheme::Http, "app.example"));
    let origin = trusted().origin("10.0.0.1".parse().unwrap(), Scheme::Http, "inner", &spoofed, &sites());
    assert_eq!((origin.scheme, origin.host.as_str()), (Scheme::Https, "evil.example"));
}

#[test]
fn a_host_that_is_missing_doubled_or_contradicted_is_none() {
    let uri = |text: &str| text.parse::<http::Uri>().unwrap();
    let one = headers(&[("host", "a")]);
    assert_eq!(requested_host(&uri("/"), &one), Some("a"));
    assert_eq!(requested_host(&uri("http://a/"), &one), Some("a"));
    assert_eq!(requested_host(&uri("http://b/"), &one), None);
    assert_eq!(requested_host(&uri("/"), &HeaderMap::new()), None);
    let mut two = one;
    two.append("host", "a".parse().unwrap());
    assert_eq!(requested_host(&uri("/"), &two), None);
}

#[test]
fn the_access_url_is_an_origin_and_knows_its_default_port() {
    let url = AccessUrl::parse("https://app.example").unwrap();
    assert!(url.is_host("app.example") && url.is_host("APP.example:443") && !url.is_host("app.example:80"));
    assert_eq!(url.at("/oauth2/callback"), "https://app.example/oauth2/callback");
    let url = AccessUrl::parse("http://127.0.0.1:3000/").unwrap();
    assert!(url.is_host("127.0.0.1:3000") && !url.is_host("127.0.0.1"));
    for bad in ["app.example", "ftp://a", "https://a/b", "https://u:p@a", "https://a/?x"] {
        assert!(AccessUrl::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_server_is_told_by_its_address_and_its_port() {
    for (host, expected) in [
        ("app.example", ("app.example", None)),
        ("app.example:8443", ("app.example", Some(8443))),
        ("192.0.2.1:80", ("192.0.2.1", Some(80))),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("[2001:db8::1]:8443", ("2001:db8::1", Some(8443))),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("app.example:70000", ("app.example:70000", None)),
        ("app.example:", ("app.example:", None)),
        ("", ("", None)),
    ] {
        let origin = trusted().origin("192.0.2.10".parse().unwrap(), Scheme::Http, host, &HeaderMap::new(), &sites());
        assert_eq!(origin.server(), expected, "{host}");
    }
}
