//! What clients send who want to get past an ingress that asks.

use http::{Method, StatusCode};
use serde_json::json;

use super::{FETCH, PAGE, ROUTES, TOLD_BY_AUTHORIZATION, ask, service};
use crate::harness::{World, idp::user, visitor::Visitor};

/// Paths that some server reads as one of another route.
const PATHS: [&str; 24] = [
    "/page",
    "/public",
    "/public/",
    "/publicly",
    "/admin",
    "/admin/x?y=/public",
    "/ADMIN",
    "//admin",
    "/public//x",
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/public/..%2fadmin",
    "/public/..;/admin",
    "/public;x/admin",
    "/public%2f..%2fadmin",
    "/public%23/admin",
    "/public%3f/admin",
    "/%70ublic",
    "/%61dmin",
    "/%2561dmin",
    "/public/%",
    "/public\\..\\admin",
    "/adm%C4%B1n",
    "/public/%c0%ae%c0%ae/admin",
];

#[tokio::test]
async fn every_path_is_judged_as_it_would_be_on_its_way_to_the_app() {
    let world = World::build()
        .set("forward_auth", "true")
        .set("proxy_trusted_origins", "127.0.0.1")
        .routes(|upstream| ROUTES.replace("[[route]]", &format!("[[route]]\nupstream = \"{upstream}\"")))
        .start()
        .await;
    let (stranger, ann) = (world.visitor(), world.signed_in().await);
    world.idp.log_in_as({
        let mut admin = user("root");
        admin["groups"] = serde_json::json!(["admins"]);
        admin
    });
    world.idp.forget_browsers();
    let admin = world.signed_in().await;
    for path in PATHS {
        for (who, name) in [(&stranger, "nobody"), (&ann, "ann"), (&admin, "an administrator")] {
            for method in [Method::GET, Method::POST] {
                let proxied = who.send(method.clone(), path, &PAGE, "").await;
                let asked = ask(who, "/oauth2/forward_auth", (method.as_str(), path), &PAGE).await;
                let expected = if proxied.is_upstreams() { StatusCode::OK } else { proxied.status };
                assert_eq!(asked.status, expected, "{method} {path} of {name}");
                let strictly = ask(who, "/oauth2/auth", (method.as_str(), path), &PAGE).await;
                let may_pass = strictly.status == StatusCode::ACCEPTED;
                assert_eq!(may_pass, proxied.is_upstreams(), "{method} {path} of {name}");
            }
        }
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_says_which_page_is_asked_for() {
    let world = service().set("proxy_trusted_origins", "10.0.0.0/8").routes(|_| ROUTES.to_owned()).start().await;
    let stranger = world.visitor();
    for header in ["x-forwarded-uri", "x-original-uri"] {
        let reply = stranger.send(Method::GET, "/oauth2/auth", &[(header, "/public/page")], "").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{header}");
    }
    let whole = [("x-original-url", "https://open.test/"), ("x-forwarded-host", "open.test")];
    assert_eq!(stranger.send(Method::GET, "/oauth2/auth", &whole, "").await.status, StatusCode::UNAUTHORIZED);
    let ann = world.visitor();
    ann.log_in(&world.idp, "/oauth2/start").await;
    let reply = ask(&ann, "/oauth2/auth", ("GET", "/page"), &PAGE).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "rules differ by paths, and nobody who is trusted says which it is");
    // Where one rule is all paths', it needs no path.
    assert_eq!(ask(&world.visitor(), "/oauth2/auth", ("GET", "/"), &[("host", "open.test")]).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_client_s_own_description_beside_the_ingress_s_is_refused() {
    let world = service().routes(|_| ROUTES.to_owned()).start().await;
    let stranger = world.visitor();
    let (mut asked, forged) = (0, [("x-forwarded-uri", "/public/page"), ("x-forwarded-host", "open.test")]);
    for honest in [
        &[("x-original-url", "https://app.test/page")][..],
        &[("x-original-uri", "/page")],
        &[("x-forwarded-uri", "/page"), ("x-forwarded-host", "app.test")],
    ] {
        for forged in [&forged[..1], &forged[1..], &forged] {
            let reply = stranger.send(Method::GET, "/oauth2/auth", &[honest, forged].concat(), "").await;
            assert!(reply.status.is_client_error(), "{honest:?} {forged:?}");
            asked += 1;
        }
    }
    assert_eq!(asked, 9);
    // An ingress that hands the client's host on and says nothing of it besides.
    let reply = stranger.send(Method::GET, "/oauth2/auth", &forged[1..], "").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    // The same for the one that says it by its request line.
    let reply = stranger.send(Method::GET, "/oauth2/auth/page", &forged, "").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    let reply = stranger.send(Method::GET, "/oauth2/auth/page?allowed_groups=x", &PAGE, "").await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "its query is the client's");
    // A client that writes the ingress's misspelt restriction is refused as all others are.
    let ann = world.visitor();
    ann.log_in(&world.idp, "/oauth2/start").await;
    for (query, status) in [("allowed_group=admins", 400), ("allow_signup=false", 200)] {
        let passed_on = [("x-original-url", format!("https://app.test/page?{query}"))];
        let passed_on = passed_on.each_ref().map(|(name, value)| (*name, value.as_str()));
        let reply = ann.send(Method::GET, &format!("/oauth2/forward_auth?{query}"), &passed_on, "").await;
        assert_eq!(reply.status.as_u16(), status, "{query}");
    }
}

#[tokio::test]
async fn a_client_s_own_url_does_not_choose_the_site_where_the_ingress_hands_the_host_on() {
    let world = service()
        .set("oidc_redirect_allowed_hosts", "other.test")
        .set("oidc_redirect_url", "https://login.test")
        .routes(|_| ROUTES.to_owned())
        .start()
        .await;
    let stranger = world.visitor();
    let asked = async |at: &str, host: &str, lines: &[(&str, &str)]| {
        stranger.send(Method::GET, at, &[&[("host", host)], lines].concat(), "").await.status
    };
    let forged = ("x-original-url", "https://open.test/page");
    for (at, refused) in [("/oauth2/auth", StatusCode::FORBIDDEN), ("/oauth2/forward_auth", StatusCode::BAD_REQUEST)] {
        for honest in [&[][..], &[("x-forwarded-uri", "/page")], &[("x-original-uri", "/page"), ("x-forwarded-proto", "https")]] {
            assert_eq!(asked(at, "app.test", &[honest, &[forged]].concat()).await, refused, "{at} {honest:?}");
        }
    }
    // ingress-nginx writes the URL itself, and asks by an address that has no app, or by one whose page has the same rule.
    for host in ["evergate.internal", "login.test", "open.test"] {
        assert_eq!(asked("/oauth2/auth", host, &[forged]).await, StatusCode::ACCEPTED, "{host}");
    }
    for page in ["https://other.test/page", "https://app.test/page"] {
        assert_eq!(asked("/oauth2/auth", "app.test", &[("x-original-url", page)]).await, StatusCode::UNAUTHORIZED, "{page}");
    }
}

#[tokio::test]
async fn who_says_who_they_are_is_refused_however_it_is_spelt() {
    let world = service().routes(|_| ROUTES.to_owned()).start().await;
    let ann = world.visitor();
    ann.log_in(&world.idp, "/oauth2/start").await;
    let subject = ask(&ann, "/oauth2/auth", ("GET", "/page"), &[]).await.header("x-forwarded-user").to_owned();
    for (name, value, who, status) in [
        ("x-forwarded-user", "admin", &ann, 400),
        ("x-auth-request-user", "admin", &ann, 400),
        ("x_forwarded_user", subject.as_str(), &ann, 400),
        ("x-auth_request-groups", "admins", &ann, 400),
        ("x-forwarded-access-token", "t", &ann, 400),
        ("remote-user", "admin", &ann, 400),
        ("x_remote_user", "admin", &world.visitor(), 400),
        ("x-auth-request-foo", "admin", &world.visitor(), 400),
        ("x-forwarded-user", "admin", &world.visitor(), 400),
        ("x-forwarded-user", subject.as_str(), &ann, 200),
        ("x-auth-request-redirect", "/page", &ann, 200),
    ] {
        let page = if who.session().is_some() { "/page" } else { "/public/page" };
        let reply = ask(who, "/oauth2/forward_auth", ("GET", page), &[(name, value)]).await;
        assert_eq!(reply.status.as_u16(), status, "{name}: {value} at {page}");
    }
}

#[tokio::test]
async fn who_says_who_they_are_by_authorization_is_refused_where_an_app_is_told_by_it() {
    let world = service().routes(|_| TOLD_BY_AUTHORIZATION.to_owned()).start().await;
    let (stranger, ann) = (world.visitor(), world.visitor());
    ann.log_in(&world.idp, "/oauth2/start").await;
    let forged = [("authorization", "User admin@example.com")];
    for (who, page, client, allowed) in [
        (&stranger, "/optional/page", &forged[..], false),
        (&stranger, "/optional/page", &[], true),
        (&stranger, "/public/page", &forged, false),
        (&stranger, "/public/page", &[], true),
        (&ann, "/optional/page", &forged, false),
        (&ann, "/optional/page", &[("authorization", "User ann@example.com")], true),
        (&ann, "/lacking", &forged, false),
        // Another host's app takes it from its clients.
        (&stranger, "/page", &[forged[0], ("host", "open.test")], true),
    ] {
        for at in ["/oauth2/forward_auth", "/oauth2/auth"] {
            let reply = ask(who, at, ("GET", page), client).await;
            assert_eq!(reply.status.is_success(), allowed, "{at} {page} {client:?} {}", reply.status);
        }
    }
    // Where the app is told nothing, an ingress that copies the line takes the client's off.
    for page in ["/optional/page", "/public/page"] {
        let told = ask(&stranger, "/oauth2/forward_auth", ("GET", page), &[]).await;
        assert_eq!(told.headers.get("authorization").map(|line| line.as_bytes()), Some(&b""[..]), "{page}");
    }
    assert_eq!(
        ask(&ann, "/oauth2/forward_auth", ("GET", "/optional/page"), &[]).await.header("authorization"),
        "User ann@example.com"
    );
    // A token that the request was judged by is no forgery.
    let token = world.idp.signed_access_token("https://app.test/tokens", json!({}), json!({}));
    let bearer = [("authorization", format!("Bearer {token}"))];
    let bearer = bearer.each_ref().map(|(name, value)| (*name, value.as_str()));
    let reply = ask(&stranger, "/oauth2/forward_auth", ("GET", "/tokens"), &bearer).await;
    assert_eq!((reply.status, reply.header("authorization")), (StatusCode::OK, ""), "{}", reply.text());
}

#[tokio::test]
async fn another_site_s_page_changes_nothing_behind_an_ingress_and_opens_no_websocket() {
    let world = service().set("allowed_origins", "https://friend.test").start().await;
    let ann = world.visitor();
    ann.log_in(&world.idp, "/oauth2/start").await;
    let (evil, own, friend) =
        (("origin", "https://evil.app.test"), ("origin", "https://app.test"), ("origin", "https://friend.test"));
    let socket = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (method, client, status) in [
        ("GET", &[evil][..], 200),
        ("POST", &[evil], 403),
        ("POST", &[own], 200),
        ("POST", &[friend], 200),
        ("DELETE", &[("sec-fetch-site", "cross-site")], 403),
        ("GET", &[evil, socket], 403),
        ("GET", &[evil, ("sec-websocket-version", "13")], 403),
        ("GET", &[own, socket], 200),
        ("HEAD", &[evil], 200),
    ] {
        let reply = ask(&ann, "/oauth2/forward_auth", (method, "/"), client).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {client:?}");
    }
    // An ingress that does not say by which method: a browser names the origin where something could change.
    for (client, status) in [(&[evil][..], 403), (&[own], 202), (&[], 202)] {
        let reply = ann.send(Method::GET, "/oauth2/auth", client, "").await;
        assert_eq!(reply.status.as_u16(), status, "{client:?}");
    }
    let preflight = |origin| [origin, ("access-control-request-method", "PUT")];
    let stranger = world.visitor();
    assert_eq!(ask(&stranger, "/oauth2/forward_auth", ("OPTIONS", "/"), &preflight(friend)).await.status, StatusCode::OK);
    assert_eq!(ask(&stranger, "/oauth2/forward_auth", ("OPTIONS", "/"), &preflight(evil)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        ask(&ann, "/oauth2/forward_auth", ("OPTIONS", "/"), &preflight(evil)).await.status,
        StatusCode::OK,
        "reads nothing"
    );
}

#[tokio::test]
async fn methods_are_judged_where_they_are_known_and_nowhere_guessed() {
    let world = service().routes(|_| ROUTES.to_owned()).start().await;
    let ann = world.visitor();
    ann.log_in(&world.idp, "/oauth2/start").await;
    for (client, status) in [
        (&[("x-forwarded-uri", "/read")][..], 403),
        (&[("x-forwarded-uri", "/read"), ("x-original-method", "GET")], 202),
        (&[("x-forwarded-uri", "/read"), ("x-original-method", "GET"), ("x-http-method-override", "DELETE")], 403),
        (&[("x-forwarded-uri", "/page")], 202),
        // WebDAV names a second path, which must be under the same rule.
        (&[("x-forwarded-uri", "/page"), ("x-original-method", "MOVE"), ("destination", "/other")], 202),
        (&[("x-forwarded-uri", "/page"), ("x-original-method", "MOVE"), ("destination", "/admin/x")], 403),
        (&[("x-forwarded-uri", "/page"), ("destination", "/other")], 403),
    ] {
        let reply = ann.send(Method::GET, "/oauth2/auth", client, "").await;
        assert_eq!(reply.status.as_u16(), status, "{client:?}");
    }
    assert_eq!(ann.send(Method::DELETE, "/oauth2/auth/read", &FETCH, "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let head = ask(&ann, "/oauth2/forward_auth", ("HEAD", "/admin"), &PAGE).await;
    assert_eq!(head.status, StatusCode::FORBIDDEN);
    assert!(!head.body.is_empty(), "the question was no HEAD");
}

/// Huge heads are the ingress's to refuse first, and ours all the same.
#[tokio::test]
async fn a_head_that_is_too_large_is_denied() {
    let world = service().start().await;
    let ann: Visitor = world.visitor();
    ann.log_in(&world.idp, "/oauth2/start").await;
    let long = "x".repeat(60 * 1024);
    let reply = ask(&ann, "/oauth2/auth", ("GET", "/"), &[("x-a", &long), ("x-b", &long)]).await;
    assert!(reply.status.is_client_error(), "{}", reply.status);
}
