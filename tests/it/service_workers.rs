//! Apps with a service worker that sends navigations on (`respondWith(fetch(event.request))`), as a page of Chromium's says it.
//! `tests/heavy/pages.rs` has a real worker.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::harness::{
    ACCESS, Builder, World,
    visitor::{BEHIND_WORKER, Reply, Visitor},
};

const HOUR: Duration = Duration::from_secs(3600);
const ROUTES: &str = "[[route]]\npath = \"/wiki\"\nkeep_form_posts = true\nportal_name = \"Wiki\"\n\
    [[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n\
    [[route]]\npath = \"/gone\"\nupstream = \"http://127.0.0.1:9\"\n";

fn build() -> Builder {
    World::build().set("session_duration", "1h").set("portal_enable", "true").routes(|_| ROUTES.to_owned())
}

/// A form of a page of the app's, which the worker sends on.
async fn post(visitor: &Visitor, path: &str, site: &'static str, origin: &str, body: &str) -> Reply {
    let mut lines = BEHIND_WORKER.to_vec();
    lines.retain(|(name, _)| *name != "sec-fetch-site");
    lines.extend([("sec-fetch-site", site), ("origin", origin), ("content-type", "application/x-www-form-urlencoded")]);
    visitor.send(Method::POST, path, &lines, body).await
}

#[tokio::test]
async fn an_app_with_a_service_worker_does_not_lock_its_users_out() {
    let world = build().start().await;
    let ann = world.visitor().behind_worker();
    assert!(ann.browse(&world.idp, "/wiki").await.is_upstreams(), "a login begins, comes back and is there");
    world.clock.advance(2 * HOUR);
    assert_eq!(ann.get("/wiki").await.header("evergate-response"), "sign_in");
    assert!(ann.browse(&world.idp, "/oauth2/start?rd=/wiki").await.is_upstreams(), "a login by hand too");
    let gone = ann.get("/gone").await;
    assert_eq!((gone.status, gone.header("evergate-response")), (StatusCode::BAD_GATEWAY, "upstream_unreachable"));
    assert!(gone.text().contains("http-equiv=\"refresh\""), "it tries again by itself: {}", gone.text());
    let portal = ann.get("/oauth2/").await;
    assert_eq!((portal.status, portal.text().contains("Wiki")), (StatusCode::OK, true), "{}", portal.text());
}

#[tokio::test]
async fn a_form_that_a_service_worker_sends_on_is_kept_and_sent_after_the_login() {
    let world = build().start().await;
    let ann = world.visitor().behind_worker();
    ann.log_in(&world.idp, "/wiki").await;
    world.clock.advance(2 * HOUR);
    let foreign = post(&ann, "/wiki/save", "cross-site", "https://evil.example", "title=evil").await;
    assert_eq!(foreign.status, StatusCode::UNAUTHORIZED, "another site's is not kept");
    let kept = post(&ann, "/wiki/save", "same-origin", ACCESS, "title=A+day").await;
    assert_eq!(kept.header("evergate-response"), "sign_in");
    let offered = ann.browse(&world.idp, &crate::harness::visitor::path_of(&kept.location())).await;
    assert_eq!(offered.header("evergate-response"), "kept_post", "{}", offered.text());
    let text = offered.text();
    let value = text.split("name=\"evergate-kept-post\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(post(&ann, "/wiki/save", "same-origin", ACCESS, &format!("evergate-kept-post={value}")).await.is_upstreams());
    assert_eq!(world.upstream.last().body.as_ref(), b"title=A+day");
}

#[tokio::test]
async fn a_link_of_the_app_logs_out_behind_a_service_worker_and_no_address_in_a_mail_does() {
    let world = World::start().await;
    let ann = world.signed_in().await.behind_worker();
    let link = |site: &'static str, referer: &'static str| {
        let mut lines = BEHIND_WORKER.to_vec();
        lines.retain(|(name, _)| *name != "sec-fetch-site");
        lines.extend([("sec-fetch-site", site), ("referer", referer)]);
        lines
    };
    let prefetched = [link("same-origin", "https://app.test/page"), vec![("sec-purpose", "prefetch")]].concat();
    let foreign = link("cross-site", "https://evil.example/");
    let disguised = link("same-origin", "https://app.test.evil.example/");
    for lines in [BEHIND_WORKER.to_vec(), prefetched, foreign, disguised] {
        let question = ann.send(Method::GET, "/oauth2/sign_out", &lines, "").await;
        assert_eq!((question.status, question.header("evergate-response")), (StatusCode::OK, "sign_out"), "{lines:?}");
    }
    assert!(ann.get("/").await.is_upstreams(), "still signed in");
    ann.send(Method::GET, "/oauth2/sign_out", &link("same-origin", "https://app.test/page"), "").await.location();
    assert_eq!(ann.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_page_with_a_secret_is_shown_in_a_window_that_no_service_worker_sees() {
    let world = build().set("admin_groups", "staff").start().await;
    let ann = world.visitor().behind_worker();
    assert_eq!(ann.get("/oauth2/tokens").await.header("evergate-response"), "sign_in", "the login comes first");
    ann.log_in(&world.idp, "/wiki").await;
    let preload =
        [BEHIND_WORKER[0], BEHIND_WORKER[1], ("sec-fetch-dest", "document"), ("service-worker-navigation-preload", "true")];
    for path in ["/oauth2/tokens", "/oauth2/sessions", "/oauth2/admin"] {
        for lines in [BEHIND_WORKER, preload] {
            let page = ann.send(Method::GET, path, &lines, "").await;
            assert_eq!((page.status, page.header("evergate-response")), (StatusCode::FORBIDDEN, "own_window_required"), "{path}");
            let text = page.text();
            assert!(text.contains(&format!("href=\"{ACCESS}{path}\" target=\"_blank\"")) && !text.contains("seal"), "{text}");
            let policies: Vec<_> =
                page.headers.get_all("content-security-policy").iter().map(|policy| policy.to_str().unwrap()).collect();
            let sandbox = policies.iter().find(|policy| policy.starts_with("sandbox")).unwrap();
            assert!(sandbox.contains("allow-popups"), "{sandbox}");
            for escape in ["escape", "allow-same-origin", "allow-scripts"] {
                assert!(!sandbox.contains(escape), "the window would be of the app's origin: {sandbox}");
            }
        }
        // As the window that the page opens asks.
        let window = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "cross-site")];
        let page = ann.send(Method::GET, path, &window, "").await;
        assert_eq!(page.status, StatusCode::OK, "{path} {}", page.text());
    }
}

#[tokio::test]
async fn what_a_script_asks_for_is_no_page() {
    let world = build().start().await;
    let ann = world.signed_in().await;
    world.clock.advance(2 * HOUR);
    for (mode, dest) in [("same-origin", "empty"), ("cors", "empty"), ("no-cors", "empty"), ("navigate", "object")] {
        let lines =
            [("accept", "text/html"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        assert_eq!(ann.send(Method::GET, "/wiki", &lines, "").await.status, StatusCode::UNAUTHORIZED, "{mode} {dest}");
        for path in ["/oauth2/start", "/oauth2/callback?code=x&state=y", "/oauth2/"] {
            let refused = ann.send(Method::GET, path, &lines, "").await;
            assert_eq!(refused.header("evergate-response"), "navigation_required", "{mode} {dest} {path}");
        }
    }
}
