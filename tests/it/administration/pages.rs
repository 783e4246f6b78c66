//! The pages: who is signed in, a grant's story, why somebody was logged out, what administrators did.

use std::time::Duration;

use http::{Method, StatusCode};

use super::{PAGE, act, administered, administrator, audit, both, browser, fields, grant_page, member, send, token};
use crate::harness::{
    eventually::eventually,
    idp::{Endpoint, user},
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);

async fn is_signed_in(visitor: &Visitor) -> bool {
    visitor.fetch("/").await.is_upstreams()
}

#[tokio::test]
async fn an_administrator_sees_who_is_signed_in_page_by_page_and_finds_users_by_how_their_names_begin() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        for number in 0..23 {
            browser(&world, user(&format!("user{number:02}"))).await;
            world.clock.advance(Duration::from_secs(1));
        }
        let ann = administrator(&world).await;
        let first = ann.get(PAGE).await;
        assert_eq!((first.status, first.header("content-language")), (StatusCode::OK, "en"));
        let text = first.text();
        assert!(text.contains("24 sessions, 24 of them with a refresh token"), "{text}");
        assert!(text.contains(">ann@example.com<") && text.contains(">user22@example.com<"));
        assert!(!text.contains(">user00@example.com<") && text.len() < 20 * 1024, "{}", text.len());
        let next = text.split("href=\"").find(|part| part.contains("after=")).unwrap().split('"').next().unwrap();
        let second = ann.get(&next.replace("&amp;", "&")).await.text();
        assert!(second.contains(">user00@example.com<") && !second.contains("after="), "{second}");
        for (name, found) in
            [("user1", 10), ("USER1", 10), ("user07@example.com", 1), ("sub-user07", 1), ("er1", 0), ("%25", 0), ("user_1", 0)]
        {
            let text = ann.get(&format!("{PAGE}?name={name}")).await.text();
            assert_eq!(text.matches("/oauth2/admin/grants/").count(), found, "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn what_is_to_be_mended_can_be_shown_alone() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        let ann = administrator(&world).await;
        let bob = browser(&world, user("bob")).await;
        let shown = async |show: &str| ann.get(&format!("{PAGE}?show={show}")).await.text();
        for show in ["not_renewable", "refused", "ended", "tokens"] {
            assert!(shown(show).await.contains("No session is to be shown here."), "{show}");
        }
        world.idp.kill_grants();
        world.clock.advance(EXPIRED);
        assert_eq!(bob.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        // Theirs has ended too.
        let ann = administrator(&world).await;
        let text = ann.get(&format!("{PAGE}?show=ended")).await.text();
        assert!(
            text.contains(">bob@example.com<")
                && text.contains("grant ended: the provider refused its refresh token (invalid_grant)"),
            "{text}"
        );
        assert_eq!(ann.get(&format!("{PAGE}?show=odd")).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(ann.get(&format!("{PAGE}?after=odd")).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_grant_s_page_tells_its_renewals_as_a_picture_and_in_words_and_when_it_ends_and_why() {
    let world = administered().set("session_duration", "24h").start().await;
    let bob = browser(&world, user("bob")).await;
    for _ in 0..3 {
        world.clock.advance(EXPIRED);
        assert!(is_signed_in(&bob).await);
    }
    let ann = administrator(&world).await;
    let path = grant_page(&ann, "bob").await;
    eventually("the history is written", async || ann.get(&path).await.text().contains("3 renewals and 0 that failed")).await;
    let text = ann.get(&path).await.text();
    for part in [
        "<svg class=\"time\" role=\"img\"",
        "at the first use from",
        "by the idle limit (CODER_SESSION_DURATION)",
        "by the absolute limit (CODER_SESSION_MAX_DURATION)",
        "each renewal brings a new refresh token",
        "3 renewals</dd>",
        "<title>",
        "sub-bob",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(text.matches("<path class=\"good\"").count(), 4 + 2, "a login, three renewals, and the legend of both");
    assert!(text.len() < 20 * 1024, "{}", text.len());
}

#[tokio::test]
async fn what_is_said_of_a_busy_grant_is_whole_in_either_language() {
    let personal = |_: &str| "[[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n".to_owned();
    let world = administered().routes(personal).start().await;
    let zoe = browser(&world, user("zoe")).await;
    for number in 0..13 {
        assert_eq!(token(&zoe, &format!("+{number}&days=30")).await.status, StatusCode::OK);
    }
    for _ in 0..60 {
        world.clock.advance(EXPIRED);
        assert!(is_signed_in(&zoe).await);
    }
    let ann = administrator(&world).await;
    let path = grant_page(&ann, "zoe").await;
    // However many events a page has, the next one has those that follow.
    let renewals = async |lines: &[(&str, &str)]| {
        let (mut found, mut next) = (0, Some(path.clone()));
        while let Some(address) = next {
            let page = ann.send(Method::GET, &address, lines, "").await.text();
            found += page.matches("<strong>renewed").count() + page.matches("<strong>erneuert").count();
            next = page.split("?after=").nth(1).map(|rest| format!("{path}?after={}", rest.split('"').next().unwrap()));
        }
        found
    };
    eventually("the whole history is written", async || renewals(&[("accept", "text/html")]).await == 60).await;
    for (language, token, end) in [
        ("en", "personal access token “script 1", "by the expiry of the personal access token"),
        ("de", "Persönliches Zugriffstoken „script 1", "UTC, weil "),
    ] {
        let lines = [("accept-language", language), ("accept", "text/html")];
        let text = ann.send(Method::GET, &path, &lines, "").await.text();
        assert!(text.len() <= 20 * 1024, "{}", text.len());
        assert!(!text.contains('…') && text.contains(token) && text.contains(end), "{language}: {text}");
        assert_eq!(renewals(&lines).await, 60, "{language}");
    }
}

#[tokio::test]
async fn an_administrator_without_other_routes_makes_a_token_without_a_tick() {
    let world = administered().start().await;
    let ann = administrator(&world).await;
    let page = ann.get("/oauth2/tokens").await.text();
    assert!(page.contains("It is for the administration.") && !page.contains("type=\"checkbox\""), "{page}");
    let (seal, route) = (fields(&page, "seal")[0], fields(&page, "route")[0]);
    let made = send(&ann, "/oauth2/tokens", &format!("seal={seal}&name=ci&days=30&route={route}")).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
}

#[tokio::test]
async fn a_session_without_a_refresh_token_is_predicted_to_end_with_its_access_token() {
    let world = administered().set("oidc_scopes", "openid,profile,email").start().await;
    let ann = administrator(&world).await;
    let text = ann.get(&grant_page(&ann, "ann").await).await.text();
    assert!(text.contains("by the expiry of the access token, because there is no refresh token"), "{text}");
    assert!(!text.contains("name=\"renew\""), "there is nothing to renew by");
    assert!(ann.get(&format!("{PAGE}?show=not_renewable")).await.text().contains(">ann@example.com<"));
}

#[tokio::test]
async fn sessions_end_on_every_replica_and_renewals_happen_when_an_administrator_says_so_and_all_of_it_is_audited() {
    for kind in both() {
        let build = administered().on(kind);
        let world = if kind == crate::harness::Kind::Postgres { build.replicas(2) } else { build }.start().await;
        let bobs = [browser(&world, user("bob")).await, browser(&world, user("bob")).await];
        let eve = browser(&world, user("eve")).await;
        let ann = administrator(&world).await;
        let other = world.replicas.last().unwrap().address;
        let path = grant_page(&ann, "eve").await;
        let calls = world.idp.calls(Endpoint::Refresh);
        let text = act(&ann, &path, "renew=true").await;
        assert!(text.contains("The grant was renewed.") && world.idp.calls(Endpoint::Refresh) == calls + 1, "{text}");

        let path = grant_page(&ann, "bob").await;
        let page = ann.get(&path).await.text();
        let (seal, id) = (fields(&page, "seal")[0], fields(&page, "end")[0]);
        assert!(act(&ann, &path, &format!("end={id}")).await.contains("The session has ended."));
        let again = send(&ann, &path, &format!("seal={seal}&end={id}")).await;
        assert_eq!(again.location().query(), Some("done=gone"));
        let path = grant_page(&ann, "bob").await;
        assert!(act(&ann, &path, "end_user=true").await.contains("All sessions of the user have ended."));
        for bob in &bobs {
            eventually("it has ended everywhere", async || !is_signed_in(&bob.at(other)).await).await;
        }
        assert!(is_signed_in(&eve).await && is_signed_in(&ann).await);

        let why = async || ann.get(&format!("{PAGE}/why?name=bob@example.com")).await.text();
        eventually("why is told", async || why().await.contains("an administrator ended the session")).await;
        eventually("all is audited", async || {
            let audit = audit(&world).await;
            let done = |action: &str, outcome: &str| {
                audit.iter().any(|event| *event == [action, outcome, "ann@example.com"].map(str::to_owned))
            };
            done("renew", "renewed") && done("end_session", "ok") && done("end_user", "ok")
        })
        .await;
        let text = ann.get(&format!("{PAGE}/audit")).await.text();
        assert!(
            text.contains(&format!("ann@example.com (sub sub-ann, {}, session ", world.idp.issuer()))
                && text.contains(") ended the session<")
                && text.contains("User: bob@example.com"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn everyone_is_ended_only_by_who_types_it() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        let (ann, bob) = (administrator(&world).await, browser(&world, user("bob")).await);
        let path = format!("{PAGE}/everyone");
        let page = ann.get(&path).await.text();
        for word in ["", "confirm=", "confirm=all"] {
            assert!(act(&ann, &path, &format!("{word}&end=everyone")).await.contains("Nothing was ended"), "{word}");
        }
        assert!(is_signed_in(&bob).await);
        let seal = fields(&page, "seal")[0];
        let sent = send(&ann, &path, &format!("seal={seal}&confirm=Everyone&end=everyone")).await;
        assert_eq!(sent.location().query(), Some("done=begun"));
        eventually("everybody is logged out", async || !is_signed_in(&bob).await && !is_signed_in(&ann).await).await;
        eventually("it is audited", async || {
            let audit = audit(&world).await;
            ["begun", "ok"].iter().all(|outcome| audit.iter().any(|event| event[0] == "end_everyone" && event[1] == *outcome))
        })
        .await;
    }
}

#[tokio::test]
async fn the_pages_speak_german() {
    let world = administered().start().await;
    let ann = administrator(&world).await;
    let lines = [
        ("accept", "text/html"),
        ("accept-language", "de-AT"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    let path = grant_page(&ann, "ann").await;
    for (path, says) in [
        (PAGE.to_owned(), "Wer angemeldet ist"),
        (path, "Jetzt erneuern"),
        (format!("{PAGE}/why"), "Warum abgemeldet?"),
        (format!("{PAGE}/audit"), "Was Administratoren getan haben"),
        (format!("{PAGE}/everyone"), "Zur Bestätigung alle eingeben"),
    ] {
        let reply = ann.send(Method::GET, &path, &lines, "").await;
        assert!(reply.status == StatusCode::OK && reply.header("content-language") == "de", "{path}");
        assert!(reply.text().contains(says), "{path}: {}", reply.text());
    }
}

#[tokio::test]
async fn the_command_line_renews_and_tells_who_did_what() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        browser(&world, member("bob", "staff")).await;
        let calls = world.idp.calls(Endpoint::Refresh);
        let (code, said) = world.command(&["sessions", "renew", "bob@example.com"]).await;
        assert!(code == 0 && said.contains(": renewed") && world.idp.calls(Endpoint::Refresh) == calls + 1, "{said}");
        let (code, said) = world.command(&["sessions", "revoke", "bob@example.com"]).await;
        assert_eq!(code, 0, "{said}");
        let (_, said) = world.command(&["sessions", "audit"]).await;
        for part in
            ["the command line had the grant renewed: bob@example.com", "the command line ended the session: bob@example.com"]
        {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(world.command(&["sessions", "renew", "nobody"]).await.0, 67);
    }
}
