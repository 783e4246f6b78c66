//! Logins that would get lost, and browsers that would get locked out.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::harness::{
    ACCESS, World,
    idp::{Endpoint, Misbehaviour, user},
    visitor::{Visitor, path_of},
};

const NAVIGATION: [(&str, &str); 3] = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

fn our_cookies(visitor: &Visitor) -> usize {
    visitor.cookies().iter().map(|(name, value)| name.len() + value.len() + "=; ".len()).sum()
}

#[tokio::test]
async fn only_a_top_level_navigation_begins_or_ends_a_login() {
    let world = World::start().await;
    let visitor = world.visitor();
    for metadata in [
        [("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
        [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
        [("accept", "text/html"), ("purpose", "prefetch")],
        [("accept", "text/html"), ("x-moz", "prefetch")],
        [("accept", "text/html"), ("x-purpose", "preview")],
        [("accept", "text/html"), ("sec-purpose", "prefetch;prerender")],
    ] {
        for path in ["/oauth2/start", "/oauth2/callback?code=x&state=y"] {
            let reply = visitor.send(Method::GET, path, &metadata, "").await;
            assert_eq!(
                (reply.status, reply.header("evergate-response")),
                (StatusCode::FORBIDDEN, "navigation_required"),
                "{path}"
            );
        }
        let page = visitor.send(Method::GET, "/page", &metadata, "").await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{metadata:?}");
    }
    assert!(visitor.cookies().is_empty());
    // Browsers say nothing of it over plain http, and command-line tools never do.
    assert_eq!(visitor.send(Method::GET, "/oauth2/start", &[], "").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn however_many_logins_begin_at_once_their_cookies_stay_small_and_each_tab_gets_its_page() {
    let world = World::start().await;
    let visitor = world.visitor();
    // As restored tabs do: none of them has heard of another yet.
    let mut tabs = Vec::new();
    for number in 0..40 {
        let path = format!("/tab/{number}?of=many");
        let fresh = world.visitor();
        let to_provider = fresh.get(&path).await.location();
        fresh.cookies().iter().for_each(|(name, value)| visitor.set_cookie(name, value));
        tabs.push((path, to_provider));
    }
    assert!(our_cookies(&visitor) <= 4096, "{}", our_cookies(&visitor));
    for (path, to_provider) in tabs {
        let mut began_again = 0;
        let mut next = world.idp.authorize(&to_provider).await;
        while next.path() == "/oauth2/callback" {
            next = visitor.get(&path_of(&next)).await.location();
            if next.as_str().starts_with(world.idp.issuer()) {
                began_again += 1;
                next = world.idp.authorize(&next).await;
            }
        }
        assert_eq!(next.as_str(), format!("{ACCESS}{path}"));
        assert!(began_again <= 1, "once, with the provider's word on who it is");
        assert!(our_cookies(&visitor) <= 4096);
    }
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_long_address_is_come_back_to_whole() {
    let world = World::start().await;
    for length in [300, 600, 2500, 8000] {
        let path = format!("/report?filter={}&file=C:\\dir", "ab%20".repeat(length / 5));
        let visitor = world.visitor();
        let request = visitor.send(Method::GET, &path, &NAVIGATION, "").await.location();
        assert!(request.as_str().len() < 2000, "and the provider's address stays short: {}", request.as_str().len());
        let landed = visitor.get(&path_of(&world.idp.authorize(&request).await)).await.location();
        assert_eq!(landed.as_str(), format!("{ACCESS}{path}"));
        assert!(our_cookies(&visitor) <= 4096);
    }
}

#[tokio::test]
async fn a_login_leads_to_no_address_that_we_would_refuse() {
    let world = World::build().routes(|_| "[[route]]\npath = \"/admin\"\ngroups = [\"admins\"]".to_owned()).start().await;
    for (asked, landed) in [("/ok?a=b", "/ok?a=b"), ("/x%2f..%2fadmin", "/"), ("/%61dmin", "/"), ("/a%00b", "/"), ("/a\\b", "/")]
    {
        let visitor = world.visitor();
        let rd: String = url::form_urlencoded::byte_serialize(asked.as_bytes()).collect();
        assert_eq!(
            visitor.log_in(&world.idp, &format!("/oauth2/start?rd={rd}")).await.as_str(),
            format!("{ACCESS}{landed}"),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn a_login_page_that_stayed_open_for_long_leads_to_the_page_all_the_same() {
    let world = World::start().await;
    let visitor = world.visitor();
    let login = world.idp.authorize(&visitor.get("/wanted?a=b").await.location()).await;
    world.clock.advance(Duration::from_secs(3 * 3600));
    let again = visitor.get(&path_of(&login)).await.location();
    assert!(again.as_str().starts_with(world.idp.issuer()), "{again}");
    let landed = visitor.get(&path_of(&world.idp.authorize(&again).await)).await.location();
    assert_eq!(landed.as_str(), format!("{ACCESS}/wanted?a=b"));
}

#[tokio::test]
async fn a_provider_that_fails_for_a_moment_loses_no_login_and_one_that_goes_on_is_told_of_with_a_way_back() {
    let world = World::start().await;
    world.idp.misbehave(Endpoint::Code, Misbehaviour::Answer(503, String::new(), vec![]));
    let visitor = world.visitor();
    let login = world.idp.authorize(&visitor.get("/wanted?a=b").await.location()).await;
    let again = visitor.get(&path_of(&login)).await.location();
    assert!(again.as_str().starts_with(world.idp.issuer()), "{again}");
    let failed = visitor.get(&path_of(&world.idp.authorize(&again).await)).await;
    assert_eq!((failed.status, failed.header("evergate-response")), (StatusCode::BAD_GATEWAY, "provider_error"));
    assert!(failed.text().contains("/oauth2/start?rd=%2Fwanted%3Fa%3Db"), "{}", failed.text());
    world.idp.behave(Endpoint::Code);
    let landed = visitor.log_in(&world.idp, "/oauth2/start?rd=%2Fwanted%3Fa%3Db").await;
    assert_eq!(landed.as_str(), format!("{ACCESS}/wanted?a=b"));
}

#[tokio::test]
async fn a_browser_that_keeps_no_cookies_is_told_so_after_a_second_attempt() {
    let world = World::start().await;
    let login = world.idp.authorize(&world.visitor().get("/wanted").await.location()).await;
    let again = world.visitor().get(&path_of(&login)).await.location();
    let second = path_of(&world.idp.authorize(&again).await);
    let refused = world.visitor().get(&second).await;
    assert_eq!((refused.status, refused.header("evergate-response")), (StatusCode::BAD_REQUEST, "sign_in_not_kept"));
    assert!(refused.text().contains("cookies"), "{}", refused.text());
    assert!(refused.text().contains("/oauth2/start?rd=%2Fwanted"), "{}", refused.text());
    let another = world.visitor();
    another.get("/wanted").await.location();
    assert_eq!(another.get(&second).await.header("evergate-response"), "unknown_login_attempt", "a browser that keeps some");
    assert_eq!(world.idp.calls(Endpoint::Code), 0);
    let signed_in = world.signed_in().await;
    assert_eq!(signed_in.get(&second).await.header("evergate-response"), "unknown_login_attempt", "one that keeps a session");
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(
        world.visitor().get(&second).await.header("evergate-response"),
        "unknown_login_attempt",
        "an old one says nothing"
    );
}

#[tokio::test]
async fn the_view_of_an_app_is_a_browser_and_only_a_script_is_a_script() {
    let world = World::start().await;
    let visitor = world.visitor();
    let asked = async |with: &str| {
        visitor.send(Method::GET, "/mail", &[("accept", "text/html"), ("x-requested-with", with)], "").await.status
    };
    assert_eq!(asked("com.example.mail").await, StatusCode::SEE_OTHER);
    assert_eq!(asked("XMLHttpRequest").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_cookie_that_somebody_planted_beside_ours_sends_nobody_round_in_circles() {
    let world = World::build().set("access_url", "http://app.test").start().await;
    let visitor = world.visitor();
    // As browsers do with two cookies of one name and different paths: both are sent, and a login replaces one alone.
    visitor.set_cookie("evergate_session ", &"p".repeat(43));
    let told = visitor.browse(&world.idp, "/sub/page").await;
    assert_eq!((told.status, told.header("evergate-response")), (StatusCode::BAD_REQUEST, "sign_in_not_kept"), "{}", told.text());
    assert!(told.text().contains("cookies"));
}

#[tokio::test]
async fn two_gateways_on_one_host_name_do_not_log_each_others_users_out() {
    let (one, other) =
        (World::build().set("cookie_name", "one").start().await, World::build().set("cookie_name", "other").start().await);
    let visitor = one.visitor();
    let there = visitor.at(other.address());
    visitor.log_in(&one.idp, "/").await;
    there.log_in(&other.idp, "/").await;
    assert!(visitor.get("/").await.is_upstreams() && there.get("/").await.is_upstreams());
    assert!(visitor.cookies().contains_key("__Host-one_session") && visitor.cookies().contains_key("__Host-other_session"));
    let shown = one.upstream.last().header("cookie").map(str::to_owned).unwrap_or_default();
    assert!(!shown.contains("__Host-one_"), "{shown}");
}

#[tokio::test]
async fn a_form_whose_session_has_ended_is_told_of_and_leads_back_to_its_page() {
    let world = World::start().await;
    let ann = world.signed_in().await;
    ann.set_cookie("__Host-evergate_session", &"x".repeat(43));
    let posted = [
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-site", "same-origin"),
    ];
    let refused = async |referer: &str| {
        let headers: Vec<_> = posted.iter().copied().chain([("referer", referer)]).collect();
        ann.send(Method::POST, "/save", &headers, "text=long").await
    };
    let reply = refused("https://app.test/edit/7?tab=b").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.text().contains("what you sent was not taken"), "{}", reply.text());
    assert!(reply.text().contains("/oauth2/start?rd=%2Fedit%2F7%3Ftab%3Db"), "{}", reply.text());
    for stranger in ["https://evil.example/x", "nonsense", "https://app.test.evil.example/"] {
        let text = refused(stranger).await.text();
        assert!(text.contains("/oauth2/start\"") && !text.contains("evil"), "{text}");
    }
}

#[tokio::test]
async fn a_401_says_how_one_signs_in_and_its_message_can_be_shown() {
    let world = World::start().await;
    let visitor = world.visitor();
    let reply = visitor.fetch("/api").await;
    assert!(reply.header("www-authenticate").starts_with("Cookie realm="), "{}", reply.header("www-authenticate"));
    assert_eq!(reply.json()["message"], "You are not signed in. Reload the page to sign in.");
    visitor.set_cookie("__Host-evergate_session", &"x".repeat(43));
    assert_eq!(visitor.fetch("/api").await.json()["message"], "Your session has ended. Reload the page to sign in again.");
}

#[tokio::test]
async fn pages_of_a_failure_try_again_by_themselves_after_pauses_that_grow() {
    // Taken and not listened on, so that nothing else can be there.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let away = format!("http://{}", closed.local_addr().unwrap());
    let world = World::build().set("upstream_url", &away).start().await;
    let ann = world.signed_in().await;
    let pause = |text: &str| {
        let (_, rest) = text.split_once("http-equiv=\"refresh\" content=\"").unwrap_or_else(|| panic!("{text}"));
        let (pause, to) = rest.split_once("; url=").unwrap();
        (pause.parse::<u64>().unwrap(), to.split('"').next().unwrap().replace("&amp;", "&"))
    };
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let page = ann.get("/report?a=b").await;
        assert_eq!(page.status, StatusCode::BAD_GATEWAY);
        assert!(page.text().contains("href=\"https://app.test/report?a=b\">Try again"), "{}", page.text());
        assert!(page.set_cookies().is_empty(), "a failure sets none");
        let (seconds, again) = pause(&page.text());
        pauses.push(seconds);
        let back = ann.get(again.strip_prefix(ACCESS).unwrap()).await.location();
        assert_eq!(back.as_str(), format!("{ACCESS}/report?a=b"));
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    assert!(!ann.fetch("/report").await.text().contains("refresh"));
    let posted = [("accept", "text/html"), ("sec-fetch-site", "same-origin")];
    assert!(!ann.send(Method::POST, "/report", &posted, "x").await.text().contains("http-equiv"), "a form is not sent again");
}

#[tokio::test]
async fn a_wrong_account_is_no_dead_end() {
    let world = World::build().set("oidc_allowed_groups", "admins").set("oidc_group_field", "groups").start().await;
    let visitor = world.visitor();
    let page = visitor.browse(&world.idp, "/wanted?a=b").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let text = page.text();
    assert!(text.contains("The sign-in service knows you as ann@example.com."), "{text}");
    assert!(!text.contains("signed in as"), "no session was made: {text}");
    let (_, rest) = text.split_once("class=\"button\" href=\"").unwrap();
    let button = rest.split('"').next().unwrap().replace("&amp;", "&");
    assert!(button.contains("another=true") && button.contains("rd=%2Fwanted%3Fa%3Db"), "{button}");
    let request = visitor.get(button.strip_prefix(ACCESS).unwrap()).await.location();
    assert!(request.query_pairs().any(|(name, value)| name == "prompt" && (value == "select_account" || value == "login")));
    world.idp.log_in_as({
        let mut admin = user("bob");
        admin["groups"] = serde_json::json!(["admins"]);
        admin
    });
    let landed = visitor.get(&path_of(&world.idp.authorize(&request).await)).await.location();
    assert_eq!(landed.as_str(), format!("{ACCESS}/wanted?a=b"));
    // Whoever was refused has no session here, and one at the provider.
    let refused = world.visitor();
    let out = refused.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await.location();
    assert!(out.as_str().starts_with(world.idp.issuer()), "{out}");
}

#[tokio::test]
async fn a_login_that_the_release_before_began_begins_again() {
    let world = World::start().await;
    let visitor = world.visitor();
    let callback = "/oauth2/callback?code=c&state=0193a5c7d8e9AbCdEfGh.x";
    assert_eq!(visitor.get(callback).await.status, StatusCode::BAD_REQUEST, "it is nobody's");
    visitor.set_cookie("__Host-evergate_login_0193a5c7d8e9AbCdEfGh", "sealed-otherwise");
    let again = visitor.get(callback).await.location();
    assert!(again.as_str().starts_with(world.idp.issuer()), "{again}");
    visitor.get(&path_of(&world.idp.authorize(&again).await)).await.location();
    assert!(visitor.get("/").await.is_upstreams());
}
