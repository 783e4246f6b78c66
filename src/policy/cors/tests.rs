use super::*;

fn cors(change: impl FnOnce(&mut CorsSettings)) -> Cors {
    let pattern = |text: &&str| OriginPattern::parse(text).unwrap();
    let mut settings = CorsSettings {
        origins: ["https://friend.example", "https://*.apps.example.com"].iter().map(pattern).collect(),
        methods: Allowed::Only(vec![Method::GET, Method::PUT]),
        headers: Allowed::Only(vec![header::AUTHORIZATION, HeaderName::from_static("x-trace")]),
        exposed_headers: Allowed::Only(vec![header::ETAG]),
        credentials: true,
        max_age: Some(Duration::from_secs(600)),
    };
    change(&mut settings);
    Cors::new(settings)
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), value.parse().unwrap());
    }
    headers
}

fn text(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort_unstable();
    lines
}

/// The lines of a response to a request with this `Origin`, which the app has made with `theirs`.
fn written(cors: &Cors, origin: Option<&str>, maker: ResponseMaker, theirs: &[(&'static str, &str)]) -> Vec<String> {
    let asked: Vec<(&'static str, &str)> = origin.map(|origin| ("origin", origin)).into_iter().collect();
    let mut response = headers(theirs);
    cors.write(&mut response, &cors.origin_of(&headers(&asked)), maker);
    text(&response)
}

#[test]
fn a_preflight_is_an_options_request_with_an_origin_and_the_method_that_it_asks_about() {
    let whole = headers(&[("origin", "https://a.test"), ("access-control-request-method", "PUT")]);
    assert!(is_preflight(&Method::OPTIONS, &whole));
    assert!(!is_preflight(&Method::GET, &whole));
    for name in ["origin", "access-control-request-method"] {
        let mut part = whole.clone();
        part.remove(name);
        assert!(!is_preflight(&Method::OPTIONS, &part), "without {name}");
    }
    for name in ["x-http-method-override", "x_http_method_override", "x-method-override"] {
        let mut more = whole.clone();
        more.insert(name, "DELETE".parse().unwrap());
        assert!(!is_preflight(&Method::OPTIONS, &more), "with {name}");
    }
}

#[test]
fn a_preflight_of_an_allowed_origin_is_told_what_is_allowed_and_no_other_is_told_anything() {
    let cors = cors(|_| {});
    for origin in ["https://friend.example", "https://a.apps.example.com"] {
        assert_eq!(
            written(&cors, Some(origin), ResponseMaker::Preflight, &[]),
            [
                "access-control-allow-credentials: true",
                "access-control-allow-headers: authorization, x-trace",
                "access-control-allow-methods: GET, PUT",
                &format!("access-control-allow-origin: {origin}"),
                "access-control-max-age: 600",
                "vary: Origin",
            ]
        );
    }
    for origin in [None, Some("https://evil.test"), Some("null"), Some("https://friend.example.evil.test")] {
        assert_eq!(written(&cors, origin, ResponseMaker::Preflight, &[]), ["vary: Origin"], "{origin:?}");
    }
}

#[test]
fn two_origins_are_none_that_is_allowed() {
    let twice = headers(&[("origin", "https://friend.example"), ("origin", "https://friend.example")]);
    assert_eq!(cors(|_| {}).origin_of(&twice), RequestOrigin::Foreign);
}

#[test]
fn what_an_app_says_of_other_origins_is_replaced_whoever_asks() {
    let theirs = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-origin", "https://evil.test"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-private-network", "true"),
        ("access-control-expose-headers", "x-secret"),
        ("etag", "1"),
        ("vary", "Accept, ORIGIN"),
    ];
    let left = ["etag: 1", "vary: Accept, ORIGIN"];
    for stranger in [None, Some("https://evil.test"), Some("null")] {
        assert_eq!(written(&cors(|_| {}), stranger, ResponseMaker::App, &theirs), left, "{stranger:?}");
    }
    let friend = written(&cors(|_| {}), Some("https://friend.example"), ResponseMaker::App, &theirs);
    assert_eq!(
        friend,
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://friend.example",
            "access-control-expose-headers: etag",
            left[0],
            left[1],
        ]
    );
}

#[test]
fn a_script_may_read_of_a_refusal_what_it_needs_to_know() {
    let of_refusal = written(&cors(|_| {}), Some("https://friend.example"), ResponseMaker::Evergate, &[]);
    let exposed = "access-control-expose-headers: etag, evergate-response, evergate-answer, retry-after, www-authenticate";
    assert!(of_refusal.contains(&exposed.to_owned()), "{of_refusal:?}");
}

#[test]
fn where_every_origin_may_read_no_response_depends_on_it_and_none_has_credentials() {
    let open = cors(|settings| {
        settings.origins = vec![OriginPattern::Any];
        settings.credentials = false;
        settings.headers = Allowed::Any(vec![header::AUTHORIZATION]);
        settings.methods = Allowed::Any(Vec::new());
        settings.exposed_headers = Allowed::default();
        settings.max_age = None;
    });
    for origin in [None, Some("https://any.test"), Some("null")] {
        assert_eq!(written(&open, origin, ResponseMaker::App, &[]), ["access-control-allow-origin: *"], "{origin:?}");
    }
    assert_eq!(
        written(&open, Some("https://any.test"), ResponseMaker::Preflight, &[]),
        ["access-control-allow-headers: *, authorization", "access-control-allow-methods: *", "access-control-allow-origin: *"]
    );
}

#[test]
fn only_an_origin_that_may_send_cookies_passes_the_csrf_check_and_with_listed_methods_alone() {
    let reads_only = |settings: &mut CorsSettings| settings.methods = Allowed::Only(vec![Method::GET, Method::HEAD]);
    let without_credentials = |settings: &mut CorsSettings| settings.credentials = false;
    let (whole, reading, bare) = (cors(|_| {}), cors(reads_only), cors(without_credentials));
    for (cors, method, upgrades, origin, passes) in [
        (&whole, Method::PUT, false, "https://friend.example", true),
        (&whole, Method::PUT, false, "https://a.apps.example.com", true),
        (&whole, Method::GET, false, "https://friend.example", true),
        (&whole, Method::GET, true, "https://friend.example", true),
        (&whole, Method::POST, false, "https://friend.example", false),
        (&whole, Method::PUT, false, "https://evil.test", false),
        (&whole, Method::PUT, false, "null", false),
        (&reading, Method::GET, false, "https://friend.example", true),
        (&reading, Method::GET, true, "https://friend.example", false),
        (&reading, Method::POST, false, "https://friend.example", false),
        (&bare, Method::PUT, false, "https://friend.example", false),
        (&bare, Method::GET, true, "https://friend.example", false),
    ] {
        let passed = cors.lets_through(&method, upgrades, &headers(&[("origin", origin)]));
        assert_eq!(passed, passes, "{method} {upgrades} {origin} {cors:?}");
    }
    for (method, passes) in [("put", true), ("PUT", true), ("DELETE", false), ("", false)] {
        let overridden = headers(&[("origin", "https://friend.example"), ("x_http_method-override", method)]);
        assert_eq!(whole.lets_through(&Method::GET, false, &overridden), passes, "{method}");
    }
    assert!(!whole.lets_through(&Method::PUT, false, &HeaderMap::new()), "nothing is known of where it comes from");
}
