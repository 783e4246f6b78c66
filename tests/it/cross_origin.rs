//! Pages of other origins that an administrator allows.

use http::{Method, StatusCode};

use crate::harness::World;

const FRIEND: &str = "https://friend.example";

fn preflight(origin: &'static str, method: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "content-type"),
        ("sec-fetch-mode", "cors"),
        ("x-forwarded-user", "admin"),
    ]
}

#[tokio::test]
async fn a_preflight_of_an_allowed_origin_reaches_the_app_without_identity_and_no_other_does() {
    let world = World::build()
        .set("allowed_origins", FRIEND)
        .routes(|app| format!("[[route]]\npath = \"/read\"\nmethods = [\"GET\"]\nupstream = \"{app}\""))
        .start()
        .await;
    let stranger = world.visitor();
    assert!(stranger.send(Method::OPTIONS, "/api", &preflight(FRIEND, "PUT"), "").await.is_upstreams());
    let seen = world.upstream.last();
    assert_eq!((seen.method.as_str(), seen.header("origin"), seen.header("x-forwarded-user")), ("OPTIONS", Some(FRIEND), None));
    assert!(stranger.send(Method::OPTIONS, "/read", &preflight(FRIEND, "GET"), "").await.is_upstreams());
    let before = world.upstream.requests().len();
    let refused = stranger.send(Method::OPTIONS, "/read", &preflight(FRIEND, "DELETE"), "").await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "which the route does not take");
    for (headers, body) in [
        (preflight("https://evil.example", "PUT"), ""),
        (preflight("https://friend.example.evil", "PUT"), ""),
        (preflight("null", "PUT"), ""),
        (vec![("origin", FRIEND)], ""),
        ([preflight(FRIEND, "PUT"), vec![("cookie", "a=b")]].concat(), ""),
        ([preflight(FRIEND, "PUT"), vec![("authorization", "Bearer x")]].concat(), ""),
        // The app would do what its header says.
        ([preflight(FRIEND, "GET"), vec![("x-http-method-override", "DELETE")]].concat(), ""),
        (preflight(FRIEND, "PUT"), "a body"),
    ] {
        let refused = stranger.send(Method::OPTIONS, "/api", &headers, body).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{headers:?}");
    }
    assert_eq!(stranger.send(Method::POST, "/api", &preflight(FRIEND, "PUT"), "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.upstream.requests().len(), before);
}

#[tokio::test]
async fn what_we_refuse_to_an_allowed_origin_it_can_read() {
    let world = World::build().set("allowed_origins", FRIEND).start().await;
    let visitor = world.visitor();
    let asked =
        async |origin: &str| visitor.send(Method::GET, "/api", &[("origin", origin), ("sec-fetch-mode", "cors")], "").await;
    let told = asked(FRIEND).await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    assert_eq!(told.header("access-control-allow-origin"), FRIEND);
    assert_eq!((told.header("access-control-allow-credentials"), told.header("vary")), ("true", "origin"));
    let exposed = told.header("access-control-expose-headers");
    assert!(["www-authenticate", "evergate-response", "evergate-answer"].iter().all(|name| exposed.contains(name)), "{exposed}");
    for stranger in ["https://evil.example", "null"] {
        assert_eq!(asked(stranger).await.header("access-control-allow-origin"), "", "{stranger}");
    }
}

#[tokio::test]
async fn a_page_that_hides_where_it_comes_from_is_told_what_keeps_its_form_out() {
    let world = World::build().set("access_url", "http://app.test").start().await;
    let ann = world.signed_in().await;
    let page = ann.send(Method::POST, "/save", &[("origin", "null"), ("accept", "text/html")], "x").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text().contains("no-referrer") && !page.text().contains("account"), "{}", page.text());
}

#[tokio::test]
async fn what_overrides_its_method_is_no_reading_request() {
    let world = World::build().set("allowed_origins", "https://*.friends.example").start().await;
    let ann = world.signed_in().await;
    let overrides = ("x-http-method-override", "DELETE");
    for (origin, site, headers, allowed) in [
        ("https://evil.example", "cross-site", &[][..], true),
        ("https://evil.example", "cross-site", &[overrides], false),
        ("https://evil.example", "cross-site", &[("x_method_override", "DELETE")], false),
        ("https://evil.app.test", "same-site", &[overrides], false),
        ("https://app.test", "same-origin", &[overrides], true),
        ("https://one.friends.example", "cross-site", &[overrides], true),
    ] {
        let told = [&[("origin", origin), ("sec-fetch-site", site)], headers].concat();
        let reply = ann.send(Method::GET, "/x", &told, "").await;
        assert_eq!(reply.is_upstreams(), allowed, "{told:?}");
        assert_eq!(reply.status, if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN }, "{told:?}");
    }
    assert!(ann.send(Method::GET, "/x", &[overrides], "").await.is_upstreams(), "a program's");
}
