//! Routes: which app a request reaches, by whose leave, and how it looks when it arrives.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::harness::{
    World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, user},
    upstream::Upstream,
    visitor::path_of,
};

const HTML: (&str, &str) = ("accept", "text/html");

/// A protected app with a public path, a path for administrators, and another app beside it on a host of its own.
async fn world(other: &Upstream) -> World {
    let other = format!("http://{}", other.address);
    World::build()
        .routes(move |_| {
            format!(
                r#"
                [[route]]
                path = "/public"
                rule = "public"

                [[route]]
                path = "/admin"
                groups = ["admins"]

                [[route]]
                path = "/read"
                methods = ["get", "HEAD"]

                [[route]]
                path = "/api"
                upstream = "{other}"
                strip_prefix = true
                host_header = "upstream"
                remove_headers = ["accept-language"]
                set_headers = {{ X-Tenant = "one", X-Forwarded-Prefix = "/api" }}
                set_answer_headers = {{ X-Frame-Options = "DENY" }}
                remove_answer_headers = ["server"]
                outage = "strict"

                [[route]]
                host = "other.test"
                upstream = "{other}"
                "#
            )
        })
        .set("oidc_outage_grace", "1h")
        .start()
        .await
}

#[tokio::test]
async fn each_path_has_its_app_and_its_rule() {
    let other = Upstream::start().await;
    let world = world(&other).await;
    let stranger = world.visitor();
    let open = stranger.send(Method::GET, "/public/doc", &[HTML, ("x-forwarded-user", "admin")], "").await;
    assert!(open.is_upstreams(), "nobody is asked");
    assert_eq!(world.upstream.last().header("x-forwarded-user"), None, "and nobody is told of");
    assert_eq!(stranger.get("/publicity").await.status, StatusCode::SEE_OTHER);

    let ann = world.signed_in().await;
    assert!(ann.get("/").await.is_upstreams());
    assert_eq!(ann.get("/admin").await.status, StatusCode::FORBIDDEN);
    world.idp.log_in_as({
        let mut admin = user("bob");
        admin["groups"] = json!(["admins"]);
        admin
    });
    assert!(world.signed_in().await.get("/admin/x").await.is_upstreams());

    assert!(ann.get("/read/x").await.is_upstreams());
    let refused = ann.send(Method::POST, "/read/x", &[("origin", "https://app.test")], "").await;
    assert_eq!((refused.status, refused.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
    for name in ["x-http-method-override", "X_HTTP_Method_Override", "x.method-override", "X-HTTP_Method"] {
        let another = ann.send(Method::GET, "/read/x", &[(name, "DELETE")], "").await;
        assert_eq!(another.status, StatusCode::METHOD_NOT_ALLOWED, "nor by another name: {name}");
    }

    let before = world.upstream.requests().len();
    let theirs = [HTML, ("accept-language", "de"), ("Accept_Language", "de"), ("x_tenant", "two"), ("X.Tenant", "three")];
    let answer = ann.send(Method::GET, "/api/v1/things?a=%2F", &theirs, "").await;
    assert!(answer.is_upstreams());
    let seen = other.last();
    assert_eq!(seen.target, "/v1/things?a=%2F", "without the prefix");
    assert_eq!(seen.header("host"), Some(other.address.to_string().as_str()));
    assert_eq!(seen.header("x-forwarded-host"), Some("app.test"));
    assert_eq!((seen.header("x-tenant"), seen.header("accept-language")), (Some("one"), None));
    assert_eq!(seen.header("x-forwarded-user"), Some("sub-ann"));
    assert!(["accept_language", "x_tenant", "x.tenant"].iter().all(|name| seen.header(name).is_none()), "nor as CGI reads them");
    ann.get("/api//x/admin").await;
    assert_eq!(other.last().target, "/x/admin", "never as a host and a path");
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert_eq!(ann.get("/api").await.text(), "GET / 0");
    assert_eq!(world.upstream.requests().len(), before, "the first app saw nothing of it");
}

#[tokio::test]
async fn a_path_that_two_servers_read_differently_is_refused_and_one_that_is_only_odd_is_not() {
    let other = Upstream::start().await;
    let world = world(&other).await;
    let (stranger, ann) = (world.visitor(), world.signed_in().await);
    let before = world.upstream.requests().len();
    for path in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public/..;/admin",
        "/public/%252e%252e/admin",
        "//public/x",
        "/%70ublic/x",
        "/PUBLIC/x",
        "/public/%00",
        "/public/%zz",
        "/public%2fx",
        "//x/admin",
        "/%2f/x/admin",
        "/public/..%20/admin",
        "/public/%0a",
    ] {
        for visitor in [&stranger, &ann] {
            assert_eq!(visitor.fetch(path).await.status, StatusCode::BAD_REQUEST, "{path}");
        }
    }
    for path in
        ["//admin", "/%61dmin/x", "/ADMIN", "/admin%2fx", "/x/..;a/admin", "/admin%3f", "/admin%20", "/admin%0a", "/x%0a/admin"]
    {
        assert_eq!(ann.fetch(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(world.upstream.requests().len(), before);
    for path in ["/files/a%2Fb", "/a//b", "/Caf%C3%A9", "/a;b=c", "/.well-known/x", "/public/a%20b", "/a%3fb", "/public/c%23"] {
        assert!(ann.get(path).await.is_upstreams(), "{path}");
        assert_eq!(world.upstream.last().target, path, "as it was sent");
    }
}

#[tokio::test]
async fn a_host_of_a_route_has_its_own_login_and_its_own_cookies() {
    let other = Upstream::start().await;
    let world = world(&other).await;
    let visitor = world.visitor();
    let at_other = [HTML, ("host", "other.test"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let request = visitor.send(Method::GET, "/doc?x", &at_other, "").await.location();
    let redirect_uri = request.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    assert_eq!(redirect_uri, "https://other.test/oauth2/callback");
    let callback = world.idp.authorize(&request).await;
    let landed = visitor.send(Method::GET, &path_of(&callback), &at_other, "").await.location();
    assert_eq!(landed.as_str(), "https://other.test/doc?x");
    assert!(visitor.send(Method::GET, "/doc?x", &at_other, "").await.is_upstreams());
    assert_eq!(other.last().header("x-forwarded-host"), Some("other.test"));
    assert!(world.upstream.requests().is_empty());
    let stray = visitor.send(Method::GET, "/", &[HTML, ("host", "third.test")], "").await;
    assert_eq!(stray.status, StatusCode::MISDIRECTED_REQUEST);
    let out =
        visitor.send(Method::POST, "/oauth2/sign_out", &[("host", "other.test"), ("sec-fetch-site", "same-origin")], "").await;
    let back = out.location().query_pairs().find(|(name, _)| name == "post_logout_redirect_uri").unwrap().1.into_owned();
    assert_eq!(back, "https://other.test/oauth2/signed_out");
}

#[tokio::test]
async fn a_client_changes_to_a_websocket_or_to_what_a_route_names_and_to_nothing_else() {
    let world = World::build()
        .routes(|app| {
            format!("[[route]]\npath = \"/public\"\nrule = \"public\"\n[[route]]\npath = \"/shell\"\nrule = \"public\"\nupgrades = [\"tcp\"]\nupstream = \"{app}\"")
        })
        .start()
        .await;
    let stranger = world.visitor();
    for (path, protocol, passes) in [
        ("/public/x", "foo", false),
        ("/public/x", "TLS/1.0", false),
        ("/public/x", "HTTP/2.0", false),
        ("/public/x", "h2c", false),
        ("/public/x", "tcp", false),
        ("/shell/x", "tcp", true),
        ("/shell/x", "foo", false),
    ] {
        let asked = [("connection", "upgrade"), ("upgrade", protocol)];
        // An app may ignore the wish (RFC 9110 section 7.8), and so may we.
        assert!(stranger.send(Method::GET, path, &asked, "").await.is_upstreams(), "{path} {protocol}");
        assert_eq!(world.upstream.last().header("upgrade"), passes.then_some(protocol), "{path} {protocol}");
    }
}

#[tokio::test]
async fn a_strict_route_serves_no_stale_identity_and_the_others_do() {
    let other = Upstream::start().await;
    let world = world(&other).await;
    let ann = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, String::new(), vec![]));
    world.clock.advance(Duration::from_secs(301));
    assert!(ann.get("/").await.is_upstreams(), "within the grace");
    let strict = ann.fetch("/api/x").await;
    assert_eq!((strict.status, strict.header("evergate-response")), (StatusCode::SERVICE_UNAVAILABLE, "renewal_unavailable"));
    assert!(!strict.header("retry-after").is_empty());
    assert!(world.visitor().send(Method::GET, "/public/x", &[HTML], "").await.is_upstreams());
}

#[tokio::test]
async fn several_upstreams_take_turns_and_one_that_is_away_is_passed_over() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    // Taken and not listened on, so that nothing else can be there.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addresses = [first.address, second.address, closed.local_addr().unwrap()].map(|address| format!("\"http://{address}\""));
    let list = addresses.join(", ");
    let world = World::build().routes(move |_| format!("[[route]]\nupstream = [{list}]")).start().await;
    let ann = world.signed_in().await;
    for number in 0..30 {
        let method = if number % 2 == 0 { Method::GET } else { Method::POST };
        let reply = ann.send(method, "/", &[("origin", "https://app.test")], "").await;
        assert!(reply.is_upstreams());
    }
    // Nothing of a body was sent to the one that is away, so that the next can have all of it.
    for _ in 0..6 {
        ann.send(Method::POST, "/echo", &[("origin", "https://app.test")], "all of it").await;
    }
    let echoed = [&first, &second].map(|upstream| upstream.requests().iter().filter(|seen| seen.body == "all of it").count());
    assert_eq!(echoed.iter().sum::<usize>(), 6);
    let (one, two) = (first.requests().len(), second.requests().len());
    assert_eq!(one + two, 36);
    assert!(one >= 10 && two >= 10, "{one} and {two}");
}

#[tokio::test]
async fn an_app_gets_no_more_requests_at_once_than_it_may_have() {
    let world = World::build()
        .set("upstream_max_requests", "2")
        .routes(|app| format!("[[route]]\npath = \"/wide\"\nupstream = \"{app}\"\nmax_requests = 0"))
        .start()
        .await;
    let ann = world.signed_in().await;
    let held = [ann.websocket().await, ann.websocket().await];
    let refused = ann.fetch("/").await;
    assert_eq!((refused.status, refused.header("evergate-response")), (StatusCode::SERVICE_UNAVAILABLE, "upstream_busy"));
    assert_eq!(refused.header("retry-after"), "2");
    assert!(ann.get("/wide/x").await.is_upstreams(), "each route counts for itself");
    drop(held);
    eventually("there is room again", || async { ann.get("/").await.is_upstreams() }).await;
    let gated = [ann.clone(), ann.clone()].map(|ann| tokio::spawn(async move { ann.fetch("/gated").await }));
    eventually("both wait", || async { world.upstream.requests().iter().filter(|seen| seen.target == "/gated").count() == 2 })
        .await;
    assert_eq!(ann.fetch("/").await.header("evergate-response"), "upstream_busy");
    world.upstream.open_gate();
    for reply in gated {
        assert_eq!(reply.await.unwrap().status, StatusCode::OK);
    }
    eventually("there is room again", || async { ann.get("/").await.is_upstreams() }).await;
}

#[tokio::test]
async fn whom_we_do_not_know_may_not_pause_for_long_within_a_body() {
    let world = World::build()
        .set("client_body_timeout", "300ms")
        .routes(|_| "[[route]]\npath = \"/public\"\nrule = \"public\"".to_owned())
        .start()
        .await;
    let cookie = world.signed_in().await.cookie_header();
    let begin = async |path: &str| {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\ncontent-length: 8\r\n\r\nhalf");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let known = begin("/echo").await;
    let mut answer = String::new();
    begin("/public/echo").await.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_incomplete"), "{answer}");
    // Whoever is signed in began earlier and pauses still.
    let mut known = BufReader::new(known);
    known.get_mut().write_all(b"half").await.unwrap();
    answer.clear();
    known.read_line(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_public_path_needs_neither_provider_nor_store() {
    let world =
        World::build().replicas(1).routes(|_| "[[route]]\npath = \"/status\"\nrule = \"public\"".to_owned()).start().await;
    world.store_line.as_ref().unwrap().cut();
    world.idp_line.cut();
    let reply = world.visitor().send(Method::GET, "/status", &[HTML, ("cookie", "__Host-evergate_session=x")], "").await;
    assert!(reply.is_upstreams());
}
