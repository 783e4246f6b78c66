//! Evergate, started from a translated configuration, and asked as oauth2-proxy's users and ingresses ask it.

use http::{Method, StatusCode};

use super::{translated, written};
use crate::harness::{World, idp::user, visitor::path_of};

const HTML: [(&str, &str); 4] =
    [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];

/// A world whose gateway is configured by these lines of `oauth2-proxy.cfg` and no more, and the folder that it is translated into;
/// `{issuer}` and `{app}` are put in.
async fn world(lines: &'static str) -> (World, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let world = World::build()
        .configured(move |issuer, upstream| {
            let text = lines.replace("{issuer}", issuer).replace("{app}", upstream);
            written(&translated(&[("oauth2-proxy.cfg", &text)], &[], &[]), &path).0
        })
        .start()
        .await;
    (world, folder)
}

#[tokio::test]
async fn a_user_logs_in_and_the_app_gets_what_oauth2_proxy_sent_it() {
    let (world, _folder) = world(
        "provider = \"oidc\"\noidc_issuer_url = \"{issuer}\"\nclient_id = \"gateway\"\nclient_secret = \"s3cr%t:with+odd&characters\"\n\
         redirect_url = \"https://app.test/oauth2/callback\"\nupstreams = [ \"{app}\" ]\nemail_domains = [ \"example.com\" ]\n\
         skip_auth_routes = [ \"^/public(/|$)\" ]\npass_access_token = true\npass_authorization_header = true\nproxy_prefix = \"/auth\"\n\
         cookie_name = \"_oauth2_proxy\"\nscope = \"openid email profile\"\n",
    )
    .await;
    let visitor = world.visitor();
    assert!(visitor.get("/public/page").await.is_upstreams(), "without a login");
    assert_eq!(visitor.fetch("/page").await.status, StatusCode::UNAUTHORIZED);
    let landed = visitor.log_in(&world.idp, "/doc?a=1").await;
    assert_eq!(landed.as_str(), "https://app.test/doc?a=1");
    assert!(visitor.get(&path_of(&landed)).await.is_upstreams());
    let seen = world.upstream.last();
    assert_eq!(seen.header("x-forwarded-email"), Some("ann@example.com"), "{seen:?}");
    assert!(seen.header("x-forwarded-access-token").is_some());
    assert!(seen.header("authorization").is_some_and(|line| line.starts_with("Bearer ey")), "{:?}", seen.header("authorization"));
    assert!(visitor.cookies().keys().any(|name| name.starts_with("__Host-_oauth2_proxy")), "{:?}", visitor.cookies().keys());
    let told = visitor.fetch("/auth/userinfo").await.json();
    assert_eq!(told["email"], "ann@example.com");
    world.idp.log_in_as(serde_json::json!({"sub": "eve", "email": "eve@other.example", "email_verified": true}));
    let other = world.visitor();
    let denied = other.browse(&world.idp, "/page").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "whoever oauth2-proxy kept out is kept out");
    let out = visitor.send(Method::POST, "/auth/sign_out?rd=/", &[("sec-fetch-site", "same-origin")], "").await;
    assert!(out.status.is_redirection(), "{} {}", out.status, out.text());
    assert_eq!(visitor.fetch("/page").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_ingress_is_answered_at_the_endpoints_that_it_knows() {
    let (world, _folder) = world(
        "provider = \"oidc\"\noidc_issuer_url = \"{issuer}\"\nclient_id = \"gateway\"\nclient_secret = \"s3cr%t:with+odd&characters\"\n\
         redirect_url = \"https://app.test/oauth2/callback\"\nupstreams = \"static://202\"\nemail_domains = \"*\"\nreverse_proxy = true\n\
         trusted_proxy_ips = \"127.0.0.1\"\nset_xauthrequest = true\nset_authorization_header = true\nskip_auth_routes = \"^/public(/|$)\"\n",
    )
    .await;
    world.idp.log_in_as(user("ann"));
    let visitor = world.visitor();
    let asks = async |uri: &str| {
        let told = [("x-forwarded-uri", uri), ("x-forwarded-method", "GET")];
        visitor.send(Method::GET, "/oauth2/auth", &[&HTML[..], &told].concat(), "").await
    };
    assert_eq!(asks("/page").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(asks("/public/page").await.status, StatusCode::ACCEPTED);
    let landed = visitor.log_in(&world.idp, "/oauth2/start?rd=/page").await;
    assert_eq!(landed.as_str(), "https://app.test/page");
    let allowed = asks("/page").await;
    assert_eq!((allowed.status, allowed.header("x-auth-request-email")), (StatusCode::ACCEPTED, "ann@example.com"));
    assert!(allowed.header("authorization").starts_with("Bearer ey"), "{:?}", allowed.headers);
    for probe in ["/ping", "/ready"] {
        assert_eq!(visitor.send(Method::GET, probe, &[], "").await.status, StatusCode::OK, "{probe}");
    }
}
