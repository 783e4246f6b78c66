//! Personal access tokens: made by users for scripts, terminals and Git.

mod attacks;
mod terminal;

use std::time::Duration;

use base64::prelude::*;
use futures_util::{SinkExt, StreamExt};
use http::{Method, StatusCode};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{
    ACCESS, Kind, World,
    eventually::eventually,
    visitor::{Reply, Visitor},
};

const ROUTES: &str = r#"
    [[route]]
    path = "/api"
    bearer_tokens = ["personal"]
    groups = ["staff"]

    [[route]]
    path = "/git"
    bearer_tokens = ["personal", "provider"]
    bearer_pass = true

    [[route]]
    path = "/provider"
    bearer_tokens = ["provider"]

    [[route]]
    path = "/public"
    rule = "public"

    [[route]]
    path = "/optional"
    rule = "optional"
    bearer_tokens = ["personal"]
"#;

const OWN_PAGE: [(&str, &str); 4] =
    [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-user", "?1")];
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn world() -> crate::harness::Builder {
    World::build().routes(|_| ROUTES.to_owned())
}

/// Sends a form of one of our own pages, as the browser does in which the page is shown.
pub(crate) async fn submit(visitor: &Visitor, path: &str, form: &str) -> Reply {
    let shown = if path.starts_with("/oauth2/terminal") { format!("{path}?{form}") } else { path.to_owned() };
    let page = visitor.get(&shown).await.text();
    send(visitor, path, &format!("{form}&seal={}", seal_of(&page)), &OWN_PAGE).await
}

/// What a page of ours puts into its forms.
fn seal_of(page: &str) -> String {
    page.split("name=\"seal\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

/// Without the cookie: the page has an origin of its own.
async fn send(visitor: &Visitor, path: &str, form: &str, from: &[(&str, &str)]) -> Reply {
    let mut lines = from.to_vec();
    lines.extend([("accept", "text/html"), ("content-type", "application/x-www-form-urlencoded")]);
    visitor.without_cookies().send(Method::POST, path, &lines, form).await
}

/// A form of the app's page.
pub(crate) async fn sign_out(visitor: &Visitor, path: &str) {
    let lines = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("origin", ACCESS), ("accept", "text/html")];
    visitor.send(Method::POST, path, &lines, "").await;
}

/// Makes a token as a person does, and reads it off the page.
pub(crate) async fn token(visitor: &Visitor, form: &str) -> String {
    let page = submit(visitor, "/oauth2/tokens", form).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let text = page.text();
    let secret = text.split("<code>").nth(1).and_then(|rest| rest.split("</code>").next());
    secret.unwrap_or_else(|| panic!("{text}")).to_owned()
}

pub(crate) async fn call(visitor: &Visitor, path: &str, token: &str) -> Reply {
    visitor.send(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], "").await
}

async fn by_password(visitor: &Visitor, path: &str, token: &str) -> Reply {
    let credentials = BASE64_STANDARD.encode(format!("anything:{token}"));
    visitor.send(Method::GET, path, &[("authorization", &format!("Basic {credentials}"))], "").await
}

#[tokio::test]
async fn a_user_makes_a_token_sees_it_once_uses_it_as_bearer_or_password_and_ends_it() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).start().await;
        let (ann, script) = (world.signed_in().await, world.visitor());
        let token = token(&ann, "name=backup+%3Cb%3E&days=7").await;
        assert!(token.starts_with("evg_") && token.len() > 40, "{token}");
        for reply in [call(&script, "/api/x", &token).await, by_password(&script, "/git/x", &token).await] {
            assert!(reply.is_upstreams(), "{kind:?} {} {}", reply.status, reply.text());
            let seen = world.upstream.last();
            assert_eq!(seen.header("x-forwarded-email"), Some("ann@example.com"));
            assert_eq!(seen.header("authorization"), None, "no app sees it, whatever the route says of others");
        }
        let page = ann.get("/oauth2/tokens").await;
        assert!(page.text().contains("backup &lt;b&gt;") && page.text().contains("every route at app.test"), "{}", page.text());
        assert!(page.text().contains("ends in 7 days") && !page.text().contains(&token), "{}", page.text());
        let stored = format!("{:?}", world.replicas[0].metrics);
        assert!(!stored.contains(&token));
        let id = page.text().split("name=\"end\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let bob = Visitor::of(world.address(), crate::harness::idp::user("bob"));
        bob.log_in(&world.idp, "/").await;
        submit(&bob, "/oauth2/tokens", &format!("end={id}")).await;
        assert!(call(&script, "/api", &token).await.is_upstreams(), "nobody else ends it");
        assert!(!bob.get("/oauth2/tokens").await.text().contains("backup"));
        let ended = submit(&ann, "/oauth2/tokens", &format!("end={id}")).await;
        assert_eq!(ended.status, StatusCode::SEE_OTHER);
        let refused = call(&script, "/api", &token).await;
        assert_eq!((refused.status, refused.json()["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("invalid_token")));
        assert!(ann.fetch("/").await.is_upstreams(), "the browser's session goes on");
        eventually("the history says who ended it", async || {
            let why = world.command(&["sessions", "why", "sub-ann"]).await.1;
            why.contains("the user ended the personal access token") && !why.contains("the user logged out")
        })
        .await;
    }
}

#[tokio::test]
async fn a_form_of_a_token_that_is_sent_twice_tells_its_user_what_became_of_the_token() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).start().await;
        let (ann, script) = (world.signed_in().await, world.visitor());
        let seal = seal_of(&ann.get("/oauth2/tokens").await.text());
        let form = format!("name=backup&days=7&seal={seal}");
        let press = async || send(&ann, "/oauth2/tokens", &form, &OWN_PAGE).await;
        let (first, second) = tokio::join!(press(), press());
        let told = |reply: &Reply| reply.text().split("<code>").nth(1).map(|rest| rest.split('<').next().unwrap().to_owned());
        let token = told(&first).unwrap();
        assert_eq!(told(&second).as_ref(), Some(&token), "{kind:?}: whichever answer a double click shows");
        assert!(call(&script, "/api", &token).await.is_upstreams());
        world.clock.advance(Duration::from_secs(30));
        let late = press().await;
        assert_eq!((late.status, told(&late)), (StatusCode::CONFLICT, None), "{kind:?}");
        assert!(late.text().contains("This token was made already") && late.text().contains("href=\"/oauth2/tokens\""));
        let page = ann.get("/oauth2/tokens").await.text();
        let id = page.split("name=\"end\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(page.matches("name=\"end\"").count(), 1, "{page}");
        submit(&ann, "/oauth2/tokens", &format!("end={id}")).await;
        assert_eq!(press().await.status, StatusCode::CONFLICT, "no token that has ended comes back");
        assert_eq!(call(&script, "/api", &token).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_token_whose_grant_is_dead_is_told_as_ended_and_leaves_room_for_new_ones() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).start().await;
        let ann = world.signed_in().await;
        for number in 0..50 {
            token(&ann, &format!("name=t{number}")).await;
        }
        world.idp.kill_grants();
        world.clock.advance(Duration::from_secs(301));
        assert_eq!(ann.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        let ann = world.signed_in().await;
        let page = ann.get("/oauth2/tokens").await.text();
        assert_eq!(
            (page.matches("used never, ended with its login<").count(), page.matches("ends in").count()),
            (20, 0),
            "{page}"
        );
        let german =
            ann.send(Method::GET, "/oauth2/tokens?page=9", &[("accept-language", "de"), ("accept", "text/html")], "").await;
        let german = german.text();
        assert_eq!(german.matches("mit seiner Anmeldung beendet<").count(), 10, "the last page is shown: {german}");
        let new = token(&ann, "name=new").await;
        assert!(call(&world.visitor(), "/api", &new).await.is_upstreams(), "{kind:?}");
        assert!(ann.get("/oauth2/tokens").await.text().contains("ends in 30 days"));
        let id = german.split("name=\"end\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        submit(&ann, "/oauth2/tokens", &format!("end={id}")).await;
        assert_eq!(ann.get("/oauth2/tokens?page=3").await.text().matches("name=\"end\"").count(), 10, "50 are left");
    }
}

#[tokio::test]
async fn who_loads_the_page_of_a_new_token_again_gets_no_second_one() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).start().await;
        let ann = world.signed_in().await;
        let seal = seal_of(&ann.get("/oauth2/tokens").await.text());
        let made = async |name: &str| send(&ann, "/oauth2/tokens", &format!("name={name}&days=7&seal={seal}"), &OWN_PAGE).await;
        assert_eq!(made("too-long-a-name".repeat(5).as_str()).await.status, StatusCode::BAD_REQUEST);
        assert!(made("backup").await.text().contains("<code>evg_"));
        world.clock.advance(Duration::from_secs(30));
        assert_eq!(made("backup").await.status, StatusCode::CONFLICT, "{kind:?}");
        assert!(made("other").await.text().contains("<code>evg_"), "who goes back and names another one gets it");
        let page = ann.get("/oauth2/tokens").await.text();
        assert_eq!((page.matches(">backup<").count(), page.matches(">other<").count()), (1, 1), "{page}");
        assert!(submit(&ann, "/oauth2/tokens", "name=backup&days=7").await.text().contains("<code>evg_"), "a new page may");
    }
}

#[tokio::test]
async fn a_token_is_limited_in_time_and_to_its_routes_and_not_by_the_limits_of_browsers() {
    let world = world().set("session_duration", "1h").set("session_max_duration", "2h").start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let for_git = token(&ann, "name=git&days=3&route=%2Fgit").await;
    let usual = token(&ann, "name=usual").await;
    assert!(call(&script, "/git", &for_git).await.is_upstreams());
    assert_eq!(call(&script, "/api", &for_git).await.status, StatusCode::UNAUTHORIZED);
    world.clock.advance(DAY * 2);
    assert!(!ann.fetch("/").await.is_upstreams(), "the browser's session has reached its limits");
    eventually("the sweep has run", async || world.metric(0, "evergate_sessions") <= 2.0).await;
    assert!(call(&script, "/git", &for_git).await.is_upstreams());
    world.clock.advance(DAY);
    assert_eq!(call(&script, "/git", &for_git).await.status, StatusCode::UNAUTHORIZED);
    assert!(call(&script, "/api", &usual).await.is_upstreams());
    world.clock.advance(DAY * 27);
    assert_eq!(call(&script, "/api", &usual).await.status, StatusCode::UNAUTHORIZED, "CODER_DEFAULT_TOKEN_LIFETIME");
    let again = world.signed_in().await;
    for (what, form) in [
        ("too long a life", "name=a&days=91"),
        ("no life", "name=a&days=0"),
        ("no name", "name=+&days=1"),
        ("a long name", &format!("name={}&days=1", "a".repeat(65))),
        ("a name with control characters", "name=a%0Ab&days=1"),
        ("a route that takes none", "name=a&days=1&route=%2Fprovider"),
        ("no number", "name=a&days=x"),
    ] {
        assert_eq!(submit(&again, "/oauth2/tokens", form).await.status, StatusCode::BAD_REQUEST, "{what}");
    }
}

#[tokio::test]
async fn a_token_outlives_the_browser_s_logout_and_ends_with_the_user_s_grant() {
    let world = world().start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let kept = token(&ann, "name=kept").await;
    sign_out(&ann, "/oauth2/sign_out").await;
    assert!(!ann.fetch("/").await.is_upstreams());
    assert!(call(&script, "/api", &kept).await.is_upstreams());
    assert!(world.idp.revoked().is_empty(), "its refresh token is in use");
    world.clock.advance(Duration::from_secs(301));
    assert!(call(&script, "/api", &kept).await.is_upstreams(), "its access token is refreshed as a browser's is");
    world.idp.kill_grants();
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(call(&script, "/api", &kept).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&script, "/api", &kept).await.json()["error"], "invalid_token");
}

#[tokio::test]
async fn a_logout_everywhere_and_an_administrator_end_tokens_too() {
    let world = world().start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let first = token(&ann, "name=first").await;
    let question = ann.get("/oauth2/sign_out?everywhere=true").await.text();
    assert!(question.contains("all your access tokens end"), "{question}");
    sign_out(&ann, "/oauth2/sign_out?everywhere=true").await;
    assert_eq!(call(&script, "/api", &first).await.status, StatusCode::UNAUTHORIZED);
    let ann = world.signed_in().await;
    let second = token(&ann, "name=second").await;
    let (_, listed) = world.command(&["sessions", "list", "--json"]).await;
    assert!(listed.contains("\"second\"") && !listed.contains(&second), "{listed}");
    let (code, printed) = world.command(&["sessions", "revoke", "sub-ann"]).await;
    assert_eq!(code, 0, "{printed}");
    eventually("the token has ended", async || call(&script, "/api", &second).await.status == StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn git_and_curl_are_asked_for_a_password_and_a_browser_s_scripts_are_not() {
    let world = world().start().await;
    let visitor = world.visitor();
    let asked = async |lines: &[(&str, &str)]| {
        let reply = visitor.send(Method::GET, "/git/repository", lines, "").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        reply.headers.get_all("www-authenticate").iter().any(|line| line.to_str().unwrap().starts_with("Basic "))
    };
    assert!(asked(&[("user-agent", "git/2.39.5"), ("accept", "*/*")]).await);
    for lines in [
        &[("user-agent", "Mozilla/5.0"), ("accept", "*/*")][..],
        &[("sec-fetch-mode", "cors"), ("accept", "*/*")],
        &[("origin", ACCESS), ("accept", "application/json")],
    ] {
        assert!(!asked(lines).await, "{lines:?}");
    }
    let of_provider = visitor.send(Method::GET, "/provider", &[("user-agent", "git/2.39.5")], "").await;
    assert!(!of_provider.header("www-authenticate").contains("Basic"));
}

#[tokio::test]
async fn a_user_has_so_many_tokens_and_no_more() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    for number in 0..49 {
        token(&ann, &format!("name=t{number}")).await;
    }
    let seal = seal_of(&ann.get("/oauth2/tokens").await.text());
    let last = async || send(&ann, "/oauth2/tokens", &format!("name=last&seal={seal}"), &OWN_PAGE).await;
    assert_eq!(last().await.status, StatusCode::OK);
    let more = submit(&ann, "/oauth2/tokens", "name=more").await;
    assert!(more.status == StatusCode::CONFLICT && more.text().contains("You have as many as you may have"), "{}", more.text());
    world.clock.advance(Duration::from_secs(30));
    assert!(last().await.text().contains("This token was made already"), "the form of the last one counts once too");
}

#[tokio::test]
async fn a_websocket_that_was_opened_with_a_token_is_cut_when_the_token_is_ended() {
    let routes = "[[route]]\npath = \"/websocket\"\nbearer_tokens = [\"personal\"]\n";
    let world = World::build().routes(|_| routes.to_owned()).start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a").await;
    let mut request = "ws://app.test/websocket".into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    socket.send("hello".into()).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_text());
    let page = ann.get("/oauth2/tokens").await.text();
    let id = page.split("name=\"end\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    submit(&ann, "/oauth2/tokens", &format!("end={id}")).await;
    let end = async { while socket.next().await.is_some_and(|message| message.is_ok_and(|message| !message.is_close())) {} };
    tokio::time::timeout(Duration::from_secs(60), end).await.expect("it is cut");
}

#[tokio::test]
async fn tokens_go_on_with_the_grant_that_their_browser_s_session_gets_in_place_of_a_lost_one() {
    let world = world().start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let token = token(&ann, "name=a").await;
    // As after a lost response.
    world.sql("UPDATE grants SET ended_reason = 'outcome_unknown'").await;
    let mut world = world;
    world.restart_with(&[]).await;
    let (ann, script) = (ann.at(world.address()), script.at(world.address()));
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(call(&script, "/api", &token).await.status, StatusCode::UNAUTHORIZED);
    assert!(ann.browse(&world.idp, "/").await.is_upstreams(), "the browser returns silently");
    assert!(call(&script, "/api", &token).await.is_upstreams(), "and its tokens with it");
}

#[tokio::test]
async fn a_late_logout_of_the_provider_s_ends_the_tokens_that_were_made_meanwhile() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    let end = world.clock.now().seconds() + 3600;
    let told = world.idp.logout_token(serde_json::json!({"exp": end}), serde_json::json!({}));
    world.clock.advance(Duration::from_secs(600));
    let token = token(&ann, "name=a").await;
    let body = format!("logout_token={told}");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let sent = world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &form, &body).await;
    assert_eq!(sent.status, StatusCode::OK);
    assert_eq!(call(&world.visitor(), "/api", &token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_user_sees_of_a_token_whether_it_was_ever_used() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a").await;
    assert!(ann.get("/oauth2/tokens").await.text().contains("used never"));
    world.clock.advance(Duration::from_secs(1));
    assert!(call(&world.visitor(), "/api", &token).await.is_upstreams());
    eventually("the page tells of its use", async || ann.get("/oauth2/tokens").await.text().contains("used today")).await;
}

#[tokio::test]
async fn where_tokens_live_for_less_than_a_day_none_is_asked_for_how_many() {
    let world = world().set("max_token_lifetime", "12h").start().await;
    let ann = world.signed_in().await;
    assert!(!ann.get("/oauth2/tokens").await.text().contains("name=\"days\""));
    let token = token(&ann, "name=a").await;
    assert!(call(&world.visitor(), "/api", &token).await.is_upstreams());
    world.clock.advance(DAY / 2);
    assert_eq!(call(&world.visitor(), "/api", &token).await.status, StatusCode::UNAUTHORIZED);
}
