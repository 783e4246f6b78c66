//! Whose sessions end, and whose do not.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use super::{Program, administered, administrator, audit, both, browser, token, told};
use crate::harness::{Builder, Kind, World, eventually::eventually, idp::user, postgres, visitor::Visitor};

const ROUTES: &str = "[[route]]\npath = \"/\"\n\n[[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n\n";
const SECOND: Duration = Duration::from_secs(1);

fn with_tokens() -> Builder {
    administered().routes(|_| ROUTES.to_owned())
}

/// The answer to a script that brings this token.
async fn status(world: &World, token: &str) -> StatusCode {
    world.visitor().send(Method::GET, "/api", &[("authorization", &format!("Bearer {token}"))], "").await.status
}

async fn has_ended(visitor: &Visitor) -> bool {
    visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED
}

/// Each has found the session before the other has ended it.
#[tokio::test]
async fn of_two_administrators_who_end_the_same_session_one_has_ended_it() {
    let world = administered().on(Kind::Postgres).start().await;
    let eve = browser(&world, user("eve")).await;
    let (first, second) = (Program::of(&administrator(&world).await).await, Program::of(&administrator(&world).await).await);
    let grant = first.get("/sessions?name=eve").await["sessions"][0]["grant"].as_str().unwrap().to_owned();
    let (url, hers) = (world.database_url(), "grant_id IN (SELECT id FROM grants WHERE subject = 'sub-eve')");
    let lock = postgres::held(&url, &format!("BEGIN; SELECT hash FROM sessions WHERE {hers} FOR UPDATE")).await;
    let path = format!("/grants/{grant}/end_user");
    let both = async { tokio::join!(first.ask(Method::POST, &path, ""), second.ask(Method::POST, &path, "")) };
    let let_go = async {
        eventually("both wait for it", async || {
            postgres::waiting(&url, "SELECT hash FROM sessions WHERE hash = $1 OR login%").await == 2
        })
        .await;
        drop(lock);
    };
    let ((one, other), ()) = tokio::join!(both, let_go);
    let mut counts = [one, other].map(|reply| reply.json()["ended"].as_i64().unwrap());
    counts.sort_unstable();
    assert_eq!(counts, [0, 1]);
    assert!(has_ended(&eve).await);
}

/// The list begins with the last login, and the token is younger than all of them.
#[tokio::test]
async fn a_token_that_is_made_while_everyone_is_ended_ends_with_them() {
    let world = with_tokens().on(Kind::Postgres).start().await;
    let bob = browser(&world, user("bob")).await;
    world.clock.advance(SECOND);
    let program = Program::of(&administrator(&world).await).await;
    world.clock.advance(SECOND);
    let eve = browser(&world, user("eve")).await;
    let (url, hers) = (world.database_url(), "grant_id IN (SELECT id FROM grants WHERE subject = 'sub-eve')");
    let lock = postgres::held(&url, &format!("BEGIN; SELECT hash FROM sessions WHERE {hers} FOR UPDATE")).await;
    let begun = program.ask(Method::POST, "/everyone/end", "{\"confirm\": \"everyone\"}").await;
    assert_eq!(begun.status, StatusCode::ACCEPTED);
    eventually("it is under way", async || {
        postgres::waiting(&url, "SELECT hash FROM sessions WHERE hash = $1 OR login%").await > 0
    })
    .await;
    world.clock.advance(SECOND);
    let made = told(&token(&bob, "").await);
    assert_eq!(status(&world, &made).await, StatusCode::OK);
    drop(lock);
    for visitor in [&bob, &eve] {
        eventually("they have ended", async || has_ended(visitor).await).await;
    }
    eventually("the token is refused", async || status(&world, &made).await == StatusCode::UNAUTHORIZED).await;
    let is_done = |event: &[String; 3]| event[0] == "end_everyone" && event[1] == "ok";
    eventually("it is audited", async || audit(&world).await.iter().any(is_done)).await;
}

#[tokio::test]
async fn a_user_whose_name_is_the_beginning_of_another_s_token_is_ended_alone() {
    for kind in both() {
        let world = with_tokens().on(kind).start().await;
        let made = told(&token(&browser(&world, user("bob")).await, "").await);
        let (_, list) = world.command(&["sessions", "list", "--json"]).await;
        let list: Value = serde_json::from_str(&list).unwrap();
        let mut sessions = list["sessions"].as_array().unwrap().iter();
        let of_token = sessions.find(|session| !session["token"].is_null()).unwrap();
        let [name, id] = ["session", "id"].map(|part| of_token[part].as_str().unwrap().to_owned());
        let namesake = browser(&world, user(&name)).await;
        let (code, said) = world.command(&["sessions", "revoke", &name]).await;
        assert_eq!((code, said.matches("ended session").count()), (0, 1), "{said}");
        eventually("they have ended", async || has_ended(&namesake).await).await;
        assert_eq!(status(&world, &made).await, StatusCode::OK, "{said}");
        eventually("the history knows the user", async || {
            world.command(&["sessions", "why", &format!("sub-{name}")]).await.1.contains("an administrator ended the session")
        })
        .await;
        let (code, said) = world.command(&["sessions", "revoke", &name]).await;
        assert!(code != 0 && said.contains("nobody by that name"), "who repeats it ends nobody else: {said}");
        assert_eq!(status(&world, &made).await, StatusCode::OK, "{said}");
        let (code, said) = world.command(&["sessions", "revoke", &id]).await;
        assert_eq!((code, said.matches("ended session").count()), (0, 1), "{said}");
        eventually("the token is refused", async || status(&world, &made).await == StatusCode::UNAUTHORIZED).await;
    }
}
