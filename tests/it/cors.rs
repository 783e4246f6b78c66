//! CORS of a route: scripts of other origins that its administrator allows.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::harness::{
    Builder, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour},
    process::Process,
    visitor::{Reply, Visitor},
};

const FRIEND: &str = "https://friend.example";
const PREVIEW: &str = "https://pr-7.apps.example";
const EVIL: &str = "https://evil.example";

const ROUTES: &str = r#"
    [[route]]
    path = "/api"
    cors = { origins = ["https://friend.example", "https://*.apps.example"], methods = ["GET", "PUT"], headers = ["content-type"], exposed_headers = ["etag"], credentials = true, max_age = "10m" }

    [[route]]
    path = "/admin"
    groups = ["admins"]
    cors = { origins = ["https://friend.example"], credentials = true }

    [[route]]
    path = "/strict"
    outage = "strict"
    cors = { origins = ["https://friend.example"], credentials = true }

    [[route]]
    path = "/bare"
    cors = { origins = ["https://friend.example"], methods = ["PUT", "POST"] }

    [[route]]
    path = "/open"
    rule = "public"
    cors = { origins = ["*"] }

    [[route]]
    path = "/elsewhere"
    networks = ["10.0.0.0/8"]
    cors = { origins = ["https://friend.example"] }
"#;

fn build() -> Builder {
    World::build().routes(|_| ROUTES.to_owned())
}

async fn preflight(visitor: &Visitor, path: &str, origin: &str) -> Reply {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "content-type"),
        ("access-control-request-private-network", "true"),
    ];
    visitor.send(Method::OPTIONS, path, &headers, "").await
}

async fn ask(visitor: &Visitor, method: Method, path: &str, origin: &str) -> Reply {
    let headers = [("origin", origin), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "cross-site"), ("accept", "*/*")];
    visitor.send(method, path, &headers, "").await
}

/// The CORS headers of a response, each as one line.
fn cors_lines(reply: &Reply) -> Vec<String> {
    let mut lines: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-"))
        .map(|(name, value)| format!("{}: {}", name.as_str().trim_start_matches("access-control-"), value.to_str().unwrap()))
        .collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn a_preflight_is_answered_without_the_app_and_before_anybody_has_signed_in() {
    let world = build().start().await;
    let stranger = world.visitor();
    for origin in [FRIEND, PREVIEW] {
        let told = preflight(&stranger, "/api/x", origin).await;
        assert_eq!((told.status, told.body.len(), told.header("vary")), (StatusCode::NO_CONTENT, 0, "Origin"));
        assert_eq!(
            cors_lines(&told),
            [
                "allow-credentials: true",
                "allow-headers: content-type",
                "allow-methods: GET, PUT",
                &format!("allow-origin: {origin}"),
                "max-age: 600",
            ]
        );
    }
    for origin in [EVIL, "null", "https://friend.example.evil.example", "https://a.b.apps.example", "http://friend.example"] {
        let refused = preflight(&stranger, "/api/x", origin).await;
        assert_eq!((refused.status, cors_lines(&refused).len()), (StatusCode::FORBIDDEN, 0), "{origin}");
        assert_eq!(refused.json()["reason"], "origin");
    }
    assert_eq!(cors_lines(&preflight(&stranger, "/open", "null").await)[1], "allow-origin: *");
    let outside = preflight(&stranger, "/elsewhere", FRIEND).await;
    assert_eq!((outside.status, outside.json()["reason"].as_str()), (StatusCode::FORBIDDEN, Some("network")));
    // Where no route has a policy, nothing is answered on anybody's behalf.
    assert_eq!(preflight(&stranger, "/other", FRIEND).await.status, StatusCode::UNAUTHORIZED);
    assert!(world.upstream.requests().is_empty());

    let with_a_body = [("origin", FRIEND), ("access-control-request-method", "PUT")];
    let refused = stranger.send(Method::OPTIONS, "/api/x", &with_a_body, "a body").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "no browser sends a preflight with a body");
}

#[tokio::test]
async fn a_script_of_an_allowed_origin_reads_what_the_app_and_evergate_answer_and_no_other_does() {
    let world = build().start().await;
    let (stranger, ann) = (world.visitor(), world.signed_in().await);
    let exposed = "expose-headers: etag, evergate-response, evergate-answer, retry-after, www-authenticate";
    let own = "expose-headers: evergate-response, evergate-answer, retry-after, www-authenticate";
    let friend = "allow-origin: https://friend.example";

    let unauthorized = ask(&stranger, Method::GET, "/api/x", FRIEND).await;
    assert_eq!((unauthorized.status, unauthorized.header("vary")), (StatusCode::UNAUTHORIZED, "Origin"));
    assert_eq!(cors_lines(&unauthorized), ["allow-credentials: true", friend, exposed]);
    let forbidden = ask(&ann, Method::GET, "/admin", FRIEND).await;
    assert_eq!(forbidden.status, StatusCode::FORBIDDEN);
    assert_eq!(cors_lines(&forbidden), ["allow-credentials: true", friend, own]);

    // The app has an opinion of its own, which does not count here.
    let served = ask(&ann, Method::GET, "/api/own-cors", FRIEND).await;
    assert!(served.is_upstreams());
    assert_eq!(cors_lines(&served), ["allow-credentials: true", friend, "expose-headers: etag"]);
    assert_eq!(served.headers.get_all("vary").iter().collect::<Vec<_>>(), ["Accept", "Origin"]);
    let elsewhere = ask(&ann, Method::GET, "/other/own-cors", FRIEND).await;
    assert!(cors_lines(&elsewhere).contains(&"allow-origin: *".to_owned()), "where no route has a policy, the app decides");

    for origin in [EVIL, "null"] {
        for (visitor, path) in [(&ann, "/api/own-cors"), (&stranger, "/api/x"), (&ann, "/admin")] {
            let unread = ask(visitor, Method::GET, path, origin).await;
            assert_eq!(
                (cors_lines(&unread), unread.headers.get_all("vary").iter().next_back().unwrap()),
                (vec![], &"Origin".parse().unwrap())
            );
        }
    }
    assert_eq!(cors_lines(&ask(&stranger, Method::GET, "/open/own-cors", EVIL).await), ["allow-origin: *"]);

    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, String::new(), vec![]));
    world.clock.advance(Duration::from_secs(301));
    let unavailable = ask(&ann, Method::GET, "/strict", FRIEND).await;
    assert_eq!((unavailable.status, cors_lines(&unavailable)[1].as_str()), (StatusCode::SERVICE_UNAVAILABLE, friend));
}

#[tokio::test]
async fn an_origin_that_may_send_cookies_may_change_what_its_methods_allow_and_no_other_may() {
    let world = build().set("access_url", "https://app.test").start().await;
    let ann = world.signed_in().await;
    for origin in [FRIEND, PREVIEW] {
        assert!(ask(&ann, Method::PUT, "/api/x", origin).await.is_upstreams(), "{origin}");
    }
    let before = world.upstream.requests().len();
    for (method, path, origin) in [
        (Method::POST, "/api/x", FRIEND),
        (Method::PUT, "/api/x", EVIL),
        (Method::PUT, "/api/x", "null"),
        // Without credentials a browser sends no cookies by CORS, so that whoever does has no leave.
        (Method::PUT, "/bare/x", FRIEND),
        (Method::PUT, "/other/x", FRIEND),
    ] {
        let refused = ask(&ann, method.clone(), path, origin).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{method} {path} {origin}");
        assert_eq!(refused.json()["reason"], "cross_origin");
    }
    assert_eq!(world.upstream.requests().len(), before);
}

#[tokio::test]
async fn an_ingress_that_asks_about_a_preflight_sends_that_of_an_allowed_origin_to_the_app() {
    let world =
        build().without("upstream_url").set("forward_auth", "true").set("proxy_trusted_origins", "127.0.0.1").start().await;
    let asked = async |origin: &str, more: &[(&'static str, &str)]| {
        let told = [("x-forwarded-method", "OPTIONS"), ("x-forwarded-uri", "/api/x"), ("x-forwarded-host", "app.test")];
        let client = [("origin", origin), ("access-control-request-method", "PUT")];
        world.visitor().send(Method::GET, "/oauth2/auth", &[&told[..], &client, more].concat(), "").await.status
    };
    assert_eq!(asked(FRIEND, &[]).await, StatusCode::ACCEPTED);
    assert_eq!(asked(EVIL, &[]).await, StatusCode::FORBIDDEN);
    let overridden = asked(FRIEND, &[("x-http-method-override", "DELETE")]).await;
    assert_eq!(overridden, StatusCode::UNAUTHORIZED, "no browser sends such a preflight");
}

#[tokio::test]
async fn a_reload_changes_which_origins_are_allowed() {
    let world = World::build()
        .in_real_time()
        .replicas(0)
        .routes(|app| format!("upstream_url = \"{app}\"\n{ROUTES}"))
        .without("upstream_url")
        .start()
        .await;
    let process: Process = world.process(None).await;
    let anybody = Visitor::new(process.address);
    assert_eq!(preflight(&anybody, "/api", FRIEND).await.status, StatusCode::NO_CONTENT);
    let changed = ROUTES.replace("https://friend.example", "https://new.example");
    std::fs::write(world.settings_file(), format!("upstream_url = \"http://{}\"\n{changed}", world.upstream.address)).unwrap();
    eventually("the new origin is allowed", async || {
        preflight(&anybody, "/api", "https://new.example").await.status == StatusCode::NO_CONTENT
    })
    .await;
    assert_eq!(preflight(&anybody, "/api", FRIEND).await.status, StatusCode::FORBIDDEN);
}
