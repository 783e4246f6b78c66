//! Logging in, and who may.

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{ACCESS, World, eventually::eventually, idp::user, visitor::path_of};

#[tokio::test]
async fn a_visitor_is_sent_to_the_provider_and_back_to_the_page_that_they_asked_for() {
    let world = World::start().await;
    let visitor = world.visitor();
    let landed = visitor.log_in(&world.idp, "/reports/7?tab=b&q=a%20b").await;
    assert_eq!(landed.as_str(), format!("{ACCESS}/reports/7?tab=b&q=a%20b"));
    let page = visitor.get("/reports/7?tab=b&q=a%20b").await;
    assert!(page.is_upstreams());
    assert_eq!(page.text(), "GET /reports/7?tab=b&q=a%20b 0");
}

#[tokio::test]
async fn the_upstream_is_told_who_it_is_and_never_sees_our_cookies() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    visitor.set_cookie("theme", "dark");
    visitor.get("/").await;
    let seen = world.upstream.last();
    let told = ["user", "email", "preferred-username", "groups"]
        .map(|name| seen.header(&format!("x-forwarded-{name}")).map(str::to_owned));
    assert_eq!(told, ["sub-ann", "ann@example.com", "ann", "staff"].map(|text| Some(text.to_owned())));
    assert_eq!(seen.header("cookie"), Some("theme=dark"));
    assert_eq!(seen.header("x-forwarded-access-token"), None, "not unless configured");
}

#[tokio::test]
async fn the_access_token_is_passed_on_where_configured_and_is_always_the_current_one() {
    let world = World::build().set("pass_access_token", "true").start().await;
    let visitor = world.signed_in().await;
    visitor.get("/").await;
    let first = world.upstream.last().header("x-forwarded-access-token").unwrap().to_owned();
    assert!(first.starts_with("at-"));
    world.clock.advance(std::time::Duration::from_secs(400));
    visitor.get("/").await;
    let second = world.upstream.last().header("x-forwarded-access-token").unwrap().to_owned();
    assert!(second.starts_with("at-") && second != first);
}

#[tokio::test]
async fn a_script_is_told_where_to_log_in_and_never_redirected() {
    let world = World::start().await;
    let visitor = world.visitor();
    let answers = [
        visitor.fetch("/api").await,
        visitor.send(Method::GET, "/api", &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")], "").await,
        visitor.send(Method::GET, "/api", &[("accept", "text/html"), ("sec-fetch-mode", "cors")], "").await,
        visitor.send(Method::GET, "/api", &[("accept", "text/html"), ("sec-purpose", "prefetch")], "").await,
        visitor.send(Method::GET, "/api", &[("connection", "upgrade"), ("upgrade", "websocket")], "").await,
        visitor.send(Method::GET, "/api", &[], "").await,
    ];
    for answer in &answers {
        assert_eq!(answer.header("content-type"), "application/json", "nobody would see a page");
        assert_eq!(answer.json()["login_url"], json!(format!("{ACCESS}/oauth2/start")));
    }
    let form = visitor.send(Method::POST, "/api", &[("accept", "text/html")], "x=1").await;
    assert_eq!(form.header("content-type"), "text/html; charset=utf-8", "whoever sends a form sees a page");
    for answer in answers.iter().chain([&form]) {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("evergate-response"), "sign_in_required");
        assert!(answer.set_cookies().is_empty(), "only a navigation begins a login");
    }
    let answer = visitor.fetch("/api").await.json();
    assert_eq!(
        (&answer["error"], &answer["reason"], &answer["login_url"]),
        (&json!("sign_in_required"), &json!("no_session"), &json!(format!("{ACCESS}/oauth2/start")))
    );
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_head_request_begins_a_login_too() {
    let world = World::start().await;
    let answer = world.visitor().send(Method::HEAD, "/", &[("accept", "text/html")], "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn several_tabs_log_in_at_once() {
    let world = World::start().await;
    let visitor = world.visitor();
    let (first, second) = (visitor.get("/one").await.location(), visitor.get("/two").await.location());
    let second = world.idp.authorize(&second).await;
    let first = world.idp.authorize(&first).await;
    assert_eq!(visitor.get(&path_of(&second)).await.location().path(), "/two");
    assert_eq!(visitor.get(&path_of(&first)).await.location().path(), "/one");
    assert!(visitor.get("/").await.is_upstreams());
    let kept: Vec<_> = visitor.cookies().into_keys().filter(|name| name.contains("login")).collect();
    assert_eq!(kept.len(), 1, "what binds further tabs to the browser, for as long as an attempt lives");
}

#[tokio::test]
async fn attempts_that_never_return_do_not_pile_up() {
    let world = World::start().await;
    let visitor = world.visitor();
    for _ in 0..20 {
        visitor.get("/").await.location();
    }
    assert_eq!(visitor.cookies().len(), 1, "one after the other, they share what binds them to the browser");
    visitor.log_in(&world.idp, "/").await;
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_tab_whose_login_was_finished_by_another_is_not_shown_an_error() {
    let world = World::start().await;
    let visitor = world.visitor();
    let callback = world.idp.authorize(&visitor.get("/page").await.location()).await;
    visitor.get(&path_of(&callback)).await;
    let again = visitor.get(&path_of(&callback)).await;
    assert_eq!(again.location().as_str(), format!("{ACCESS}/page"));
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn every_login_makes_a_new_session_and_a_planted_one_is_worth_nothing() {
    let world = World::start().await;
    let attacker = world.signed_in().await;
    let planted = attacker.session().unwrap();
    let victim = world.visitor();
    victim.set_cookie("__Host-evergate_session", &planted);
    world.idp.log_in_as(user("victim"));
    let callback = world.idp.authorize(&victim.get("/oauth2/start").await.location()).await;
    victim.get(&path_of(&callback)).await;
    assert_ne!(victim.session().unwrap(), planted);
    assert_eq!(attacker.fetch("/").await.status, StatusCode::UNAUTHORIZED, "the planted session was replaced");
}

#[tokio::test]
async fn the_session_cookie_has_every_protection() {
    let world = World::start().await;
    let visitor = world.visitor();
    let callback = world.idp.authorize(&visitor.get("/").await.location()).await;
    let landed = visitor.get(&path_of(&callback)).await;
    let line = landed.set_cookies().into_iter().find(|line| line.starts_with("__Host-evergate_session=")).unwrap().to_owned();
    let (pair, attributes) = line.split_once("; ").unwrap();
    assert_eq!(pair.len(), "__Host-evergate_session=".len() + 43, "256 bits as base64");
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=2592000");
    assert_eq!((landed.header("cache-control"), landed.header("referrer-policy")), ("no-store", "no-referrer"));
}

#[tokio::test]
async fn over_plain_http_the_cookie_does_without_what_browsers_would_refuse() {
    let world = World::build().set("access_url", "http://app.test").start().await;
    let visitor = world.signed_in().await;
    assert!(visitor.cookies().contains_key("evergate_session"));
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn only_users_of_an_allowed_domain_may_enter() {
    let world = World::build().set("oidc_email_domain", "example.com,@other.example").start().await;
    world.signed_in().await;
    for (email, enters) in
        [("x@other.example", true), ("x@EXAMPLE.com", true), ("x@evilexample.com", false), ("x@example.com.evil", false)]
    {
        let mut claims = user("x");
        claims["email"] = json!(email);
        world.idp.log_in_as(claims);
        let visitor = world.visitor();
        let callback = world.idp.authorize(&visitor.get("/").await.location()).await;
        let landed = visitor.get(&path_of(&callback)).await;
        assert_eq!(landed.status == StatusCode::SEE_OTHER, enters, "{email}");
        assert_eq!(visitor.session().is_some(), enters, "{email}");
        if !enters {
            assert_eq!(landed.status, StatusCode::FORBIDDEN);
            let rest = landed.text().replace(email, "");
            assert!(!rest.contains("example.com"), "which domains are allowed is nobody's business");
        }
    }
}

#[tokio::test]
async fn only_members_of_an_allowed_group_may_enter_and_losing_it_locks_out() {
    let world = World::build().set("oidc_allowed_groups", "staff,admins").start().await;
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    world.idp.edit_id_token(|claims| claims["groups"] = json!(["guests"]));
    world.idp.edit_userinfo(|claims| claims["groups"] = json!(["guests"]));
    world.clock.advance(std::time::Duration::from_secs(400));
    assert_eq!(visitor.get("/").await.status, StatusCode::FORBIDDEN, "a renewal brings the groups of today");
    let refused = world.visitor();
    let callback = world.idp.authorize(&refused.get("/").await.location()).await;
    assert_eq!(refused.get(&path_of(&callback)).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_unverified_email_address_is_refused_unless_configured() {
    for (ignore, status) in [("false", StatusCode::FORBIDDEN), ("true", StatusCode::SEE_OTHER)] {
        let world = World::build().set("oidc_ignore_email_verified", ignore).start().await;
        let mut claims = user("eve");
        claims["email_verified"] = json!(false);
        world.idp.log_in_as(claims);
        let visitor = world.visitor();
        let callback = world.idp.authorize(&visitor.get("/").await.location()).await;
        assert_eq!(visitor.get(&path_of(&callback)).await.status, status);
    }
}

#[tokio::test]
async fn claims_have_the_configured_names_and_user_info_can_be_left_out() {
    let world = World::build().set("oidc_username_field", "nick").set("oidc_ignore_userinfo", "true").start().await;
    let mut claims = user("ann");
    claims["nick"] = json!("annie");
    world.idp.log_in_as(claims);
    world.signed_in().await.get("/").await;
    assert_eq!(world.upstream.last().header("x-forwarded-preferred-username"), Some("annie"));
    assert_eq!(world.idp.calls(crate::harness::idp::Endpoint::Userinfo), 0);
}

#[tokio::test]
async fn our_own_pages_can_be_moved() {
    let world = World::build().set("path_prefix", "/_gate/auth").start_with(|_| {}).await;
    let visitor = world.visitor();
    let to_provider = visitor.get("/").await.location();
    assert!(to_provider.query().unwrap().contains("redirect_uri=https%3A%2F%2Fapp.test%2F_gate%2Fauth%2Fcallback"));
    let callback = world.idp.authorize(&to_provider).await;
    visitor.get(&path_of(&callback)).await;
    assert!(visitor.get("/oauth2/callback").await.is_upstreams(), "the usual place is the app's then");
    assert_eq!(visitor.get("/_gate/auth/userinfo").await.json()["user"], "sub-ann");
}

#[tokio::test]
async fn nothing_but_the_prefix_is_taken_from_the_app() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    for path in ["/oauth2x", "/oauth", "/healthz", "/.well-known/x", "/a/oauth2/start"] {
        assert!(visitor.get(path).await.is_upstreams(), "{path}");
    }
    for path in ["/oauth2", "/oauth2/", "/oauth2/none"] {
        assert_eq!(visitor.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn without_its_provider_a_gateway_serves_sessions_and_finds_it_when_it_is_back() {
    let mut world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp_line.cut();
    world.restart_with(&[]).await;
    let visitor = visitor.at(world.address());
    assert!(visitor.get("/").await.is_upstreams());
    let refused = world.visitor().get("/").await;
    assert_eq!((refused.status, refused.header("evergate-response")), (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"));
    assert!(!refused.header("retry-after").is_empty());
    world.idp_line.mend();
    let newcomer = world.visitor();
    eventually("the provider is found", async || newcomer.get("/").await.status == StatusCode::SEE_OTHER).await;
    newcomer.log_in(&world.idp, "/").await;
}

#[tokio::test]
async fn a_changed_setting_logs_nobody_out() {
    let mut world = World::start().await;
    let visitor = world.signed_in().await;
    world
        .restart_with(&[("oidc_scopes", "openid,offline_access"), ("session_duration", "12h"), ("oidc_username_field", "email")])
        .await;
    assert!(visitor.at(world.address()).browse(&world.idp, "/").await.is_upstreams());
}

#[tokio::test]
async fn a_grant_of_another_client_is_not_used_and_its_token_is_shown_to_nobody() {
    let mut world = World::build().start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_client_id", "another")]).await;
    let visitor = visitor.at(world.address());
    for advance in [0, 400] {
        world.clock.advance(std::time::Duration::from_secs(advance));
        let reply = visitor.fetch("/").await;
        assert_eq!((reply.status, reply.json()["reason"].clone()), (StatusCode::UNAUTHORIZED, json!("other_provider")));
        assert_eq!(visitor.get("/").await.status, StatusCode::SEE_OTHER, "a page goes through the provider by itself");
    }
    assert_eq!(world.idp.calls(crate::harness::idp::Endpoint::Refresh), 0);
}

#[tokio::test]
async fn a_login_leads_back_to_a_page_whose_address_was_put_in_as_it_stands() {
    let world = World::start().await;
    for (rd, page) in [
        ("/search?q=a+b", "/search?q=a%20b"),
        ("/files/my%20doc.pdf", "/files/my%20doc.pdf"),
        ("https://app.test/files/my%20doc.pdf", "/files/my%20doc.pdf"),
    ] {
        let landed = world.visitor().log_in(&world.idp, &format!("/oauth2/start?rd={rd}")).await;
        assert_eq!(landed.as_str(), format!("{ACCESS}{page}"), "{rd}");
    }
}
