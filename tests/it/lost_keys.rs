//! Keys that seal tokens: a lost one is told of and logs nobody out, and the way from one to the next is whole.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use evergate::seal::KeyRing;

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, Idp, Misbehaviour, Offline, Rotation},
    logs::lines_with,
};

const KEYS: &str = "external_token_encryption_keys";
const EXPIRED: Duration = Duration::from_secs(301);

#[tokio::test]
async fn a_grant_whose_key_is_gone_for_good_goes_on_with_another_silently() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (old, new) = (KeyRing::generate(), KeyRing::generate());
        let mut world = World::build().on(kind).set(KEYS, &old).start().await;
        let (first, second) = (world.signed_in().await, world.signed_in().await);
        world.restart_with(&[(KEYS, &new)]).await;
        let here = first.at(world.address());
        let session = here.session();
        assert_eq!(here.fetch("/").await.status, StatusCode::OK, "a script is served on meanwhile");
        eventually("readiness tells", async || {
            let state = world.visitor().get("/oauth2/readyz").await;
            state.status == StatusCode::OK
                && state.json()["missing_keys"].as_object().is_some_and(|keys| keys.values().any(|count| *count == json!(2)))
        })
        .await;
        assert_eq!(world.metric(0, "evergate_encryption_keys_missing"), 1.0);
        assert!(!lines_with(&["is not among CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS"]).is_empty());
        let page = here.browse(&world.idp, "/page").await;
        assert!(page.is_upstreams());
        assert_eq!((here.session(), world.idp.prompts()), (session, 1), "without a word, in the same session");
        world.clock.advance(EXPIRED);
        assert!(here.get("/page").await.is_upstreams() && world.upstream.last().header("x-evergate-renewed-at").is_none());
        // What nobody can open keeps nobody from anything else.
        let (code, listed) = world.command(&["sessions", "list"]).await;
        assert!(code == 0 && listed.matches("ann@example.com").count() == 2, "{code} {listed}");
        let there = second.at(world.address());
        there.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
        assert_eq!(there.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn while_another_replica_has_the_key_nobody_is_sent_away_for_it() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let mut world = World::build().on(Kind::Postgres).set(KEYS, &old).start().await;
    let visitor = world.signed_in().await;
    world.change(&[(KEYS, &new)]);
    world.add_replica().await;
    let there = visitor.at(world.replicas[1].address);
    assert!(there.get("/page").await.is_upstreams(), "by who they are, for as long as the token lives");
    assert_eq!(there.get("/oauth2/userinfo").await.status, StatusCode::OK);
    world.clock.advance(EXPIRED + Duration::from_secs(4 * 3600));
    assert_eq!(there.get("/page").await.status, StatusCode::SERVICE_UNAVAILABLE, "and then by the replica that can renew it");
    assert!(visitor.get("/page").await.is_upstreams());
    assert_eq!((world.idp.prompts(), world.idp.passes()), (1, 1), "only for its login");
}

#[tokio::test]
async fn a_replica_that_lacks_the_key_of_a_token_that_was_sealed_anew_leaves_the_renewal_to_others() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let mut world = World::build().on(Kind::Postgres).set(KEYS, &old).start().await;
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams(), "the grant is in memory as it was sealed first");
    world.change(&[(KEYS, &format!("{new},{old}"))]);
    world.add_replica().await;
    let (_, told) = world.command(&["keys", "reseal"]).await;
    assert!(told.contains("sealed anew: 1") && told.contains("warning: 1 gateways that run lack the key"), "{told}");
    world.clock.advance(EXPIRED);
    assert!(visitor.fetch("/").await.is_upstreams(), "within the grace");
    let there = visitor.at(world.replicas[1].address);
    eventually("the other replica renews it", async || {
        there.fetch("/").await;
        there.fetch("/oauth2/userinfo").await.json()["renewals"] == 1
    })
    .await;
    assert_eq!((world.idp.passes(), world.idp.calls(Endpoint::Refresh)), (1, 1), "the login alone");
}

#[tokio::test]
async fn keys_are_rotated_without_anybody_noticing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (old, new) = (KeyRing::generate(), KeyRing::generate());
        let mut world = World::build().on(kind).set(KEYS, &old).start().await;
        let visitors = [world.signed_in().await, world.signed_in().await];
        let both = format!("{new},{old}");
        world.restart_with(&[(KEYS, &both)]).await;
        let (code, status) = world.command(&["keys", "status"]).await;
        assert!(code == 0 && status.contains("opens") && status.contains("2 grants"), "{status}");
        let (code, told) = world.command(&["keys", "reseal"]).await;
        assert!(code == 0 && told.contains("sealed anew: 2"), "{told}");
        let (_, again) = world.command(&["keys", "reseal"]).await;
        assert!(again.contains("sealed anew: 0") && !again.contains("opens"), "{again}");
        world.restart_with(&[(KEYS, &new)]).await;
        world.clock.advance(EXPIRED);
        for visitor in &visitors {
            assert!(visitor.at(world.address()).get("/").await.is_upstreams());
        }
        assert_eq!((world.idp.prompts(), world.idp.calls(Endpoint::Refresh)), (1, 2));
    }
}

#[tokio::test]
async fn a_refresh_token_that_waits_for_its_revocation_is_counted_and_sealed_anew() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (old, new) = (KeyRing::generate(), KeyRing::generate());
        let mut world = World::build().on(kind).set(KEYS, &old).start().await;
        let visitor = world.signed_in().await;
        world.idp.misbehave(Endpoint::Revocation, Misbehaviour::Answer(503, String::new(), vec![]));
        visitor.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
        eventually("it was tried", async || world.idp.calls(Endpoint::Revocation) >= 1).await;
        world.restart_with(&[(KEYS, &format!("{new},{old}"))]).await;
        let (_, status) = world.command(&["keys", "status"]).await;
        assert!(status.contains("opens") && status.contains("0 grants, 1 pending revocations"), "{status}");
        let (code, told) = world.command(&["keys", "reseal"]).await;
        assert!(code == 0 && told.contains("sealed anew: 1") && !told.contains("opens"), "{told}");
        world.restart_with(&[(KEYS, &new)]).await;
        world.idp.behave(Endpoint::Revocation);
        eventually("it is revoked without the old key", async || {
            world.sql("UPDATE revocations SET due_at = due_at - 60000").await;
            !world.idp.has_live_refresh_token()
        })
        .await;
    }
}

#[tokio::test]
async fn after_a_restore_no_spent_refresh_token_is_presented() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world =
            World::build().on(kind).set("oidc_preset", "authelia").start_with(|idp| idp.rotate_as(Rotation::Strict)).await;
        let visitor = world.signed_in().await;
        let (code, told) = world.command(&["sessions", "restored"]).await;
        assert!(code == 69 && told.contains("nothing is marked, because gateways use the database"), "{told}");
        let (code, told) = world.command(&["sessions", "restored", "--while-serving"]).await;
        assert!(code == 0 && told.starts_with("1 refresh tokens"), "{told}");
        world.restart_with(&[]).await;
        let (_, why) = world.command(&["sessions", "why", "sub-ann"]).await;
        assert!(why.contains("the database was restored from a backup"), "{why}");
        world.clock.advance(EXPIRED);
        let here = visitor.at(world.address());
        let session = here.session();
        assert!(here.browse(&world.idp, "/page").await.is_upstreams());
        assert_eq!(here.session(), session);
        assert_eq!(world.idp.calls(Endpoint::Refresh), 0, "another grant was brought instead, silently");
        eventually("the history says why", async || {
            let why = world.command(&["sessions", "why", "sub-ann"]).await.1;
            why.contains("the database was restored from a backup, and its refresh token may have been used since")
                && !why.contains("the outcome of a renewal")
        })
        .await;
    }
}

#[tokio::test]
async fn a_refresh_token_that_renewals_left_as_it_was_is_counted_and_sealed_anew() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (old, new) = (KeyRing::generate(), KeyRing::generate());
        let start = |idp: &Idp| idp.rotate_as(Rotation::Reusable);
        let mut world = World::build().on(kind).set(KEYS, &old).start_with(start).await;
        let visitor = world.signed_in().await;
        let renew = async |world: &World| {
            world.clock.advance(EXPIRED);
            assert!(visitor.at(world.address()).get("/").await.is_upstreams());
            assert!(world.upstream.last().header("x-evergate-renewed-at").is_none());
        };
        world.restart_with(&[(KEYS, &format!("{new},{old}"))]).await;
        renew(&world).await;
        let (_, status) = world.command(&["keys", "status"]).await;
        assert!(status.contains("opens") && status.matches("1 grants").count() == 2, "under both: {status}");
        // Without the old key it is known not to be renewable, and no intent is written for it.
        world.restart_with(&[(KEYS, &new)]).await;
        let here = visitor.at(world.address());
        world.clock.advance(EXPIRED);
        assert!(here.fetch("/").await.is_upstreams(), "by who it is");
        world.restart_with(&[(KEYS, &format!("{new},{old}"))]).await;
        renew(&world).await;
        assert!(world.command(&["keys", "reseal"]).await.1.contains("sealed anew: 1"));
        world.restart_with(&[(KEYS, &new)]).await;
        renew(&world).await;
        assert_eq!((world.idp.prompts(), world.idp.passes()), (1, 1), "and nobody noticed");
    }
}

#[tokio::test]
async fn a_missing_key_brings_no_grant_back_that_has_ended() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let mut world = World::build().set(KEYS, &old).start().await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    world.restart_with(&[(KEYS, &new)]).await;
    assert_eq!(visitor.at(world.address()).fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_a_refresh_token_a_missing_key_gives_no_grace() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let prepare = |idp: &Idp| idp.give_refresh_tokens(Offline::Never);
    let mut world = World::build().set(KEYS, &old).start_with(prepare).await;
    let visitor = world.signed_in().await;
    world.restart_with(&[(KEYS, &new)]).await;
    let here = visitor.at(world.address());
    assert_eq!(here.fetch("/").await.status, StatusCode::OK, "for as long as the token lives");
    world.clock.advance(EXPIRED);
    assert_eq!(here.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}
