//! Those who would like to be administrators, and those who would like administrators to do something for them.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use super::{API, FORM, PAGE, Program, administered, administrator, browser, fields, grant_page, member, send, token, told};
use crate::harness::{World, idp::user, visitor::Visitor};

const EXPIRED: Duration = Duration::from_secs(301);

async fn is_signed_in(visitor: &Visitor) -> bool {
    visitor.fetch("/").await.is_upstreams()
}

#[tokio::test]
async fn without_the_setting_there_is_no_administration_and_for_others_there_seems_to_be_none() {
    let without = World::start().await;
    let with = administered().start().await;
    let (ann, bob) = (browser(&without, member("ann", "root")).await, browser(&with, user("bob")).await);
    let unknown = bob.get("/oauth2/nowhere").await;
    for path in ["", "/why", "/audit", "/everyone", "/grants/00112233445566778899aabbccddeeff", "/nowhere"] {
        for (visitor, whose) in [(&ann, "not set"), (&bob, "no administrator")] {
            let reply = visitor.get(&format!("{PAGE}{path}")).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{whose} {path}");
            assert_eq!(reply.header("evergate-response"), unknown.header("evergate-response"), "{whose} {path}");
        }
    }
    let stranger = with.visitor().get(PAGE).await;
    assert_eq!(stranger.status, StatusCode::SEE_OTHER, "an administrator must be able to log in");
}

#[tokio::test]
async fn who_leaves_the_group_is_no_administrator_from_the_next_renewal_on() {
    let world = administered().start().await;
    let ann = administrator(&world).await;
    let program = Program::of(&ann).await;
    let page = ann.get(PAGE).await;
    assert_eq!(page.status, StatusCode::OK);
    let everyone = ann.get(&format!("{PAGE}/everyone")).await.text();
    let seal = fields(&everyone, "seal")[0];
    world.idp.edit_id_token(|claims| claims["groups"] = json!(["staff"]));
    world.idp.edit_userinfo(|claims| claims["groups"] = json!(["staff"]));
    world.clock.advance(EXPIRED);
    assert_eq!(ann.get(PAGE).await.status, StatusCode::NOT_FOUND);
    let sent = send(&ann, &format!("{PAGE}/everyone"), &format!("seal={seal}&confirm=everyone&end=everyone")).await;
    assert_eq!(sent.status, StatusCode::NOT_FOUND, "nor by a page that stands open still");
    assert_eq!(program.ask(Method::GET, "/sessions", "").await.status, StatusCode::NOT_FOUND, "nor by a token");
    assert!(is_signed_in(&ann).await, "a user they still are");
}

#[tokio::test]
async fn nothing_is_done_in_the_name_of_an_identity_that_the_provider_cannot_confirm() {
    let world = administered().start().await;
    let (ann, bob) = (administrator(&world).await, browser(&world, user("bob")).await);
    let path = grant_page(&ann, "bob").await;
    let text = ann.get(&path).await.text();
    world.idp_line.cut();
    world.clock.advance(EXPIRED);
    assert_eq!(ann.get(PAGE).await.status, StatusCode::OK, "during an outage an administrator sees what is going on");
    let text = format!("seal={}&end_user=true", fields(&text, "seal")[0]);
    assert_eq!(send(&ann, &path, &text).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(is_signed_in(&bob).await);
}

#[tokio::test]
async fn no_page_of_another_origin_and_no_script_of_the_app_acts_in_the_name_of_an_administrator() {
    let world = administered().start().await;
    let (ann, bob) = (administrator(&world).await, browser(&world, user("bob")).await);
    let path = grant_page(&ann, "bob").await;
    let text = ann.get(&path).await.text();
    let (seal, id) = (fields(&text, "seal")[0], fields(&text, "end")[0]);
    // With the cookie, and without what the page alone knows.
    for forged in ["", "x", fields(&bob.get("/oauth2/sessions").await.text(), "seal")[0]] {
        for field in [format!("end={id}"), "end_user=true".to_owned(), "renew=true".to_owned()] {
            let sent = ann.send(Method::POST, &path, &FORM, &format!("seal={forged}&{field}")).await;
            assert!(matches!(sent.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND), "{forged:?} {field} {}", sent.status);
        }
    }
    for (mode, dest) in [("cors", "empty"), ("no-cors", "script"), ("navigate", "iframe")] {
        let lines =
            [("accept", "text/html"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        let reply = ann.send(Method::GET, &path, &lines, "").await;
        assert!(reply.status == StatusCode::FORBIDDEN && !reply.text().contains("seal"), "{mode} {dest}");
        let sent = ann.send(Method::POST, &path, &lines, &format!("seal={seal}&end_user=true")).await;
        assert_eq!(sent.status, StatusCode::FORBIDDEN, "{mode} {dest}");
    }
    assert!(is_signed_in(&bob).await);
    let policy = ann.get(&path).await;
    let policies: Vec<_> = policy.headers.get_all("content-security-policy").iter().map(|line| line.to_str().unwrap()).collect();
    assert!(policies.iter().any(|policy| policy.contains("frame-ancestors 'none'")), "{policies:?}");
    assert!(policies.iter().any(|policy| policy.starts_with("sandbox") && !policy.contains("scripts")), "{policies:?}");
    world.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(
        send(&ann, &path, &format!("seal={seal}&end_user=true")).await.status,
        StatusCode::FORBIDDEN,
        "it stood open for too long"
    );
}

#[tokio::test]
async fn the_api_takes_no_cookie_no_password_and_no_token_that_was_made_for_something_else() {
    let world = administered()
        .routes(|_| "[[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\", \"provider\"]\n".to_owned())
        .start()
        .await;
    let (ann, bob) = (administrator(&world).await, browser(&world, user("bob")).await);
    let sessions = format!("{API}/sessions");
    let ask = async |visitor: &Visitor, lines: &[(&str, &str)]| visitor.send(Method::GET, &sessions, lines, "").await;
    let by_cookie = ask(&ann, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]).await;
    assert_eq!(by_cookie.status, StatusCode::UNAUTHORIZED);
    assert_eq!(by_cookie.header("content-type"), "application/problem+json");
    assert!(by_cookie.header("www-authenticate").starts_with("Bearer"));
    let everything = told(&token(&ann, "").await);
    let of_route = told(&token(&ann, "&route=/api").await);
    let right = told(&token(&ann, "&route=administration").await);
    let stranger = world.visitor();
    for wrong in [&everything, &of_route, "x", "eyJhbGciOiJub25lIn0.e30."] {
        let reply = ask(&stranger, &[("authorization", &format!("Bearer {wrong}"))]).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{wrong}: {}", reply.text());
    }
    use base64::prelude::{BASE64_STANDARD, Engine};
    let password = BASE64_STANDARD.encode(format!("ann:{right}"));
    assert_eq!(ask(&stranger, &[("authorization", &format!("Basic {password}"))]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&stranger, &[("authorization", &format!("Bearer {right}"))]).await.status, StatusCode::OK);
    let app = stranger.send(Method::GET, "/api", &[("authorization", &format!("Bearer {right}"))], "").await;
    assert_eq!(app.status, StatusCode::UNAUTHORIZED, "a token for the administration alone opens no app");
    assert!(!bob.get("/oauth2/tokens").await.text().contains("administration"));
    let made = token(&bob, "&route=administration").await;
    assert!(made.status == StatusCode::BAD_REQUEST && !made.text().contains("<code>"), "{}", made.text());
    let wish = |person: &str| format!("name={person}&code_challenge={}&state=abc&route=administration", "a".repeat(43));
    for (person, name, status) in [(&bob, "bob", StatusCode::BAD_REQUEST), (&ann, "ann", StatusCode::OK)] {
        let page = person.get("/oauth2/sessions").await.text();
        let form = format!("seal={}&{}", fields(&page, "seal")[0], wish(name));
        assert_eq!(send(person, "/oauth2/terminal", &form).await.status, status, "{name}");
        assert_eq!(person.get(&format!("/oauth2/terminal?{}", wish(name))).await.status, status, "{name}");
    }
}

#[tokio::test]
async fn a_user_s_names_are_text_wherever_they_are_shown() {
    let world = administered().start().await;
    let evil = "<script>alert(1)</script>'\"&";
    let mut person = member(evil, "staff");
    person["email"] = json!("\"><img src=x onerror=alert(1)>@example.com");
    browser(&world, person).await;
    let ann = administrator(&world).await;
    let path = grant_page(&ann, "sub-%3Cscript%3Ealert(1)%3C/script%3E%27%22%26").await;
    for path in
        [PAGE.to_owned(), path, format!("{PAGE}/why?name=%3Cscript%3Ealert(1)"), format!("{PAGE}?name=%22%3E%3Cscript%3E")]
    {
        let text = ann.get(&path).await.text();
        assert!(!text.contains("<script") && !text.contains("<img src=x"), "{path}: {text}");
    }
    for odd in ["done=%3Cscript%3E", "done=renewal_%3Cscript%3E"] {
        assert!(!ann.get(&format!("{PAGE}/everyone?{odd}")).await.text().contains("script"), "{odd}");
    }
}

#[tokio::test]
async fn what_somebody_types_is_no_pattern_and_no_sql() {
    for kind in super::both() {
        let world = administered().on(kind).start().await;
        browser(&world, user("bob")).await;
        let ann = administrator(&world).await;
        for odd in ["%25", "_ob", "b%25", "b_b", "'%20OR%20'1'='1", "bob';--", "%5C", "%22", "%EF%BF%BF", "b%C3%B6b"] {
            let reply = ann.get(&format!("{PAGE}?name={odd}")).await;
            assert_eq!(reply.status, StatusCode::OK, "{odd}");
            assert!(!reply.text().contains("/oauth2/admin/grants/"), "{odd}");
            assert_eq!(ann.get(&format!("{PAGE}/why?name={odd}")).await.status, StatusCode::OK, "{odd}");
        }
        for bad in ["%00", "a%0Ab"] {
            assert_eq!(ann.get(&format!("{PAGE}?name={bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }
}
