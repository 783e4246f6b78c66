//! A user's own sessions: what they see of them, and how they end them.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::harness::{
    ACCESS, Kind, World,
    eventually::eventually,
    idp::user,
    visitor::{Reply, Visitor},
};

const OWN_PAGE: [(&str, &str); 3] =
    [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
const PAGE: &str = "/oauth2/sessions";
const HOUR: Duration = Duration::from_secs(3600);
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";

/// Logs in with a browser that calls itself so.
async fn log_in_with(world: &World, agent: &str) -> Visitor {
    let visitor = world.visitor();
    let begun = visitor.send(Method::GET, "/", &[("accept", "text/html")], "").await;
    let back = world.idp.authorize(&begun.location()).await;
    let path = format!("{}?{}", back.path(), back.query().unwrap());
    visitor.send(Method::GET, &path, &[("accept", "text/html"), ("user-agent", agent)], "").await;
    assert!(visitor.session().is_some());
    visitor
}

/// What a page puts into its forms under this name, each time.
fn fields<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let marker = format!("name=\"{name}\" value=\"");
    page.split(marker.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Sends a form of the page as its browser does: without the cookie, because the page has an origin of its own.
async fn send(visitor: &Visitor, form: &str) -> Reply {
    send_to(visitor, PAGE, form).await
}

async fn send_to(visitor: &Visitor, path: &str, form: &str) -> Reply {
    let mut lines = OWN_PAGE.to_vec();
    lines.extend([("accept", "text/html"), ("content-type", "application/x-www-form-urlencoded")]);
    visitor.without_cookies().send(Method::POST, path, &lines, form).await
}

async fn is_signed_in(visitor: &Visitor) -> bool {
    visitor.fetch("/").await.is_upstreams()
}

#[tokio::test]
async fn a_user_sees_what_is_signed_in_and_ends_one_from_another_browser_on_every_replica() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).replicas(2).set("session_duration", "24h").start().await;
        let (here, there) = (log_in_with(&world, FIREFOX).await, log_in_with(&world, "curl/8").await);
        let other = Visitor::of(world.address(), user("bob"));
        other.log_in(&world.idp, "/").await;
        assert!(is_signed_in(&there).await);
        let page = here.get(PAGE).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.set_cookies().is_empty());
        for form in [PAGE, "/oauth2/tokens", "/oauth2/terminal"] {
            let status = async |method: Method| here.send(method, form, &[("accept", "text/html")], "").await.status;
            assert_eq!(status(Method::HEAD).await, status(Method::GET).await, "{form} is shown by both");
        }
        let text = page.text();
        for part in [
            "<strong>Firefox, Linux</strong>",
            "<span>this browser</span>",
            "<strong>A browser</strong>",
            "127.0.0.1",
            "app.test",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("ends in 1 day unless it is used"), "{text}");
        let (seals, ends) = (fields(&text, "seal"), fields(&text, "end"));
        assert_eq!(ends.len(), 1, "neither this browser's nor another user's");
        let ended = send(&here, &format!("seal={}&end={}", seals[0], ends[0])).await;
        assert_eq!((ended.status, ended.location().path()), (StatusCode::SEE_OTHER, PAGE));
        eventually("it has ended everywhere", async || !is_signed_in(&there).await).await;
        assert!(is_signed_in(&here).await && is_signed_in(&other).await);
        assert!(fields(&here.get(PAGE).await.text(), "end").is_empty());
    }
}

/// The pages, the command line and the API predict the end by the same rules as requests are served by.
#[tokio::test]
async fn a_session_that_the_provider_refuses_to_renew_is_one_until_the_grace_is_over() {
    const REFUSED: &str = "UPDATE grants SET refused_code = 'interaction_required' \
                           WHERE renewed_at = (SELECT MIN(renewed_at) FROM grants)";
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).set("oidc_outage_grace", "2h").start().await;
        world.signed_in().await;
        world.clock.advance(Duration::from_secs(1));
        let here = world.signed_in().await;
        world.sql(REFUSED).await;
        let (_, shown) = world.command(&["sessions", "show", "ann"]).await;
        assert!(shown.contains("(provider's refusal)"), "{shown}");
        let (_, why) = world.command(&["sessions", "why", "ann"]).await;
        assert!(why.contains("is served until") && why.contains("(interaction_required)"), "{why}");
        assert_eq!(fields(&here.get(PAGE).await.text(), "end").len(), 1, "it is served within the grace");
        world.sql("UPDATE grants SET expires_at = expires_at - 10800000 WHERE refused_code IS NOT NULL").await;
        let (_, why) = world.command(&["sessions", "why", "ann"]).await;
        assert!(why.contains("must pass the provider again: the provider refuses") && !why.contains("is served until"), "{why}");
        assert!(fields(&here.get(PAGE).await.text(), "end").is_empty(), "its next request is not served");
        let ended = "UPDATE grants SET ended_reason = 'outcome_unknown', refused_code = NULL, expires_at = expires_at + 10800000 \
                     WHERE refused_code IS NOT NULL";
        world.sql(ended).await;
        let (_, why) = world.command(&["sessions", "why", "ann"]).await;
        assert!(why.contains("is served until") && why.contains("must then pass the provider again"), "{why}");
        assert_eq!(fields(&here.get(PAGE).await.text(), "end").len(), 1, "it is served for its remaining use, and can be ended");
    }
}

#[tokio::test]
async fn a_form_whose_session_was_replaced_says_so_and_leads_back_to_its_page() {
    let world = World::build().start().await;
    let ann = world.signed_in().await;
    let seal = fields(&ann.get(PAGE).await.text(), "seal")[0].to_owned();
    ann.log_in(&world.idp, "/oauth2/start").await;
    let others = format!("seal={seal}&others=true");
    for what in ["it was replaced", "it has ended"] {
        let reply = send(&ann, &others).await;
        assert_eq!((reply.status, reply.header("evergate-response")), (StatusCode::FORBIDDEN, "form_expired"), "{what}");
        let text = reply.text();
        assert!(text.contains("or you have signed in again or signed out since"), "{what}: {text}");
        assert!(text.contains(&format!("href=\"{ACCESS}{PAGE}\">Load again<")), "{what}: {text}");
        let lines =
            [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("origin", ACCESS), ("accept", "text/html")];
        ann.send(Method::POST, "/oauth2/sign_out", &lines, "").await;
    }
    assert_eq!(ann.get(PAGE).await.status, StatusCode::SEE_OTHER, "the page leads to a login");
    assert_eq!(ann.browse(&world.idp, PAGE).await.status, StatusCode::OK, "and back");
}

#[tokio::test]
async fn all_others_end_at_once_and_personal_tokens_with_them_only_if_they_are_named() {
    let world =
        World::build().routes(|_| "[[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n".to_owned()).start().await;
    let visitors = [world.signed_in().await, world.signed_in().await, world.signed_in().await];
    let [here, second, third] = &visitors;
    let tokens = here.get("/oauth2/tokens").await.text();
    let mut lines = OWN_PAGE.to_vec();
    lines.extend([("accept", "text/html"), ("content-type", "application/x-www-form-urlencoded")]);
    let form = format!("seal={}&name=backup", fields(&tokens, "seal")[0]);
    let made = here.without_cookies().send(Method::POST, "/oauth2/tokens", &lines, &form).await.text();
    let token = made.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let authorization = format!("Bearer {token}");
    let call = async || world.visitor().send(Method::GET, "/api", &[("authorization", &authorization)], "").await.status;
    assert_eq!(call().await, StatusCode::OK);

    let text = here.get(PAGE).await.text();
    assert!(text.contains("<strong>backup</strong>") && fields(&text, "end").len() == 3, "{text}");
    let seal = fields(&text, "seal")[0];
    assert_eq!(send(here, &format!("seal={seal}&others=true")).await.status, StatusCode::SEE_OTHER);
    assert!(is_signed_in(here).await && !is_signed_in(second).await && !is_signed_in(third).await);
    assert_eq!(call().await, StatusCode::OK, "a script goes on");
    let text = here.get(PAGE).await.text();
    let ends = fields(&text, "end");
    assert_eq!(ends.len(), 1);
    send(here, &format!("seal={}&end={}", fields(&text, "seal")[0], ends[0])).await;
    assert_eq!(call().await, StatusCode::UNAUTHORIZED);
    eventually("the history says from where", async || {
        let why = world.command(&["sessions", "why", "sub-ann"]).await.1;
        why.matches("the user ended the session from another browser").count() == 2
            && why.matches("the user ended the personal access token").count() == 1
            && !why.contains("the user logged out")
    })
    .await;
}

#[tokio::test]
async fn nobody_else_ends_a_session_and_no_script_of_the_app_sees_the_page() {
    let world = World::start().await;
    let (ann, second) = (world.signed_in().await, world.signed_in().await);
    let bob = Visitor::of(world.address(), user("bob"));
    bob.log_in(&world.idp, "/").await;
    let text = ann.get(PAGE).await.text();
    let named = fields(&text, "end")[0];
    let bobs = bob.get(PAGE).await.text();
    let forged = ["", "x", fields(&bobs, "seal").first().copied().unwrap_or("x")];
    for seal in forged {
        send(&bob, &format!("seal={seal}&end={named}")).await;
        send(&bob, &format!("seal={seal}&others=true")).await;
    }
    assert!(is_signed_in(&second).await && is_signed_in(&ann).await);
    for (mode, dest) in [("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script")] {
        let lines =
            [("accept", "text/html"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        let reply = ann.send(Method::GET, PAGE, &lines, "").await;
        assert!(reply.status == StatusCode::FORBIDDEN && !reply.text().contains("seal"), "{mode} {dest}");
        let form = format!("seal={}&end={named}", fields(&text, "seal")[0]);
        assert_eq!(second.send(Method::POST, PAGE, &lines, &form).await.status, StatusCode::FORBIDDEN, "{mode} {dest}");
    }
    assert!(is_signed_in(&second).await);
    assert!(ann.get(PAGE).await.header("content-security-policy").contains("frame-ancestors 'none'"));
    world.clock.advance(2 * HOUR);
    let form = format!("seal={}&end={named}", fields(&text, "seal")[0]);
    let late = send(&ann, &form).await;
    assert_eq!((late.status, late.header("evergate-response")), (StatusCode::FORBIDDEN, "form_expired"));
    assert!(late.text().contains(&format!("href=\"{ACCESS}{PAGE}\">Load again</a>")), "{}", late.text());
    assert!(!fields(&ann.get(PAGE).await.text(), "seal").is_empty(), "it leads back to the page");
    let stranger = world.visitor().send(Method::GET, PAGE, &[("accept", "text/html"), OWN_PAGE[1], OWN_PAGE[2]], "").await;
    assert_eq!(stranger.status, StatusCode::SEE_OTHER, "a login leads back here");
}

/// The names of the sessions that a page's forms end, on all its pages.
async fn all_pages(visitor: &Visitor) -> (usize, std::collections::BTreeSet<String>) {
    let (mut pages, mut all, mut path) = (0, std::collections::BTreeSet::new(), PAGE.to_owned());
    loop {
        let text = visitor.get(&path).await.text();
        assert!(text.len() < 20 * 1024, "{}", text.len());
        pages += 1;
        all.extend(fields(&text, "end").into_iter().map(str::to_owned));
        let Some(next) = text.split("href=\"/oauth2/sessions?page=").nth(1) else { return (pages, all) };
        path = format!("{PAGE}?page={}", next.split('"').next().unwrap());
    }
}

#[tokio::test]
async fn however_many_sessions_there_are_all_are_shown_and_all_others_end() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let here = world.signed_in().await;
        let mut others = Vec::new();
        for _ in 0..120 {
            others.push(world.signed_in().await);
            world.clock.advance(Duration::from_secs(1));
        }
        let bob = Visitor::of(world.address(), user("bob"));
        bob.log_in(&world.idp, "/").await;
        let (pages, all) = all_pages(&here).await;
        assert_eq!((pages, all.len()), (8, 120));
        let text = here.get(PAGE).await.text();
        assert!(text.contains("<span>this browser</span>"), "it is on the first page, though it was used first: {text}");
        let beyond = here.get(&format!("{PAGE}?page=1000")).await;
        assert_eq!((beyond.status, beyond.location().path()), (StatusCode::SEE_OTHER, PAGE), "a list that has become shorter");
        for odd in ["0", "x", "-1", "1001"] {
            assert_eq!(here.get(&format!("{PAGE}?page={odd}")).await.status, StatusCode::BAD_REQUEST, "{odd}");
        }
        // One that is on no first page ends, too.
        let last = here.get(&format!("{PAGE}?page=8")).await.text();
        let ends = fields(&last, "end");
        send(&here, &format!("seal={}&end={}", fields(&last, "seal")[0], ends[0])).await;
        assert_eq!(all_pages(&here).await.1.len(), 119);
        send(&here, &format!("seal={}&others=true", fields(&text, "seal")[0])).await;
        assert_eq!(all_pages(&here).await, (1, std::collections::BTreeSet::new()));
        for other in &others {
            assert!(!is_signed_in(other).await);
        }
        assert!(is_signed_in(&here).await && is_signed_in(&bob).await);
    }
}

#[tokio::test]
async fn whoever_ends_a_session_is_told_so_and_stays_on_the_page() {
    const SECOND: &str = "/oauth2/sessions?page=2";
    let world = World::start().await;
    let here = world.signed_in().await;
    for _ in 0..17 {
        world.signed_in().await;
        world.clock.advance(Duration::from_secs(1));
    }
    let text = here.get(SECOND).await.text();
    let (seals, ends) = (fields(&text, "seal"), fields(&text, "end"));
    assert!(text.contains(&format!("action=\"{SECOND}\"")) && !text.contains("has ended"), "{text}");
    assert_eq!(ends.len(), 2, "the first page has fifteen others");
    let ended = send_to(&here, SECOND, &format!("seal={}&end={}", seals[0], ends[0])).await;
    assert_eq!((ended.status, ended.location().query()), (StatusCode::SEE_OTHER, Some("page=2&done=ended")));
    let shown = here.get("/oauth2/sessions?page=2&done=ended").await.text();
    assert!(shown.contains("The session or token has ended."), "{shown}");
    assert_eq!(fields(&shown, "end"), [ends[1]]);
    // With the last one of a page that page is gone.
    send_to(&here, SECOND, &format!("seal={}&end={}", seals[0], ends[1])).await;
    let back = here.get("/oauth2/sessions?page=2&done=ended").await;
    assert_eq!((back.status, back.location().query()), (StatusCode::SEE_OTHER, Some("done=ended")));
    let others = send(&here, &format!("seal={}&others=true", seals[0])).await;
    assert_eq!(others.location().query(), Some("done=others_ended"));
    let shown = here.get("/oauth2/sessions?done=others_ended").await.text();
    assert!(shown.contains("All other sessions have ended.") && fields(&shown, "end").is_empty(), "{shown}");
    let odd = here.get("/oauth2/sessions?done=odd").await.text();
    assert!(!odd.contains("role=\"status\""), "{odd}");
}

#[tokio::test]
async fn a_session_that_no_request_is_served_for_any_more_is_not_shown_as_if_it_were() {
    let world = World::build().set("oidc_scopes", "openid,profile,email").start().await;
    world.signed_in().await;
    world.clock.advance(Duration::from_secs(301));
    // Its access token has expired, and there is no refresh token.
    let here = world.signed_in().await;
    let text = here.get(PAGE).await.text();
    assert!(fields(&text, "end").is_empty() && text.matches("<strong>").count() == 1, "{text}");
    assert!(text.contains("signed in less than a minute ago"), "{text}");
}

#[tokio::test]
async fn a_page_and_the_command_line_tell_of_the_end_that_comes_first() {
    let world = World::build().set("oidc_scopes", "openid,profile,email").set("session_duration", "24h").start().await;
    let here = world.signed_in().await;
    let text = here.get(PAGE).await.text();
    assert!(text.contains("ends in 5 minutes<"), "there is no refresh token: {text}");
    let (_, shown) = world.command(&["sessions", "show", "ann"]).await;
    assert!(shown.contains("(access token's expiry)") && !shown.contains("(idle limit)"), "{shown}");
    let (_, why) = world.command(&["sessions", "why", "ann"]).await;
    assert!(why.contains("by its access token's expiry."), "{why}");
}
