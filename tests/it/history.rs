//! The history, and the commands that read it.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, user},
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);

/// What `sessions show --json` says of somebody.
async fn shown(world: &World, name: &str) -> Value {
    let (code, text) = world.command(&["sessions", "show", name, "--json"]).await;
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Waits until somebody's history, the oldest first, is this: kind, outcome and reason of each event.
async fn history_becomes(world: &World, expected: &[[&str; 3]]) {
    eventually("the history is written", async || {
        let all = shown(world, "ann@example.com").await;
        let events: Vec<_> = all["events"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|event| [&event["kind"], &event["outcome"], &event["reason"]].map(|text| text.as_str().unwrap().to_owned()))
            .collect();
        events.len() == expected.len() && expected.iter().all(|line| events.iter().any(|event| event == line))
    })
    .await;
}

#[tokio::test]
async fn every_login_renewal_logout_and_revocation_is_an_event() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        history_becomes(&world, &[["login", "ok", "renewable"], ["renewal", "ok", "rotated"]]).await;
        let renewal = shown(&world, "sub-ann").await["events"][0].clone();
        assert_eq!((&renewal["rotated"], renewal["milliseconds"].is_u64()), (&json!(true), true));
        assert!(!renewal["replica"].as_str().unwrap().is_empty());
        visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
        history_becomes(
            &world,
            &[["login", "ok", "renewable"], ["renewal", "ok", "rotated"], ["logout", "ok", "user"], ["revocation", "ok", ""]],
        )
        .await;
        let (_, why) = world.command(&["sessions", "why", "ann@example.com"]).await;
        assert!(why.contains("the user logged out"), "{why}");
    }
}

#[tokio::test]
async fn a_dead_grant_s_story_is_told_with_the_provider_s_own_code() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    history_becomes(&world, &[["login", "ok", "renewable"], ["renewal", "dead", "invalid_grant"]]).await;
    let all = shown(&world, "ann").await;
    assert_eq!(all["events"][0]["providerError"], "invalid_grant");
    assert_eq!(all["sessions"][0]["endedBecause"], "dead");
    let (_, why) = world.command(&["sessions", "why", "ann"]).await;
    assert!(why.contains("must pass the provider again: the provider refused its refresh token (invalid_grant)"), "{why}");
}

#[tokio::test]
async fn a_session_that_reached_its_limit_leaves_an_event_when_it_is_swept() {
    let world = World::build().set("session_duration", "1h").start().await;
    world.signed_in().await;
    world.clock.advance(Duration::from_secs(2 * 3600));
    history_becomes(&world, &[["login", "ok", "renewable"], ["limit", "ok", "idle"]]).await;
    let (_, why) = world.command(&["sessions", "why", "ann@example.com"]).await;
    assert!(why.contains("nobody used it for CODER_SESSION_DURATION"), "{why}");
}

#[tokio::test]
async fn an_administrator_lists_and_ends_sessions_and_running_replicas_obey() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let ann = world.signed_in().await;
        world.idp.log_in_as(user("bob"));
        let bob = world.signed_in().await;
        assert!(ann.get("/").await.is_upstreams() && bob.get("/").await.is_upstreams());
        let (_, list) = world.command(&["sessions", "list"]).await;
        assert!(list.contains("ann@example.com") && list.contains("bob@example.com") && list.lines().count() == 3, "{list}");
        let (code, said) = world.command(&["sessions", "revoke", "ann@example.com"]).await;
        assert_eq!(code, 0, "{said}");
        eventually("the replica refuses it", async || ann.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
        assert!(bob.get("/").await.is_upstreams());
        assert_eq!(world.idp.revoked().len(), 1, "the refresh token is revoked at the provider");
        let (_, why) = world.command(&["sessions", "why", "ann@example.com"]).await;
        assert!(why.contains("an administrator ended the session"), "{why}");
        assert_eq!(world.command(&["sessions", "revoke", "nobody"]).await.0, 67);
        assert_eq!(world.command(&["sessions", "revoke"]).await.0, 64, "nobody is ended by a forgotten name");
        assert_eq!(world.command(&["sessions", "revoke", "--all"]).await.0, 0);
        eventually("everybody is logged out", async || bob.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    }
}

#[tokio::test]
async fn sessions_end_here_even_if_the_provider_cannot_be_reached() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp_line.cut();
    let (code, said) = world.command(&["sessions", "revoke", "ann@example.com"]).await;
    assert!(code == 0 && said.contains("cannot be reached"), "{said}");
    eventually("the session has ended", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_logout_everywhere_ends_all_of_the_users_browsers_and_no_one_else_s() {
    let world = World::start().await;
    let (here, there) = (world.signed_in().await, world.signed_in().await);
    world.idp.log_in_as(user("bob"));
    let bob = world.signed_in().await;
    let refused = async |visitor: &Visitor| visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED;
    here.send(Method::POST, "/oauth2/sign_out?everywhere=true", &[], "").await;
    assert!(refused(&here).await && refused(&there).await);
    assert!(bob.get("/").await.is_upstreams());
    eventually("both refresh tokens are revoked", async || world.idp.revoked().len() == 2).await;
    assert_eq!(world.idp.calls(Endpoint::Revocation), 2);
}

#[tokio::test]
async fn a_list_goes_on_where_it_was_cut_and_shows_what_passes_its_filters() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        for name in ["ann", "bob", "eve"] {
            world.idp.log_in_as(user(name));
            world.signed_in().await;
            world.clock.advance(Duration::from_secs(60));
        }
        let list = async |arguments: &[&str]| {
            let (code, text) = world.command(&[&["sessions", "list", "--json"], arguments].concat()).await;
            assert_eq!(code, 0, "{text}");
            let list: Value = serde_json::from_str(&text).unwrap();
            let users: Vec<_> = list["sessions"].as_array().unwrap().iter().map(|listed| listed["email"].to_string()).collect();
            (users, list["next"].as_str().map(str::to_owned))
        };
        let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| format!("\"{name}@example.com\""));
        assert_eq!(list(&[]).await, (vec![eve.clone(), bob.clone(), ann.clone()], None));
        let (first, next) = list(&["--limit", "2"]).await;
        assert_eq!(first, [eve, bob]);
        assert_eq!(list(&["--limit", "2", "--after", &next.unwrap()]).await, (vec![ann.clone()], None));
        assert_eq!(list(&["ANN@example.com", "--not-renewed-since", "2999-01-01"]).await, (vec![ann], None));
        for nobody in [["--group", "nobody"], ["--ended", "any"], ["--not-renewed-since", "1999-01-01"]] {
            assert!(list(&nobody).await.0.is_empty(), "{nobody:?}");
        }
        world.idp.log_in_as(user("ann"));
        world.signed_in().await;
        let (newer, next) = list(&["ann@example.com", "--limit", "1"]).await;
        let (older, end) = list(&["ann@example.com", "--limit", "1", "--after", &next.unwrap()]).await;
        assert_eq!((newer.len(), older.len(), end), (1, 1, None));
        assert!(list(&["--not-renewable"]).await.0.is_empty());
        for name in [&[][..], &["ann@example.com"]] {
            let (_, table) = world.command(&[&["sessions", "list", "--limit", "1"], name].concat()).await;
            assert!(table.lines().count() == 3 && table.contains("there are more: --after "), "{table}");
        }
        for slip in [["--not-renewed-since", "yesterday"], ["--ended", "daed"]] {
            assert_ne!(world.command(&[&["sessions", "list"][..], &slip].concat()).await.0, 0);
        }
    }
}
