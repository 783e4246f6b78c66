//! WebDAV: the second path of a COPY or MOVE, which `Destination` names.

use http::{Method, StatusCode};

use crate::harness::World;

const ROUTES: &str = r#"
[[route]]
path = "/dav"
rewrite_destination = true

[[route]]
path = "/dav/private"
groups = ["admins"]

[[route]]
path = "/files"
rewrite_destination = true
strip_prefix = true
host_header = "upstream"
"#;

async fn world() -> World {
    World::build().routes(|_| ROUTES.to_owned()).start().await
}

#[tokio::test]
async fn an_app_behind_tls_termination_finds_itself_in_the_destination_of_a_move() {
    let world = world().await;
    let visitor = world.signed_in().await;
    let app = world.upstream.address;
    for (method, path, destination, seen) in [
        ("MOVE", "/dav/a", "https://app.test/dav/b%20c?d", "http://app.test/dav/b%20c?d".to_owned()),
        ("COPY", "/dav/a", "/dav/b", "http://app.test/dav/b".to_owned()),
        ("MOVE", "/files/a", "https://APP.test/files/b", format!("http://{app}/b")),
        // Of no other method is it known what it means.
        ("PUT", "/dav/a", "https://app.test/x", "https://app.test/x".to_owned()),
        ("MOVE", "/other/a", "https://app.test/other/b", "https://app.test/other/b".to_owned()),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let headers = [("destination", destination), ("sec-fetch-site", "same-origin")];
        assert!(visitor.send(method, path, &headers, "").await.is_upstreams(), "{destination}");
        assert_eq!(world.upstream.last().header("destination"), Some(seen.as_str()));
    }
}

#[tokio::test]
async fn nothing_is_copied_or_moved_to_where_another_rule_holds() {
    let world = world().await;
    let visitor = world.signed_in().await;
    let before = world.upstream.requests().len();
    let app = format!("http://{}/dav/private/b", world.upstream.address);
    for (destination, status) in [
        ("https://app.test/dav/private/b", StatusCode::FORBIDDEN),
        ("/dav/private/b", StatusCode::FORBIDDEN),
        ("/dav/./private/b", StatusCode::FORBIDDEN),
        ("/dav/x/../private/b", StatusCode::FORBIDDEN),
        ("/dav/%70rivate/b", StatusCode::FORBIDDEN),
        ("/elsewhere", StatusCode::FORBIDDEN),
        ("https://evil.test/dav/b", StatusCode::FORBIDDEN),
        ("http://app.test/dav/b", StatusCode::FORBIDDEN),
        ("https://app.test:444/dav/b", StatusCode::FORBIDDEN),
        (app.as_str(), StatusCode::FORBIDDEN),
        ("//evil.test/dav/b", StatusCode::BAD_REQUEST),
        ("https://app.test", StatusCode::BAD_REQUEST),
        ("dav/b", StatusCode::BAD_REQUEST),
        ("", StatusCode::BAD_REQUEST),
    ] {
        for method in ["MOVE", "COPY"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let headers = [("destination", destination), ("sec-fetch-site", "same-origin")];
            let reply = visitor.send(method, "/dav/a", &headers, "").await;
            assert_eq!(reply.status, status, "{destination}");
        }
    }
    let private = ("destination", "/dav/private/b");
    for (method, header) in [
        ("move", ("x-a", "b")),
        ("Copy", ("x-a", "b")),
        ("POST", ("x-http-method-override", "MOVE")),
        ("PUT", ("x_http_method", "COPY")),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let headers = [private, header, ("sec-fetch-site", "same-origin")];
        assert_eq!(visitor.send(method, "/dav/a", &headers, "").await.status, StatusCode::FORBIDDEN, "{header:?}");
    }
    let two = [("destination", "/dav/b"), ("destination", "/dav/private/b"), ("sec-fetch-site", "same-origin")];
    assert_eq!(visitor.send(Method::from_bytes(b"MOVE").unwrap(), "/dav/a", &two, "").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.upstream.requests().len(), before, "none of them arrives");
}
