//! Administrators look when the session is gone, and often long after.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use super::{PAGE, Program, administered, administrator, both, browser};
use crate::harness::{World, eventually::eventually, idp::user, visitor::Visitor};

const EXPIRED: Duration = Duration::from_secs(301);
const BY_USER: &str = "the user logged out";

/// Renews this visitor's grant so often that an end before is none of the newest events.
async fn renew_often(world: &World, visitor: &Visitor) {
    for _ in 0..55 {
        world.clock.advance(EXPIRED);
        assert!(visitor.fetch("/").await.is_upstreams());
    }
}

#[tokio::test]
async fn an_end_is_found_however_often_the_grant_was_renewed_since() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        let [gone, alive] = [browser(&world, user("bob")).await, browser(&world, user("bob")).await];
        gone.send(Method::POST, "/oauth2/sign_out", &[], "").await;
        renew_often(&world, &alive).await;
        let ann = administrator(&world).await;
        let program = Program::of(&ann).await;
        // The whole of it is read in parts.
        let all = async || {
            let (mut parts, mut kinds, mut path) = (0, Vec::new(), "/history?name=bob".to_owned());
            loop {
                let part = program.get(&path).await;
                let events = part["events"].as_array().unwrap().iter();
                kinds.extend(events.map(|event| event["kind"].as_str().unwrap().to_owned()));
                parts += 1;
                let Some(next) = part["next"].as_str() else { return (parts, kinds) };
                path = format!("/history?name=bob&after={next}");
            }
        };
        let count = |kinds: &[String], kind: &str| kinds.iter().filter(|found| *found == kind).count();
        eventually("all of it is written", async || {
            let (parts, kinds) = all().await;
            let counts = ["login", "renewal", "logout"].map(|kind| count(&kinds, kind));
            parts == 2 && counts == [2, 55, 1]
        })
        .await;
        assert!(all().await.1.iter().take(50).all(|kind| kind == "renewal"), "an end is none of the newest");

        let text = ann.get(&format!("{PAGE}/why?name=bob@example.com")).await.text();
        assert!(text.contains(BY_USER) && !text.contains("renewed,"), "{text}");
        let ends = program.get("/history?name=bob&show=ends").await;
        assert_eq!((ends["events"].as_array().unwrap().len(), &ends["events"][0]["why"]["code"]), (1, &json!("user")));
        assert!(ends["next"].is_null());
        let (_, why) = world.command(&["sessions", "why", "bob"]).await;
        assert!(why.contains(BY_USER) && why.contains("The last login was"), "{why}");

        let (_, first) = world.command(&["sessions", "show", "bob", "--limit", "50"]).await;
        let place = first.split("there are more: --after ").nth(1).unwrap().trim();
        let (_, rest) = world.command(&["sessions", "show", "bob", "--after", place]).await;
        assert!(!first.contains("logout") && rest.contains("logout") && !rest.contains("there are more"), "{rest}");

        // The grant's own page and answer go on, too.
        let grant = program.get("/sessions?name=bob").await["sessions"][0]["grant"].as_str().unwrap().to_owned();
        let (mut logins, mut path) = (0, format!("{PAGE}/grants/{grant}"));
        for pages in 1.. {
            let text = ann.get(&path).await.text();
            assert!(text.len() < 20 * 1024, "{}", text.len());
            logins += text.matches("<strong>login</strong>").count();
            let Some(next) = text.split(&format!("/oauth2/admin/grants/{grant}?after=")).nth(1) else {
                assert_eq!((pages, logins), (3, 1), "55 renewals and a login, 25 on a page");
                break;
            };
            path = format!("{PAGE}/grants/{grant}?after={}", next.split('"').next().unwrap());
        }
        let story = program.get(&format!("/grants/{grant}")).await;
        let next = story["next"].as_str().unwrap();
        let rest = program.get(&format!("/grants/{grant}?after={next}")).await;
        assert_eq!((story["events"].as_array().unwrap().len(), rest["events"].as_array().unwrap().len()), (50, 6));
        assert!(rest["next"].is_null());
    }
}

#[tokio::test]
async fn a_user_whose_session_is_gone_is_found_by_whatever_is_known_of_them() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        let mut person = user("bob");
        person["email"] = json!("Bob.Example@Example.com");
        let bob = browser(&world, person).await;
        let ann = administrator(&world).await;
        let program = Program::of(&ann).await;
        let session = program.get("/sessions?name=bob").await["sessions"][0].clone();
        let of_session = |name: &str| session[name].as_str().unwrap().to_owned();
        bob.send(Method::POST, "/oauth2/sign_out", &[], "").await;
        eventually("nothing is left of it", async || {
            let history = program.get("/history?name=sub-bob&show=ends").await;
            history["sessions"].as_array().unwrap().is_empty() && !history["events"].as_array().unwrap().is_empty()
        })
        .await;
        let [id, short, grant] = ["id", "session", "grant"].map(of_session);
        let begun = |text: &str, digits| text.chars().take(digits).collect::<String>();
        let names = [
            "bob",
            "BOB",
            "Bob.Example@Example.com",
            "bob.example@example.COM",
            "sub-bob",
            &short,
            &begun(&short, 6),
            &id,
            &id.to_uppercase(),
            &grant,
            &begun(&grant, 12),
        ];
        for is_old in [false, true] {
            if is_old {
                // As an older release writes it.
                world.sql("UPDATE events SET issuer = '', username = NULL, actor_issuer = NULL").await;
            }
            // Of what an older release wrote, the name by which the user was shown is known, and no other.
            for name in names.iter().filter(|name| !(is_old && name.eq_ignore_ascii_case("bob"))) {
                let text = ann.get(&format!("{PAGE}/why?name={name}")).await.text();
                assert!(text.contains(BY_USER), "{name} on the page: {text}");
                let history = program.get(&format!("/history?name={name}&show=ends")).await;
                assert_eq!(history["events"][0]["why"]["code"], "user", "{name} by the API");
                let (code, why) = world.command(&["sessions", "why", name]).await;
                assert!(code == 0 && why.contains(BY_USER), "{name} on the command line: {why}");
            }
        }
        for nobody in ["example", "nobody@example.com", "bo", "%25", "ffffffffffff"] {
            let text = ann.get(&format!("{PAGE}/why?name={nobody}")).await.text();
            assert!(!text.contains(BY_USER) && text.contains("Nothing is known"), "{nobody}: {text}");
        }
        let page = ann.get(&format!("{PAGE}/grants/{grant}")).await;
        assert!(page.status == StatusCode::OK && page.text().contains(BY_USER), "the page of a grant that is gone says why");
    }
}

#[tokio::test]
async fn a_grant_s_state_is_that_of_its_sessions() {
    let world = administered().set("oidc_scopes", "openid,profile,email").start().await;
    browser(&world, user("bob")).await;
    world.clock.advance(EXPIRED);
    let ann = administrator(&world).await;
    let text = ann.get(&super::grant_page(&ann, "bob").await).await.text();
    assert!(text.contains("<dt>State</dt><dd>token expired, not renewable</dd>") && !text.contains(">ok<"), "{text}");
}

#[tokio::test]
async fn what_is_done_to_one_provider_s_users_is_audited_as_that_and_administrators_are_told_apart() {
    let world = administered().start().await;
    browser(&world, user("bob")).await;
    let ann = administrator(&world).await;
    let issuer = world.idp.issuer().to_owned();
    let grant = super::grant_page(&ann, "bob").await;
    super::act(&ann, &grant, "renew=true").await;
    let program = Program::of(&ann).await;
    let (code, said) = world.command(&["sessions", "revoke", "--all", "--issuer", "https://other.example"]).await;
    assert_ne!(code, 0, "nobody is of that provider: {said}");
    let seen = program.get("/audit").await;
    let events = seen["events"].as_array().unwrap();
    let by = |event: &serde_json::Value| (event["detail"].clone(), event["administratorIssuer"].clone(), event["issuer"].clone());
    assert_eq!(by(&events[0]), (json!("the command line"), json!(null), json!("https://other.example")), "{seen}");
    assert_eq!((&events[0]["outcome"], &events[1]["outcome"]), (&json!("ok"), &json!("begun")), "{seen}");
    assert_eq!(by(&events[2]), (json!("ann@example.com"), json!(issuer), json!(issuer)), "{seen}");
    // A name may be chosen; the `sub` and the session are not.
    let session = program.get("/sessions?name=sub-ann").await["sessions"].as_array().unwrap().clone();
    assert_eq!(events[2]["administratorSubject"], "sub-ann", "{seen}");
    assert!(session.iter().any(|session| session["session"] == events[2]["administratorSession"]), "{seen}");
    let (_, text) = world.command(&["sessions", "audit"]).await;
    assert!(text.contains("the command line ended the sessions of all users of https://other.example"), "{text}");
    assert!(text.contains(&format!("ann@example.com (sub sub-ann, {issuer}, session ")), "{text}");
    assert!(text.contains(&format!(") had the grant renewed: bob@example.com ({issuer})")), "{text}");
    let page = ann.get(&format!("{PAGE}/audit")).await.text();
    assert!(page.contains("ended the sessions of all users of https://other.example") && page.contains(&issuer), "{page}");
    let (_, rest) = world.command(&["sessions", "audit", "--limit", "2"]).await;
    let place = rest.split("there are more: --after ").nth(1).unwrap().trim();
    let (_, rest) = world.command(&["sessions", "audit", "--after", place]).await;
    assert!(rest.contains("had the grant renewed") && !rest.contains("all users of"), "{rest}");
}
