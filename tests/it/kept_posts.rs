//! Forms that meet the end of their session: kept, offered to the user who sent them, and sent once. `tests/heavy/pages.rs` has it in a
//! browser.

mod attacks;
mod limits;

use std::time::Duration;

use http::{Method, StatusCode};

use crate::harness::{
    Builder, Kind, World,
    eventually::eventually,
    idp::user,
    logs::lines_with,
    visitor::{Reply, Visitor, path_of},
};

const HOUR: Duration = Duration::from_secs(3600);
const URL_ENCODED: &str = "application/x-www-form-urlencoded";
const FIELD: &str = "evergate-kept-post";
const TYPED: &str = "title=A+day&text=typed-for-an-hour&password=hunter2-hunter2";
const OWN: [(&str, &str); 6] = [
    ("accept", "text/html,application/xhtml+xml"),
    ("origin", "https://app.test"),
    ("referer", "https://app.test/form?id=7"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
];

fn build() -> Builder {
    World::build().set("session_duration", "1h").routes(|_| "[[route]]\npath = \"/wiki\"\nkeep_form_posts = true\n".to_owned())
}

/// Sends a form as a page of the app has its browser do it.
async fn post(visitor: &Visitor, path: &str, body: &str) -> Reply {
    post_as(visitor, path, URL_ENCODED, body).await
}

async fn post_as(visitor: &Visitor, path: &str, content_type: &str, body: &str) -> Reply {
    let mut lines = OWN.to_vec();
    lines.push(("content-type", content_type));
    visitor.send(Method::POST, path, &lines, body).await
}

/// The page that offers a form that was kept, after a login where that is needed.
async fn offered(world: &World, visitor: &Visitor, kept: &Reply) -> Reply {
    assert_eq!(kept.header("evergate-response"), "sign_in");
    let page = path_of(&kept.location());
    assert!(page.starts_with("/oauth2/kept_post?id="), "{page}");
    visitor.browse(&world.idp, &page).await
}

/// What the page has its buttons send.
fn value(page: &Reply) -> String {
    assert_eq!((page.status, page.header("evergate-response")), (StatusCode::OK, "kept_post"), "{}", page.text());
    let marker = format!("name=\"{FIELD}\" value=\"");
    page.text().split(marker.as_str()).nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// Presses the button that sends.
async fn send_again(visitor: &Visitor, target: &str, value: &str) -> Reply {
    post(visitor, target, &format!("{FIELD}={value}")).await
}

/// The bodies that reached the app by POST.
fn arrived(world: &World) -> Vec<String> {
    let posts = world.upstream.requests().into_iter().filter(|seen| seen.method == "POST");
    posts.map(|seen| String::from_utf8_lossy(&seen.body).into_owned()).collect()
}

/// Somebody whose session has just ended, whether or not its row is still there.
async fn signed_out_by_time(world: &World) -> Visitor {
    let visitor = world.signed_in().await;
    world.clock.advance(2 * HOUR);
    visitor
}

#[tokio::test]
async fn a_form_is_not_kept_that_no_page_has_room_to_offer() {
    let world = build().start().await;
    for (character, status) in [("a", StatusCode::SEE_OTHER), ("&", StatusCode::UNAUTHORIZED)] {
        let visitor = signed_out_by_time(&world).await;
        let kept = post(&visitor, &format!("/wiki/day?{}", character.repeat(4000)), TYPED).await;
        assert_eq!(kept.status, status, "{character}");
    }
}

#[tokio::test]
async fn a_form_is_kept_until_its_user_has_logged_in_and_reaches_the_app_once_through_any_replica() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let replicas = if kind == Kind::Postgres { 2 } else { 1 };
        let mut world = match kind {
            Kind::Postgres => build().replicas(2).start().await,
            Kind::Sqlite => build().start().await,
        };
        let visitor = signed_out_by_time(&world).await;
        visitor.set_cookie("app", "before");
        let target = "/wiki/day?x=1&y=%2F";
        let kept = post(&visitor, target, TYPED).await;
        assert_eq!((kept.status, arrived(&world).len()), (StatusCode::SEE_OTHER, 0));
        // A deploy ends no such form.
        world.restart_with(&[]).await;
        let there = visitor.at(world.replicas[replicas - 1].address);
        let visitor = visitor.at(world.address());
        let page = offered(&world, &there, &kept).await;
        let (text, value) = (page.text(), value(&page));
        for part in [
            "action=\"https://app.test/wiki/day?x=1&amp;y=%2F\"",
            "It goes to /wiki/day",
            "<div>text</div>",
            "<div>password</div>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("typed-for-an-hour") && !text.contains("hunter2"), "no value is shown: {text}");
        assert_eq!((page.header("cache-control"), page.header("cross-origin-opener-policy")), ("no-store", "same-origin"));
        assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
        // The app's cookies are those of now.
        visitor.set_cookie("app", "now");
        let answer = send_again(&visitor, target, &value).await;
        assert!(answer.is_upstreams() && answer.status == StatusCode::OK, "{}", answer.text());
        let seen = world.upstream.last();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", target));
        for (name, expected) in [
            ("content-type", URL_ENCODED),
            ("content-length", &TYPED.len().to_string()),
            ("origin", "https://app.test"),
            ("referer", "https://app.test/form?id=7"),
            ("cookie", "app=now"),
            ("x-forwarded-user", "sub-ann"),
        ] {
            assert_eq!(seen.header(name), Some(expected), "{name}");
        }
        assert_eq!(arrived(&world), [TYPED]);
        // Again: by the button, by a reload of the answer, from another replica.
        for visitor in [&visitor, &there] {
            let again = send_again(visitor, target, &value).await;
            assert_eq!(again.header("evergate-response"), "kept_post");
            let page = visitor.get(&path_of(&again.location())).await;
            assert_eq!((page.status, page.header("evergate-response")), (StatusCode::GONE, "kept_post_gone"));
        }
        assert_eq!(arrived(&world), [TYPED]);
        let text = world.replicas[0].metrics.render().unwrap();
        assert!(text.contains("evergate_kept_posts_total{outcome=\"sent\"} 1"), "{text}");
        for told in ["typed-for-an-hour", "hunter2", &value] {
            assert!(lines_with(&[told]).is_empty(), "{told} is logged");
        }
    }
}

#[tokio::test]
async fn files_are_kept_too_and_what_a_dead_grant_or_a_sign_out_elsewhere_meets() {
    let world = build().start().await;
    let body = "--XyZ\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nA day\r\n\
        --XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n\
        \u{0}\u{1}--Xy\r\n--XyZ--\r\n";
    let ended_elsewhere = world.signed_in().await;
    let (_, printed) = world.command(&["sessions", "revoke", "--all"]).await;
    let kept = post_as(&ended_elsewhere, "/wiki/up", "multipart/form-data; boundary=XyZ", body).await;
    assert_eq!(kept.status, StatusCode::SEE_OTHER, "{printed} {}", kept.text());
    let page = offered(&world, &ended_elsewhere, &kept).await;
    assert!(page.text().contains("<div>title</div>") && page.text().contains("<div>file</div>"), "{}", page.text());
    assert!(send_again(&ended_elsewhere, "/wiki/up", &value(&page)).await.is_upstreams());
    assert_eq!(world.upstream.last().header("content-type"), Some("multipart/form-data; boundary=XyZ"));
    assert_eq!(arrived(&world), [body]);

    let dead = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(Duration::from_secs(400));
    let kept = post(&dead, "/wiki", TYPED).await;
    let page = offered(&world, &dead, &kept).await;
    assert!(send_again(&dead, "/wiki", &value(&page)).await.is_upstreams());
    assert_eq!(arrived(&world), [body, TYPED]);
}

#[tokio::test]
async fn a_browser_knows_whose_it_was_when_its_session_cookie_has_gone_as_well() {
    let world = build().start().await;
    let visitor = world.signed_in().await;
    let later = visitor.without_cookies();
    let (name, mark) = visitor.cookies().into_iter().find(|(name, _)| name.ends_with("_browser")).unwrap();
    assert_eq!(name, "__Host-evergate_browser");
    later.set_cookie(&name, &mark);
    let kept = post(&later, "/wiki", TYPED).await;
    let page = offered(&world, &later, &kept).await;
    assert!(send_again(&later, "/wiki", &value(&page)).await.is_upstreams());
    assert_eq!(arrived(&world), [TYPED]);
}

#[tokio::test]
async fn a_session_that_ends_once_more_before_the_button_is_pressed_leads_to_the_page_again() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/wiki", TYPED).await;
    let pressed = value(&offered(&world, &visitor, &kept).await);
    world.command(&["sessions", "revoke", "--all"]).await;
    eventually("the session has ended", async || !visitor.fetch("/wiki").await.is_upstreams()).await;
    let again = send_again(&visitor, "/wiki", &pressed).await;
    assert_eq!(path_of(&again.location()), path_of(&kept.location()));
    let page = offered(&world, &visitor, &again).await;
    assert!(send_again(&visitor, "/wiki", &value(&page)).await.is_upstreams());
    assert_eq!(arrived(&world), [TYPED]);
}

#[tokio::test]
async fn who_does_not_want_it_sent_discards_it_and_is_back_at_the_form() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/wiki", TYPED).await;
    let page = offered(&world, &visitor, &kept).await;
    let pressed = value(&page);
    let path = path_of(&kept.location());
    let discarded = post(&visitor, &path, &format!("{FIELD}={pressed}")).await;
    assert_eq!(path_of(&discarded.location()), "/form?id=7");
    assert_eq!(visitor.get(&path).await.status, StatusCode::GONE);
    assert_eq!(send_again(&visitor, "/wiki", &pressed).await.status, StatusCode::SEE_OTHER);
    assert!(arrived(&world).is_empty());
}

#[tokio::test]
async fn what_did_not_reach_the_app_is_still_kept() {
    let routes = |_: &str| "[[route]]\npath = \"/down\"\nupstream = \"http://127.0.0.1:9\"\nkeep_form_posts = true\n".to_owned();
    let world = World::build().set("session_duration", "1h").routes(routes).start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/down", TYPED).await;
    for _ in 0..2 {
        let page = offered(&world, &visitor, &kept).await;
        let answer = send_again(&visitor, "/down", &value(&page)).await;
        assert_eq!((answer.status, answer.header("evergate-response")), (StatusCode::BAD_GATEWAY, "upstream_unreachable"));
    }
}

#[tokio::test]
async fn where_sites_share_a_login_a_form_is_kept_at_each() {
    let world = build().set("shared_login", "true").set("wildcard_access_url", "*.apps.test").start().await;
    let (login_site, app) = (world.visitor(), world.visitor().on_host("one.apps.test"));
    let jars = [login_site.clone(), app.without_cookies()];
    // Goes where it is sent, at whichever of the two sites, until a page comes.
    let browse = async |mut reply: Reply| {
        while reply.status == StatusCode::SEE_OTHER {
            let mut next = reply.location();
            if next.as_str().starts_with(world.idp.issuer()) {
                next = world.idp.authorize(&next).await;
            }
            let jar = if next.host_str() == Some("app.test") { &jars[0] } else { &jars[1] };
            reply = jar.get(&path_of(&next)).await;
        }
        reply
    };
    let app = &jars[1];
    assert!(browse(app.get("/wiki").await).await.is_upstreams());
    world.clock.advance(2 * HOUR);
    let own = OWN.map(|(name, value)| (name, value.replace("https://app.test", "https://one.apps.test")));
    let mut lines: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    lines.push(("content-type", URL_ENCODED));
    let kept = app.send(Method::POST, "/wiki", &lines, TYPED).await;
    let page = browse(kept).await;
    assert!(page.text().contains("action=\"https://one.apps.test/wiki\""), "{}", page.text());
    let sent = app.send(Method::POST, "/wiki", &lines, &format!("{FIELD}={}", value(&page))).await;
    assert!(sent.is_upstreams(), "{} {}", sent.status, sent.text());
    assert_eq!(arrived(&world), [TYPED]);
}
