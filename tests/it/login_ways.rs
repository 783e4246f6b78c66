//! Other ways into and through a login: a response as a form, a login that another site begins, a page in a frame.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use url::Url;

use crate::harness::{ACCESS, World, logs::lines_with, visitor::path_of};

const EXPIRED: Duration = Duration::from_secs(301);

/// What a browser says that sends a form of another site.
const FOREIGN_FORM: [(&str, &str); 6] = [
    ("accept", "text/html"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("origin", "null"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "cross-site"),
];

fn parameters(url: &Url) -> Vec<(String, String)> {
    url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn a_response_that_comes_as_a_form_completes_the_login_by_get() {
    let world = World::build().set("oidc_auth_url_params", r#"{"response_mode":"form_post"}"#).start().await;
    let visitor = world.visitor();
    let request = visitor.get("/page").await.location();
    assert!(parameters(&request).contains(&("response_mode".into(), "form_post".into())));
    let callback = world.idp.authorize(&request).await;
    let form = format!("{}&session_state=x", callback.query().unwrap());
    // Lax cookies are not sent with another site's form.
    let by_get = world.visitor().send(Method::POST, "/oauth2/callback", &FOREIGN_FORM, &form).await;
    assert!(by_get.set_cookies().is_empty());
    let by_get = by_get.location();
    assert!(by_get.as_str().starts_with(&format!("{ACCESS}/oauth2/callback?")) && !by_get.as_str().contains("session_state"));
    assert_eq!(visitor.get(&path_of(&by_get)).await.location().as_str(), format!("{ACCESS}/page"));
    assert!(visitor.get("/page").await.is_upstreams());
}

#[tokio::test]
async fn an_error_that_comes_as_a_form_is_shown_as_one_that_comes_by_query() {
    let world = World::build().set("oidc_auth_url_params", r#"{"response_mode":"form_post"}"#).start().await;
    let visitor = world.visitor();
    let request = visitor.get("/page").await.location();
    let state = request.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let form = format!("state={state}&error=access_denied&error_description=no");
    let by_get = world.visitor().send(Method::POST, "/oauth2/callback", &FOREIGN_FORM, &form).await.location();
    let shown = visitor.get(&path_of(&by_get)).await;
    assert_eq!(shown.status, StatusCode::FORBIDDEN);
    assert!(visitor.session().is_none() && !shown.text().contains("error_description"));
}

#[tokio::test]
async fn who_authenticated_at_the_provider_longer_ago_than_max_age_gets_no_session() {
    let world = World::build().set("oidc_auth_url_params", r#"{"max_age":"600"}"#).start().await;
    let log_in = async |claims: fn(&mut serde_json::Value)| {
        world.idp.edit_id_token(claims);
        let visitor = world.visitor();
        let request = visitor.get("/page").await.location();
        assert!(parameters(&request).contains(&("max_age".into(), "600".into())));
        visitor.get(&path_of(&world.idp.authorize(&request).await)).await.status
    };
    let recently = |claims: &mut serde_json::Value| claims["auth_time"] = json!(claims["iat"].as_i64().unwrap() - 590);
    assert_eq!(log_in(recently).await, StatusCode::SEE_OTHER);
    assert_eq!(log_in(|claims| claims["auth_time"] = json!(claims["iat"].as_i64().unwrap() - 700)).await, StatusCode::FORBIDDEN);
    assert_eq!(log_in(|claims| claims["auth_time"] = json!("today")).await, StatusCode::FORBIDDEN);
    assert_eq!(log_in(|claims| drop(claims.as_object_mut().unwrap().remove("auth_time"))).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_that_is_no_response_is_refused() {
    let world = World::start().await;
    let send = async |form: &str| world.visitor().send(Method::POST, "/oauth2/callback", &FOREIGN_FORM, form).await.status;
    for form in ["", "code=c", "state=a&state=b&code=c", "state=a&access_token=t", "state=a&id_token=t", &"state=a&".repeat(3000)]
    {
        assert_eq!(send(form).await, StatusCode::BAD_REQUEST, "{form:.40}");
    }
    let script = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];
    let reply = world.visitor().send(Method::POST, "/oauth2/callback", &script, "state=a&code=c").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_portal_of_the_provider_begins_a_login_that_leads_to_its_target() {
    let world = World::start().await;
    let asked = |pairs: &[(&str, &str)]| url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let issuer = world.idp.issuer();
    let target = format!("{ACCESS}/reports?tab=1");
    let tile = asked(&[("iss", issuer), ("login_hint", "ann@example.com"), ("target_link_uri", &target), ("evil", "x")]);

    let visitor = world.visitor();
    let request = visitor.get(&format!("/oauth2/start?{tile}")).await.location();
    assert!(parameters(&request).contains(&("login_hint".into(), "ann@example.com".into())));
    let landed = visitor.get(&path_of(&world.idp.authorize(&request).await)).await.location();
    assert_eq!(landed.as_str(), target);

    let by_get = world.visitor().send(Method::POST, "/oauth2/start", &FOREIGN_FORM, &tile).await.location();
    assert_eq!(by_get.path(), "/oauth2/start");
    assert!(!by_get.as_str().contains("evil"));
    let request = world.visitor().get(&path_of(&by_get)).await.location();
    assert!(request.as_str().starts_with(issuer));

    let elsewhere = asked(&[("iss", issuer), ("target_link_uri", "https://evil.test/")]);
    let visitor = world.visitor();
    let request = visitor.get(&format!("/oauth2/start?{elsewhere}")).await.location();
    let landed = visitor.get(&path_of(&world.idp.authorize(&request).await)).await.location();
    assert_eq!(landed.as_str(), format!("{ACCESS}/"), "never a page of another site");
    let other = world.visitor().get(&format!("/oauth2/start?{}", asked(&[("iss", "https://evil.test")]))).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_app_in_a_frame_of_another_site_has_a_partitioned_session_and_nobody_is_logged_out_by_the_change() {
    let mut world = World::start().await;
    let before = world.signed_in().await;
    world.restart_with(&[("samesite_auth_cookie", "none")]).await;
    let before = before.at(world.address());
    assert!(before.get("/").await.is_upstreams());

    let visitor = world.visitor();
    visitor.set_cookie("__Host-evergate_session", &"x".repeat(43));
    let callback = world.idp.authorize(&visitor.get("/").await.location()).await;
    let landed = visitor.get(&path_of(&callback)).await;
    let cookies = landed.set_cookies();
    let session = cookies.iter().find(|line| line.starts_with("__Host-evergate_partitioned_session=")).unwrap();
    let old = cookies.iter().find(|line| line.starts_with("__Host-evergate_session=;")).unwrap();
    assert!(old.contains("; Max-Age=0") && old.contains("; SameSite=Lax"), "it would hide the new one later: {old}");
    for attribute in ["; HttpOnly", "; SameSite=None", "; Partitioned", "; Secure", "; Path=/"] {
        assert!(session.contains(attribute), "{session}");
    }
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(world.upstream.last().header("cookie"), None, "it is ours");

    world.restart_with(&[("samesite_auth_cookie", "lax")]).await;
    let (visitor, before) = (visitor.at(world.address()), before.at(world.address()));
    assert!(visitor.get("/").await.is_upstreams() && before.get("/").await.is_upstreams());
    visitor.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    assert!(visitor.cookies().keys().all(|name| !name.ends_with("session")), "{:?}", visitor.cookies());
}

#[tokio::test]
async fn a_login_in_a_frame_of_another_site_goes_through_the_frame() {
    let mut world = World::start().await;
    let in_frame =
        [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), ("sec-fetch-site", "cross-site")];
    let refused = world.visitor().send(Method::GET, "/page", &in_frame, "").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "no Lax cookie would come back to a frame");
    world.restart_with(&[("samesite_auth_cookie", "none")]).await;
    let visitor = world.visitor();
    let request = visitor.send(Method::GET, "/page", &in_frame, "").await.location();
    let callback = world.idp.authorize(&request).await;
    let landed = visitor.send(Method::GET, &path_of(&callback), &in_frame, "").await.location();
    assert_eq!(landed.as_str(), format!("{ACCESS}/page"));
    assert!(visitor.send(Method::GET, "/page", &in_frame, "").await.is_upstreams());
}

#[tokio::test]
async fn another_site_s_page_reads_nothing_with_our_cookies_in_its_images_and_scripts() {
    let world = World::build().set("samesite_auth_cookie", "none").set("allowed_origins", "https://friend.test").start().await;
    let visitor = world.signed_in().await;
    let part = |site, mode, origin| [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("origin", origin)];
    let before = world.upstream.requests().len();
    for mode in ["no-cors", "cors"] {
        let reply = visitor.send(Method::GET, "/delete?all", &part("cross-site", mode, "https://evil.test"), "").await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{mode}");
    }
    assert_eq!(world.upstream.requests().len(), before);
    for (site, mode, origin) in [
        ("cross-site", "cors", "https://friend.test"),
        ("cross-site", "navigate", "https://evil.test"),
        ("same-origin", "cors", ACCESS),
        ("same-site", "no-cors", "https://sibling.test"),
    ] {
        assert!(visitor.send(Method::GET, "/", &part(site, mode, origin), "").await.is_upstreams(), "{site} {mode} {origin}");
    }
}

#[tokio::test]
async fn a_form_that_is_too_long_for_an_address_begins_no_login() {
    let world = World::start().await;
    let long = format!("target_link_uri=/{}", "%01".repeat(5000));
    let reply = world.visitor().send(Method::POST, "/oauth2/start", &FOREIGN_FORM, &long).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn own_pages_have_the_administrator_s_texts_icon_and_policy() {
    let world = World::build()
        .set("oidc_sign_in_text", "Sign in with <Example>")
        .set("oidc_icon_url", "https://cdn.test/logo.svg")
        .set("oidc_signups_disabled_text", "Ask helpdesk@example.com.")
        .set("additional_csp_policy", "frame-ancestors https://portal.test")
        .set("oidc_email_domain", "elsewhere.test")
        .start()
        .await;
    let signed_out = world.visitor().get("/oauth2/signed_out").await;
    let html = signed_out.text();
    assert!(html.contains(">Sign in with &lt;Example&gt;</a>"), "{html}");
    assert!(html.contains(r#"<img class="icon" alt="" src="https://cdn.test/logo.svg">"#), "{html}");
    let policy = signed_out.header("content-security-policy");
    assert!(policy.contains("img-src https://cdn.test") && policy.ends_with("frame-ancestors https://portal.test"), "{policy}");
    assert!(!policy.contains("frame-ancestors 'none'"), "{policy}");
    let denied = world.visitor().browse(&world.idp, "/").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert!(denied.text().contains("Ask helpdesk@example.com."), "{}", denied.text());
    let refused = world.visitor().get("/oauth2/nothing").await;
    assert!(!refused.text().contains("helpdesk"), "only who is not let in is told");
}

#[tokio::test]
async fn an_issuer_for_many_tenants_is_the_tenant_s_of_each_token_and_a_key_signs_for_its_own() {
    const TENANTS: [&str; 2] = ["11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"];
    let mut world = World::start().await;
    let provider = world.idp.issuer().to_owned();
    let at = |tenant: &str| format!("{provider}/{tenant}");
    world.idp.set_metadata(json!({"issuer": at("{tenantid}"), "authorization_response_iss_parameter_supported": null}));
    world.restart_with(&[("oidc_issuer_url", &at("common")), ("oidc_ignore_userinfo", "true")]).await;
    let log_in = async |issuer: String, tenant: &'static str, of_key: String| {
        world.idp.keys_name_issuer(&of_key);
        world.idp.edit_id_token(move |claims| {
            claims["iss"] = json!(issuer);
            claims["tid"] = json!(tenant);
        });
        let visitor = world.visitor();
        let mut callback = world.idp.authorize(&visitor.get("/").await.location()).await;
        let without_iss: Vec<_> = parameters(&callback).into_iter().filter(|(name, _)| name != "iss").collect();
        callback.query_pairs_mut().clear().extend_pairs(without_iss);
        visitor.get(&path_of(&callback)).await;
        visitor.get("/").await.is_upstreams()
    };
    let [one, other] = TENANTS;
    assert!(log_in(at(one), one, at("{tenantid}")).await);
    assert!(!log_in(at(one), other, at("{tenantid}")).await, "its tenant is another");
    assert!(!log_in("https://evil.test".to_owned(), one, at("{tenantid}")).await);
    world.idp.rotate_keys(true);
    assert!(!log_in(at(one), one, at(other)).await, "the key is another tenant's");
}

#[tokio::test]
async fn at_a_renewal_the_tenant_of_an_issuer_for_many_must_be_that_of_the_login() {
    const TENANTS: [&str; 2] = ["11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"];
    let mut world = World::start().await;
    let provider = world.idp.issuer().to_owned();
    world.idp.set_metadata(json!({
        "issuer": format!("{provider}/{{tenantid}}"), "authorization_response_iss_parameter_supported": null,
    }));
    world.restart_with(&[("oidc_issuer_url", &format!("{provider}/common")), ("oidc_ignore_userinfo", "true")]).await;
    world.idp.keys_name_issuer(&format!("{provider}/{{tenantid}}"));
    let tokens_are_of = |tenant: &'static str| {
        let issuer = format!("{provider}/{tenant}");
        world.idp.edit_id_token(move |claims| {
            claims["iss"] = json!(issuer);
            claims["tid"] = json!(tenant);
        });
    };
    let [one, other] = TENANTS;
    tokens_are_of(one);
    let visitor = world.visitor();
    let mut callback = world.idp.authorize(&visitor.get("/").await.location()).await;
    let without_iss: Vec<_> = parameters(&callback).into_iter().filter(|(name, _)| name != "iss").collect();
    callback.query_pairs_mut().clear().extend_pairs(without_iss);
    visitor.get(&path_of(&callback)).await;
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    tokens_are_of(other);
    world.clock.advance(EXPIRED);
    let refused = visitor.fetch("/").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "its iss fits its tid, and it is another tenant's user");
    assert!(!lines_with(&[&provider, "its tid is another tenant than at login"]).is_empty());
}
