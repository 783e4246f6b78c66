//! Names in another case, names that differ in case alone, and names that are made to look like another's.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{PAGE, Program, administered, administrator, both, browser, token, told};
use crate::harness::{Kind, World, eventually::eventually, idp::user, visitor::Visitor};

/// Somebody whose user name is not the beginning of their address, which others may have too.
fn named(name: &str) -> Value {
    let mut person = user(name);
    person["email"] = json!("x@example.com");
    person
}

async fn is_signed_in(visitor: &Visitor) -> bool {
    visitor.fetch("/").await.is_upstreams()
}

#[tokio::test]
async fn a_user_name_is_found_in_whichever_case_also_while_its_user_is_signed_in() {
    for kind in both() {
        let world = World::build().on(kind).start().await;
        let amara = browser(&world, named("amara")).await;
        let (_, why) = world.command(&["sessions", "why", "AMARA"]).await;
        assert!(why.contains("is logged in"), "{why}");
        let (_, list) = world.command(&["sessions", "list", "Amara"]).await;
        assert_eq!(list.lines().count(), 2, "{list}");
        let (code, said) = world.command(&["sessions", "revoke", "AMARA"]).await;
        assert!(code == 0 && said.contains("ended session"), "{said}");
        eventually("she has ended", async || !is_signed_in(&amara).await).await;
    }
}

#[tokio::test]
async fn of_two_users_whose_names_differ_in_case_alone_both_are_shown_and_nobody_is_ended_for_the_other() {
    let world = World::start().await;
    let (small, large) = (browser(&world, named("amara")).await, browser(&world, named("AMARA")).await);
    let (_, why) = world.command(&["sessions", "why", "AMARA"]).await;
    assert_eq!(why.matches("is logged in").count(), 2, "{why}");
    let (code, said) = world.command(&["sessions", "revoke", "Amara"]).await;
    assert!(code != 0 && said.contains("AMARA, amara differ in case alone") && !said.contains("ended session"), "{said}");
    let (code, said) = world.command(&["sessions", "revoke", "AMARA"]).await;
    assert!(code == 0 && said.contains("left as they are, because their names differ in case: amara"), "{said}");
    eventually("she has ended", async || !is_signed_in(&large).await).await;
    assert!(is_signed_in(&small).await, "{said}");
}

#[tokio::test]
async fn a_session_s_identifier_in_upper_case_ends_that_session_and_no_other_of_its_grant() {
    const ROUTES: &str = "[[route]]\npath = \"/\"\n\n[[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n\n";
    let world = administered().routes(|_| ROUTES.to_owned()).start().await;
    let ann = browser(&world, user("ann")).await;
    let made = told(&token(&ann, "").await);
    let (_, list) = world.command(&["sessions", "list", "--json"]).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    let sessions = list["sessions"].as_array().unwrap();
    assert!(sessions.len() == 2 && sessions[0]["grant"] == sessions[1]["grant"], "the token shares the grant");
    let own = sessions.iter().find(|session| session["token"].is_null()).unwrap()["id"].as_str().unwrap().to_uppercase();
    let (code, said) = world.command(&["sessions", "revoke", &own]).await;
    assert_eq!((code, said.matches("ended session").count()), (0, 1), "{said}");
    eventually("it has ended", async || !is_signed_in(&ann).await).await;
    let bearer = format!("Bearer {made}");
    let with_token = world.visitor().send(http::Method::GET, "/api", &[("authorization", &bearer)], "").await;
    assert_eq!(with_token.status, StatusCode::OK);
}

#[tokio::test]
async fn no_name_turns_the_text_of_a_page_round() {
    let world = administered().start().await;
    let ann = administrator(&world).await;
    let mut person = named("bob\u{202e}nna\u{200b}\u{2066}");
    person.as_object_mut().unwrap().remove("email");
    let bob = browser(&world, person).await;
    for path in [PAGE.to_owned(), format!("{PAGE}?name=bob"), format!("{PAGE}/why?name=sub-bob%E2%80%AEnna%E2%80%8B%E2%81%A6")] {
        let text = ann.get(&path).await.text();
        assert!(text.contains("bob\u{fffd}nna\u{fffd}\u{fffd}"), "{path}: {text}");
        assert!(!text.contains(['\u{202e}', '\u{200b}', '\u{2066}']), "{path}: {text}");
    }
    let text = bob.get("/oauth2/sessions").await.text();
    assert!(!text.contains(['\u{202e}', '\u{200b}', '\u{2066}']), "{text}");
}

#[tokio::test]
async fn a_page_is_small_however_long_the_name_is_that_it_is_asked_for_and_no_end_is_left_out() {
    let world = administered().start().await;
    let name = "\u{1d49c}".repeat(256);
    let mut person = named(&name);
    person["sub"] = json!("sub-long");
    for _ in 0..26 {
        let visitor = browser(&world, person.clone()).await;
        world.clock.advance(Duration::from_secs(1));
        visitor.send(http::Method::POST, "/oauth2/sign_out", &[], "").await;
    }
    for _ in 0..11 {
        browser(&world, person.clone()).await;
    }
    let ann = administrator(&world).await;
    let program = Program::of(&ann).await;
    let ends = async || {
        let history = program.get(&format!("/history?show=ends&name={}", percent(&name))).await;
        history["events"].as_array().unwrap().len()
    };
    eventually("all ends are written", async || ends().await == 26).await;
    let (mut path, mut told) = (format!("{PAGE}/why?name={}", percent(&name)), 0);
    loop {
        let text = ann.get(&path).await.text();
        assert!(text.len() <= 20 * 1024, "{}", text.len());
        told += text.matches("the user logged out").count();
        let Some(next) = text.split(&format!("href=\"{PAGE}/why?name=")).skip(1).find(|link| link.contains("after=")) else {
            break;
        };
        path = format!("{PAGE}/why?name={}", next.split('"').next().unwrap().replace("&amp;", "&"));
    }
    assert_eq!(told, 26);
    let text = ann.get(&format!("{PAGE}?name={}", percent(&name))).await.text();
    assert!(text.len() <= 20 * 1024 && text.contains("after="), "{}", text.len());
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Gives the sessions of two users identifiers whose first eight digits are the same.
async fn alike(world: &World, kind: Kind) {
    for statement in match kind {
        Kind::Sqlite => [
            "UPDATE sessions SET hash = X'076a5ef100000000000000000000000000000000000000000000000000000000' \
             WHERE grant_id IN (SELECT id FROM grants WHERE subject = 'sub-amara')",
            "UPDATE sessions SET hash = X'076a5ef111110000000000000000000000000000000000000000000000000000' \
             WHERE grant_id IN (SELECT id FROM grants WHERE subject = 'sub-zed')",
        ],
        Kind::Postgres => [
            "UPDATE sessions SET hash = '\\x076a5ef100000000000000000000000000000000000000000000000000000000' \
             WHERE grant_id IN (SELECT id FROM grants WHERE subject = 'sub-amara')",
            "UPDATE sessions SET hash = '\\x076a5ef111110000000000000000000000000000000000000000000000000000' \
             WHERE grant_id IN (SELECT id FROM grants WHERE subject = 'sub-zed')",
        ],
    } {
        world.sql(statement).await;
    }
}

#[tokio::test]
async fn the_beginning_of_two_identifiers_ends_and_renews_nothing_and_each_is_told_as_far_as_it_takes() {
    for kind in both() {
        let world = World::build().on(kind).start().await;
        browser(&world, named("amara")).await;
        browser(&world, named("zed")).await;
        alike(&world, kind).await;
        let left = async || world.command(&["sessions", "list"]).await.1.lines().count() - 1;
        for given in ["076a5ef1", "076A5EF1", "076a5e"] {
            let (code, said) = world.command(&["sessions", "revoke", given]).await;
            assert!(code != 0 && said.contains("nothing has ended, because several begin so: "), "{said}");
            assert!(said.contains("session 076a5ef10000 of x@example.com, session 076a5ef11111 of x@example.com"), "{said}");
            assert_eq!(left().await, 2, "{given}");
            let (code, said) = world.command(&["sessions", "renew", given]).await;
            assert!(code != 0 && said.contains("nothing was renewed, because several begin so: "), "{said}");
        }
        let (code, said) = world.command(&["sessions", "revoke", "076a5ef11111"]).await;
        assert!(code == 0 && said.matches("ended session").count() == 1, "{said}");
        let (code, said) = world.command(&["sessions", "revoke", "076a5ef1"]).await;
        assert!(code == 0 && said.matches("ended session").count() == 1, "it is the only one now: {said}");
        assert_eq!(left().await, 0);
    }
}

#[tokio::test]
async fn the_name_of_a_user_who_has_no_session_left_ends_nobody_s_whose_identifier_begins_so() {
    for kind in both() {
        let world = World::build().on(kind).start().await;
        // As numbers of employees are.
        browser(&world, named("076a5ef1")).await.send(http::Method::POST, "/oauth2/sign_out", &[], "").await;
        browser(&world, named("amara")).await;
        alike(&world, kind).await;
        eventually("the history knows the one who is gone", async || {
            world.command(&["sessions", "why", "sub-076a5ef1"]).await.1.contains("the user logged out")
        })
        .await;
        for verb in ["revoke", "renew"] {
            let (code, said) = world.command(&["sessions", verb, "076a5ef1"]).await;
            assert!(code != 0 && said.contains("nobody by that name has a session here"), "{verb}: {said}");
        }
        let (code, said) = world.command(&["sessions", "revoke", "amara"]).await;
        assert!(code == 0 && said.matches("ended session").count() == 1, "{said}");
    }
}
