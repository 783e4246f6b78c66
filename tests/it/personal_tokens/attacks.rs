//! Who must not get, make, end or use a token.

use base64::prelude::*;
use evergate::secret::random_text;
use http::{Method, StatusCode};

use super::{OWN_PAGE, by_password, call, seal_of, send, sign_out, submit, token, world};
use crate::harness::{ACCESS, World};

#[tokio::test]
async fn a_token_is_no_cookie_a_cookie_is_no_token_and_no_app_gets_one_that_is_not_taken() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a").await;
    let script = world.visitor();
    script.set_cookie("__Host-evergate_session", &token);
    assert_eq!(script.fetch("/api").await.status, StatusCode::UNAUTHORIZED);
    let script = world.visitor();
    assert_eq!(call(&script, "/api", &ann.session().unwrap()).await.status, StatusCode::UNAUTHORIZED);
    let seen = world.upstream.requests().len();
    for path in ["/", "/public", "/provider"] {
        for visitor in [&script, &ann] {
            assert_eq!(call(visitor, path, &token).await.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(by_password(visitor, path, &token).await.status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    for path in ["/", "/public", "/provider", "/api", "/git", "/optional"] {
        for odd in [format!("token {token}"), token.clone(), format!("Bearer\t{token}"), format!("Bearer: {token}")] {
            for visitor in [&script, &ann] {
                let reply = visitor.send(Method::GET, path, &[("authorization", &odd)], "").await;
                assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path} {}", odd.replace(&token, "evg_…"));
            }
        }
    }
    assert_eq!(world.upstream.requests().len(), seen);
    let app_s = BASE64_STANDARD.encode("ann:the-app's-own");
    let own = ann.send(Method::GET, "/git", &[("authorization", &format!("Basic {app_s}"))], "").await;
    assert!(own.is_upstreams(), "a password that is no token of ours is the app's");
    assert_eq!(world.upstream.last().header("authorization"), Some(format!("Basic {app_s}").as_str()));
    for unknown in ["evg_", "evg_x", &format!("evg_{}", random_text::<32>())] {
        assert_eq!(call(&script, "/api", unknown).await.status, StatusCode::UNAUTHORIZED, "{unknown}");
    }
}

#[tokio::test]
async fn no_other_site_and_no_script_of_the_app_makes_or_ends_a_token_or_reads_one() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    for (what, lines) in [
        (
            "another site's form",
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("origin", "https://evil.example")][..],
        ),
        ("a sibling's form", &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")]),
        ("a script of the app", &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("origin", ACCESS)]),
        (
            "a frame of the app's",
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
                ("sec-fetch-user", "?1"),
            ],
        ),
        (
            "a form that a script sends",
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
        ),
        (
            "a worker of the app",
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "empty"),
                ("sec-fetch-user", "?1"),
            ],
        ),
        ("a script of the app without CORS", &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors")]),
        ("an old browser on another site", &[("origin", "https://evil.example")]),
    ] {
        for path in ["/oauth2/tokens", "/oauth2/terminal"] {
            let reply = ann.send(Method::POST, path, lines, "name=evil&days=1").await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{what} {path}");
        }
    }
    for (what, lines) in [
        ("a script of the app", [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")]),
        ("a worker of the app", [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "empty")]),
        (
            "a frame of the app's",
            [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        ),
        (
            "a worker of the app's by a preload",
            [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("service-worker-navigation-preload", "true")],
        ),
    ] {
        let reply = ann.send(Method::GET, "/oauth2/tokens", &lines, "").await;
        assert_eq!((reply.status, seal_of(&reply.text())), (StatusCode::FORBIDDEN, String::new()), "{what} gets no seal");
    }
    let shown = seal_of(&ann.get("/oauth2/tokens").await.text());
    for lines in [
        [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
        [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
    ] {
        let reply = send(&ann, "/oauth2/tokens", &format!("name=evil&seal={shown}"), &lines).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "nor is one of use to it");
    }
    assert!(!ann.get("/oauth2/tokens").await.text().contains("evil"));
    let page = submit(&ann, "/oauth2/tokens", "name=good").await;
    let policies: Vec<_> =
        page.headers.get_all("content-security-policy").iter().map(|policy| policy.to_str().unwrap()).collect();
    assert!(policies.iter().any(|policy| policy.starts_with("sandbox") && !policy.contains("allow-same-origin")), "{policies:?}");
    let stranger = world.visitor();
    assert_eq!(submit(&stranger, "/oauth2/tokens", "name=a").await.status, StatusCode::FORBIDDEN);
    let ended = world.signed_in().await;
    let seal = seal_of(&ended.get("/oauth2/tokens").await.text());
    sign_out(&ended, "/oauth2/sign_out").await;
    let late = send(&ended, "/oauth2/tokens", &format!("name=a&seal={seal}"), &OWN_PAGE).await;
    assert_eq!(
        (late.status, late.header("evergate-response")),
        (StatusCode::FORBIDDEN, "form_expired"),
        "whose session has ended meanwhile"
    );
    let sent = stranger.get("/oauth2/tokens").await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "a person is sent to a login, and comes back");
    assert_eq!(stranger.browse(&world.idp, "/oauth2/tokens").await.status, StatusCode::OK);
    let none = World::start().await;
    assert_eq!(none.signed_in().await.get("/oauth2/tokens").await.status, StatusCode::NOT_FOUND, "where no route takes any");
}

#[tokio::test]
async fn a_token_is_for_the_host_where_it_was_made_and_no_ingress_hands_one_to_an_app() {
    let routes = "[[route]]\nhost = \"other.test\"\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n\
        [[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n";
    let build =
        World::build().routes(|_| routes.to_owned()).set("forward_auth", "true").set("proxy_trusted_origins", "127.0.0.1");
    let world = build.start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let token = token(&ann, "name=a").await;
    assert!(call(&script, "/api", &token).await.is_upstreams());
    assert_eq!(call(&script.on_host("other.test"), "/api", &token).await.status, StatusCode::UNAUTHORIZED);
    let seal = seal_of(&ann.get("/oauth2/tokens").await.text());
    let elsewhere = send(&ann.on_host("other.test"), "/oauth2/tokens", &format!("name=b&seal={seal}"), &OWN_PAGE).await;
    assert_eq!(elsewhere.status, StatusCode::FORBIDDEN, "nor is a form of one host's page taken at another");
    let authorization = format!("Bearer {token}");
    let lines = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.test"),
        ("x-forwarded-uri", "/api"),
        ("authorization", authorization.as_str()),
    ];
    let asked = script.send(Method::GET, "/oauth2/forward_auth", &lines, "").await;
    assert_eq!((asked.status, asked.json()["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("invalid_token")));
}

#[tokio::test]
async fn where_a_login_is_optional_no_app_sees_the_token_of_somebody_who_may_not_enter() {
    let routes = "[[route]]\npath = \"/optional\"\nrule = \"optional\"\nbearer_tokens = [\"personal\", \"provider\"]\n";
    let world = World::build().routes(|_| routes.to_owned()).start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a").await;
    let mut world = world;
    world.restart_with(&[("oidc_email_domain", "other.example")]).await;
    let script = world.visitor();
    let good = world.idp.signed_access_token(&format!("{ACCESS}/optional"), serde_json::json!({}), serde_json::json!({}));
    for token in [&token, &good] {
        let reply = call(&script, "/optional", token).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.text());
    }
    assert!(script.fetch("/optional").await.is_upstreams());
}

#[tokio::test]
async fn a_script_of_another_origin_that_brings_a_token_needs_no_cookie_s_protection() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a").await;
    let lines = |credentials: &str| vec![("origin", "https://spa.example".to_owned()), ("authorization", credentials.to_owned())];
    let send = async |credentials: String| {
        let lines = lines(&credentials);
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        world.visitor().send(Method::POST, "/api", &lines, "x").await.status
    };
    assert_eq!(send(format!("Bearer {token}")).await, StatusCode::OK);
    let kept_by_a_browser = format!("Basic {}", BASE64_STANDARD.encode(format!("a:{token}")));
    assert_eq!(send(kept_by_a_browser).await, StatusCode::FORBIDDEN);
}
