//! Grants that end by a change of the settings are told as ended, before and after their users come.

use evergate::seal::KeyRing;
use http::StatusCode;
use serde_json::Value;

use super::{Program, administered, administrator, both, browser};
use crate::harness::{Kind, World, eventually::eventually, idp::user, visitor::Visitor};

const KEYS: &str = "external_token_encryption_keys";

async fn said(world: &World, arguments: &[&str]) -> String {
    world.command(arguments).await.1
}

/// The reasons of the ends of bob's grant in the history.
async fn ends(world: &World) -> Vec<String> {
    let shown: Value = serde_json::from_str(&said(world, &["sessions", "show", "bob", "--json"]).await).unwrap();
    let ends = shown["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "renewal");
    ends.map(|event| event["why"]["code"].as_str().unwrap().to_owned()).collect()
}

/// Bob's grant is told as ended for this reason, which the sentences say in these words.
async fn is_told(world: &World, reason: &str, words: &str) {
    let why = said(world, &["sessions", "why", "bob"]).await;
    assert!(why.contains(&format!("pass the provider again: {words}")) && !why.contains("is logged in"), "{why}");
    let list = said(world, &["sessions", "list", "--ended", reason]).await;
    assert!(list.contains("bob@example.com"), "{list}");
    let listed: Value = serde_json::from_str(&said(world, &["sessions", "list", "bob", "--json"]).await).unwrap();
    let session = &listed["sessions"][0];
    assert_eq!((&session["state"], &session["endedBecause"]), (&"ended".into(), &reason.into()), "{session}");
}

/// After a request that is sent to a login, the history tells why, and once.
async fn is_told_once(world: &World, visitor: &Visitor, reason: &str) {
    for _ in 0..3 {
        visitor.get("/page").await;
    }
    eventually("it is told", async || ends(world).await == [reason]).await;
    visitor.get("/page").await;
    assert_eq!(ends(world).await, [reason]);
}

#[tokio::test]
async fn a_grant_of_a_client_that_is_not_configured_any_more_is_told_as_ended() {
    for kind in both() {
        let mut world = administered().on(kind).start().await;
        let bob = browser(&world, user("bob")).await;
        world.restart_with(&[("oidc_client_id", "another")]).await;
        is_told(&world, "other_provider", "it belongs to another provider or client than are configured now").await;
        let (code, renewed) = world.command(&["sessions", "renew", "bob"]).await;
        assert!(code != 0 && renewed.contains("it belongs to another provider or client"), "{renewed}");
        let here = bob.at(world.address());
        assert_eq!(here.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        is_told_once(&world, &here, "other_provider").await;
    }
}

#[tokio::test]
async fn a_grant_whose_key_no_replica_has_is_told_as_ended_and_one_whose_key_another_has_is_not() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let mut world = administered().on(Kind::Postgres).set(KEYS, &old).start().await;
    let bob = browser(&world, user("bob")).await;
    world.change(&[(KEYS, &new)]);
    world.add_replica().await;
    eventually("the replica has said which keys it has", async || {
        said(&world, &["sessions", "why", "bob"]).await.contains("is logged in")
    })
    .await;
    let (code, renewed) = world.command(&["sessions", "renew", "bob"]).await;
    assert!(code != 0 && renewed.contains("its tokens are encrypted under a key that is not there"), "{renewed}");
    world.restart_with(&[(KEYS, &new)]).await;
    eventually("the replica that had it is known to be gone", async || {
        !said(&world, &["sessions", "why", "bob"]).await.contains("is logged in")
    })
    .await;
    is_told(&world, "key_lost", "its tokens cannot be decrypted: their key is not there any more").await;
    let program = Program::of(&administrator(&world).await).await;
    let session = program.get("/sessions?name=bob").await["sessions"][0].clone();
    let grant = program.get(&format!("/grants/{}", session["grant"].as_str().unwrap())).await;
    assert!(
        session["endedBecause"] == "key_lost" && grant.to_string().contains("\"endedBecause\":\"key_lost\""),
        "{session} {grant}"
    );
    is_told_once(&world, &bob.at(world.address()), "key_lost").await;
}
