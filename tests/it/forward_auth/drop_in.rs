//! What oauth2-proxy's configuration of an ingress relies upon.

use http::{Method, StatusCode};

use super::{FETCH, PAGE, ask, service};
use crate::harness::{Builder, World, visitor::path_of};

fn with_a_wildcard() -> Builder {
    service().set("wildcard_access_url", "*.apps.test")
}

#[tokio::test]
async fn the_query_of_the_question_narrows_who_may_pass() {
    let world = service().start().await;
    world
        .idp
        .log_in_as(serde_json::json!({"sub": "ann", "email": "ann@example.com", "email_verified": true, "groups": ["a", "b"]}));
    let ann = world.visitor();
    ann.log_in(&world.idp, "/oauth2/start").await;
    for (query, status) in [
        ("", 202),
        ("?allowed_groups=x,b", 202),
        ("?allowed_groups=x", 403),
        ("?allowed_groups=", 403),
        ("?allowed_emails=ann@example.com", 202),
        ("?allowed_emails=bob@example.com", 403),
        ("?allowed_email_domains=example.com", 202),
        ("?allowed_email_domains=*.example.com", 403),
        ("?allowed_groups=a&allowed_email_domains=other.test", 403),
    ] {
        let reply = ask(&ann, &format!("/oauth2/auth{query}"), ("GET", "/"), &FETCH).await;
        assert_eq!(reply.status.as_u16(), status, "{query}");
        assert_eq!(reply.headers.contains_key("x-auth-request-user"), status == 202, "{query}");
    }
    assert_eq!(
        ask(&world.visitor(), "/oauth2/auth?allowed_groups=b", ("GET", "/"), &FETCH).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn what_narrows_who_may_pass_asks_for_a_login_on_an_optional_route_and_a_misspelt_restriction_admits_nobody() {
    let world = service().routes(|_| "[[route]]\npath = \"/optional\"\nrule = \"optional\"\n".to_owned()).start().await;
    world.idp.log_in_as(serde_json::json!({"sub": "ann", "email": "ann@example.com", "email_verified": true, "groups": ["a"]}));
    let (stranger, ann) = (world.visitor(), world.visitor());
    ann.log_in(&world.idp, "/oauth2/start").await;
    for (query, strangers, anns) in [
        ("", 200, 200),
        ("?rd=x", 200, 200),
        ("?allowed_groups=a", 401, 200),
        ("?allowed_groups=on-call", 401, 403),
        ("?allowed_emails=ann@example.com", 401, 200),
        ("?allowed_group=on-call", 400, 400),
        ("?Allowed_Groups=on-call", 400, 400),
    ] {
        for (visitor, status) in [(&stranger, strangers), (&ann, anns)] {
            let reply = ask(visitor, &format!("/oauth2/forward_auth{query}"), ("GET", "/optional/page"), &FETCH).await;
            assert_eq!(reply.status.as_u16(), status, "{query} {}", reply.text());
        }
    }
    // A page is led to the login.
    let page = ask(&stranger, "/oauth2/forward_auth?allowed_groups=a", ("GET", "/optional/page"), &PAGE).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(
        ask(&ann, "/oauth2/auth?allowed_group=a", ("GET", "/"), &FETCH).await.status,
        StatusCode::FORBIDDEN,
        "nginx understands no 400"
    );
}

/// ingress-nginx asks by an address of its own cluster, and says the whole URL.
#[tokio::test]
async fn the_questions_of_ingress_nginx_are_understood() {
    let world = with_a_wildcard()
        .routes(|_| "[[route]]\nhost = \"one.apps.test\"\npath = \"/admin\"\ngroups = [\"admins\"]\n".to_owned())
        .start()
        .await;
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/oauth2/start").await;
    for (url, method, client, status) in [
        ("https://app.test/page?a=1&b=2", "GET", &[][..], 202),
        ("https://app.test/admin", "GET", &[], 202),
        ("https://one.apps.test/admin", "GET", &[], 403),
        ("https://app.test/page", "POST", &[("origin", "https://evil.apps.test")], 403),
        ("https://evil.test/page", "GET", &[], 403),
    ] {
        let told = [
            ("host", "evergate.default.svc.cluster.local:3000"),
            ("x-original-url", url),
            ("x-original-method", method),
            ("x-sent-from", "nginx-ingress-controller"),
            ("x-auth-request-redirect", "/page?a=1&b=2"),
        ];
        let reply = visitor.send(Method::GET, "/oauth2/auth", &[&told[..], client].concat(), "").await;
        assert_eq!(reply.status.as_u16(), status, "{method} {url} {}", reply.text());
    }
}

/// Where a login that begins at `path` leads to.
async fn login_leads_to(world: &World, path: &str, more: &[(&str, &str)]) -> String {
    let visitor = world.visitor();
    let begun = visitor.send(Method::GET, path, &[&PAGE, more].concat(), "").await;
    let callback = world.idp.authorize(&begun.location()).await;
    visitor.get(&path_of(&callback)).await.location().to_string()
}

#[tokio::test]
async fn a_login_begins_by_either_name_and_leads_to_pages_of_ours_alone() {
    let world = with_a_wildcard().start().await;
    for start in ["/oauth2/start", "/oauth2/sign_in"] {
        for (rd, page) in [
            ("/page?a=1", "https://app.test/page?a=1"),
            ("https://app.test/page", "https://app.test/page"),
            ("https://evil.test/page", "https://app.test/"),
            ("//evil.test", "https://app.test/"),
            ("http://one.apps.test/page", "https://app.test/"),
            ("https://one.apps.test@evil.test/", "https://app.test/"),
            ("", "https://app.test/"),
        ] {
            let rd: String = url::form_urlencoded::byte_serialize(rd.as_bytes()).collect();
            assert_eq!(login_leads_to(&world, &format!("{start}?rd={rd}"), &[]).await, page, "{rd}");
        }
        let told = [("x-auth-request-redirect", "/page?a=1&b=2")];
        assert_eq!(login_leads_to(&world, start, &told).await, "https://app.test/page?a=1&b=2");
        assert_eq!(
            login_leads_to(&world, start, &[("x-auth-request-redirect", "https://evil.test/")]).await,
            "https://app.test/"
        );
    }
    // A page of another site begins its login there, where its session will be.
    let elsewhere = world.visitor().get("/oauth2/start?rd=https%3A%2F%2Fone.apps.test%2Fpage").await;
    assert_eq!(elsewhere.location().as_str(), "https://one.apps.test/oauth2/start?rd=https%3A%2F%2Fone.apps.test%2Fpage");
    assert!(elsewhere.set_cookies().is_empty());

    let world = service().set("proxy_trusted_origins", "10.0.0.0/8").start().await;
    let told = [("x-auth-request-redirect", "/page")];
    assert_eq!(login_leads_to(&world, "/oauth2/start", &told).await, "https://app.test/", "nobody who is trusted says so");
}

#[tokio::test]
async fn an_ingress_that_names_no_page_is_answered_where_all_pages_have_one_rule() {
    let world = with_a_wildcard().start().await;
    let visitor = world.visitor();
    assert_eq!(visitor.send(Method::GET, "/oauth2/auth", &PAGE, "").await.status, StatusCode::UNAUTHORIZED);
    visitor.log_in(&world.idp, "/oauth2/start").await;
    let reply = visitor.send(Method::GET, "/oauth2/auth", &PAGE, "").await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["user"], reply.header("x-auth-request-user"));
    let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "same-origin")];
    let left = visitor.send(Method::GET, "/oauth2/sign_out?rd=/bye", &link, "").await;
    assert!(left.location().as_str().starts_with(world.idp.issuer()), "it is signed out at the provider as well");
    assert_eq!(visitor.send(Method::GET, "/oauth2/auth", &PAGE, "").await.status, StatusCode::UNAUTHORIZED);
}
