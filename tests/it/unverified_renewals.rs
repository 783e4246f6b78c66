//! Renewals whose ID token cannot be judged: nobody is somebody else for that, and nobody gets somebody else's access token.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::harness::{
    Builder, Kind, World,
    eventually::eventually,
    idp::{Endpoint, Idp, Misbehaviour, Signer},
    logs::lines_with,
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);

fn world() -> Builder {
    World::build().set("pass_access_token", "true")
}

type Change = fn(&Idp);

/// What a provider's bad deploy makes of its ID tokens, and the provider put right again.
fn spoilt() -> Vec<(&'static str, Change)> {
    fn edit(idp: &Idp, edit: fn(&mut serde_json::Value)) {
        idp.edit_id_token(edit);
    }
    fn token(idp: &Idp, edit: fn(&str) -> String) {
        idp.edit_answer(move |answer| answer["id_token"] = json!(edit(answer["id_token"].as_str().unwrap())));
    }
    vec![
        ("HS256", |idp| idp.sign_with(Signer::with_secret("the realm's own"), &idp.published())),
        ("an unknown alg", |idp| idp.edit_header(|header| header["alg"] = json!("XX1"))),
        ("a key that is not published", |idp| idp.sign_with(Signer::generate("ES512", "x"), &idp.published())),
        ("encrypted", |idp| token(idp, |_| "a.b.c.d.e".to_owned())),
        ("no JWT at all", |idp| token(idp, |_| "opaque".to_owned())),
        ("a bad signature over another sub", |idp| {
            edit(idp, |claims| claims["sub"] = json!("sub-bob"));
            idp.sign_with(Signer::generate("ES256", "first"), &idp.published());
        }),
        ("a sub that is no text", |idp| edit(idp, |claims| claims["sub"] = json!(7))),
        ("a slash after the issuer", |idp| {
            edit(idp, |claims| claims["iss"] = json!(format!("{}/", claims["iss"].as_str().unwrap())))
        }),
        ("another issuer, as of a provider that got another name", |idp| {
            edit(idp, |claims| claims["iss"] = json!("https://new-host.example/realms/x"))
        }),
        ("another audience", |idp| edit(idp, |claims| claims["aud"] = json!("other"))),
        ("a second audience", |idp| edit(idp, |claims| claims["aud"] = json!(["gateway", "other"]))),
        ("another's access token, by at_hash", |idp| edit(idp, |claims| claims["at_hash"] = json!("other"))),
        ("of the future", |idp| edit(idp, |claims| claims["nbf"] = json!(claims["iat"].as_i64().unwrap() + 3600))),
    ]
}

/// Puts the provider right again: it signs as before, with a key that it publishes.
fn mend(idp: &Idp) {
    idp.edit_id_token(|_| {});
    idp.edit_header(|_| {});
    idp.edit_answer(|_| {});
    let key = Signer::generate("ES256", "mended");
    let published = [key.jwk()];
    idp.sign_with(key, &published);
}

fn is_stale(world: &World) -> bool {
    world.upstream.last().header("x-evergate-renewed-at").is_some()
}

fn has_token(world: &World) -> bool {
    world.upstream.last().header("x-forwarded-access-token").is_some()
}

#[tokio::test]
async fn what_cannot_be_judged_ends_nothing_gives_nothing_away_and_heals() {
    for (what, spoil) in spoilt() {
        let world = world().start().await;
        let visitor = world.signed_in().await;
        spoil(&world.idp);
        world.clock.advance(EXPIRED);
        for _ in 0..2 {
            assert!(visitor.get("/").await.is_upstreams(), "{what}: nobody is logged out");
            assert_eq!(world.upstream.last().header("x-forwarded-email"), Some("ann@example.com"), "{what}");
            assert!(is_stale(&world) && !has_token(&world), "{what}: marked stale, and the new access token is kept back");
        }
        assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "{what}: no storm");
        assert_eq!(world.idp.revoked().len(), 0, "{what}: nothing is revoked");
        let alarms = lines_with(&[world.idp.issuer(), "ERROR", "a renewal could not be verified"]);
        assert_eq!(alarms.len(), 1, "{what}: {alarms:?}");
        mend(&world.idp);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "{what}");
        assert!(!is_stale(&world) && has_token(&world), "{what}: the next renewal that can be verified heals it");
    }
}

#[tokio::test]
async fn of_all_renewals_that_cannot_be_verified_the_log_tells_once_a_minute() {
    let world = world().start().await;
    let mut visitors = Vec::new();
    for _ in 0..5 {
        visitors.push(world.signed_in().await);
    }
    world.idp.edit_header(|header| header["alg"] = json!("XX1"));
    world.clock.advance(EXPIRED);
    for alarms in 1..=2 {
        for visitor in &visitors {
            assert!(visitor.get("/").await.is_upstreams());
        }
        assert_eq!(world.idp.calls(Endpoint::Refresh), alarms * visitors.len());
        assert_eq!(lines_with(&[world.idp.issuer(), "ERROR", "a renewal could not be verified"]).len(), alarms);
        world.clock.advance(EXPIRED);
    }
}

#[tokio::test]
async fn a_renewal_that_could_not_be_verified_is_tried_again_before_its_access_token_ends() {
    let world = world().start().await;
    let visitor = world.signed_in().await;
    world.idp.access_tokens_live(Some(json!(3600)));
    world.idp.edit_header(|header| header["alg"] = json!("XX1"));
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    mend(&world.idp);
    world.clock.advance(Duration::from_secs(61));
    eventually("the grant is verified again", async || {
        assert!(visitor.get("/").await.is_upstreams());
        !is_stale(&world) && has_token(&world)
    })
    .await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
}

#[tokio::test]
async fn after_the_grace_an_unverified_grant_waits_and_is_not_logged_out() {
    let world = world().set("oidc_outage_grace", "10m").start().await;
    let visitor = world.signed_in().await;
    world.idp.edit_header(|header| header["alg"] = json!("XX1"));
    for _ in 0..2 {
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
    }
    world.clock.advance(EXPIRED);
    let refused = visitor.get("/").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "the grace counts from the first");
    assert!(visitor.session().is_some());
    mend(&world.idp);
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert!(!is_stale(&world) && has_token(&world));
}

#[tokio::test]
async fn all_replicas_know_what_could_not_be_verified() {
    let world = world().replicas(2).start().await;
    let visitor = world.signed_in().await;
    let there = visitor.at(world.replicas[1].address);
    assert!(there.get("/").await.is_upstreams());
    world.idp.edit_header(|header| header["alg"] = json!("XX1"));
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    eventually("the other replica has heard of it", async || {
        assert!(there.get("/").await.is_upstreams());
        is_stale(&world)
    })
    .await;
    assert!(!has_token(&world));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

/// Who has proven to be somebody else is another matter, whatever else is odd about the token.
#[tokio::test]
async fn a_genuine_token_or_user_info_of_somebody_else_ends_the_grant() {
    let changes: [(&str, Change); 3] = [
        ("another sub, and a slash after the issuer", |idp| {
            idp.edit_id_token(|claims| {
                claims["iss"] = json!(format!("{}/", claims["iss"].as_str().unwrap()));
                claims["sub"] = json!("sub-bob");
            });
        }),
        ("another sub, expired", |idp| {
            idp.edit_id_token(|claims| {
                claims["exp"] = json!(1);
                claims["sub"] = json!("sub-bob");
            });
        }),
        ("user info", |idp| idp.edit_userinfo(|claims| claims["sub"] = json!("sub-bob"))),
    ];
    for (what, change) in changes {
        let world = world().start().await;
        let visitor = world.signed_in().await;
        change(&world.idp);
        world.clock.advance(EXPIRED);
        let reply = visitor.fetch("/").await;
        assert_eq!(
            (reply.status, reply.json()["reason"].clone()),
            (StatusCode::UNAUTHORIZED, json!("identity_refused")),
            "{what}"
        );
        eventually("the new refresh token is revoked", async || !world.idp.has_live_refresh_token()).await;
        assert!(world.upstream.requests().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn keys_that_are_away_leave_a_renewal_unverified_until_they_are_back() {
    let world = world().start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Jwks, Misbehaviour::Answer(503, String::new(), vec![]));
    world.idp.rotate_keys(true);
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert!(is_stale(&world) && !has_token(&world));
    world.idp.behave(Endpoint::Jwks);
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert!(!is_stale(&world) && has_token(&world));
}

#[tokio::test]
async fn user_info_that_is_away_at_a_renewal_makes_nobody_stale() {
    let world = world().start().await;
    let visitor: Visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(403, String::new(), vec![]));
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert!(!is_stale(&world) && has_token(&world), "the ID token has said whose it is");
    assert_eq!(lines_with(&[world.idp.issuer(), "user info was refused with status 403"]).len(), 1);
}

/// Ann, whose groups are told by user info alone, and who is in the one that may pass.
async fn ann_of_staff(replicas: usize) -> (World, Visitor) {
    let build =
        world().on(Kind::Postgres).replicas(replicas).set("oidc_group_field", "groups").set("oidc_allowed_groups", "staff");
    let world = build.start_with(|idp| idp.edit_userinfo(|claims| claims["groups"] = json!(["staff"]))).await;
    let ann = world.signed_in().await;
    assert!(ann.get("/").await.is_upstreams());
    (world, ann)
}

/// What a process leaves behind that is killed while it waits for user info is what another finds meanwhile.
#[tokio::test]
async fn while_user_info_is_long_in_coming_nobody_else_takes_the_old_groups_for_new_ones() {
    let (world, ann) = ann_of_staff(2).await;
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Held);
    world.idp.edit_userinfo(|claims| claims["groups"] = json!([]));
    world.clock.advance(Duration::from_secs(280));
    assert!(ann.get("/").await.is_upstreams(), "refreshed in the background");
    let other = ann.copy().at(world.replicas[1].address);
    eventually("the new tokens are marked", async || {
        assert!(other.get("/").await.is_upstreams());
        is_stale(&world) && !has_token(&world)
    })
    .await;
    world.idp.behave(Endpoint::Userinfo);
    eventually("the group is gone", async || other.get("/").await.status == StatusCode::FORBIDDEN).await;
    world.idp.edit_userinfo(|claims| claims["groups"] = json!(["staff"]));
    world.clock.advance(EXPIRED);
    // The first request may still get what came of the first refresh.
    eventually("she is in it again", async || ann.get("/").await.is_upstreams()).await;
    assert!(!is_stale(&world) && has_token(&world));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2, "and no refresh for the mark");
}

#[tokio::test]
async fn a_changed_identity_that_the_store_does_not_take_is_saved_when_it_is_back() {
    let (world, ann) = ann_of_staff(1).await;
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Held);
    world.idp.edit_userinfo(|claims| claims["groups"] = json!([]));
    world.clock.advance(Duration::from_secs(280));
    assert!(ann.get("/").await.is_upstreams(), "refreshed in the background");
    eventually("user info is asked for", async || world.idp.calls(Endpoint::Userinfo) == 2).await;
    world.store_line.as_ref().unwrap().cut();
    world.idp.behave(Endpoint::Userinfo);
    eventually("the write waits", async || !lines_with(&["renewal cannot be saved yet"]).is_empty()).await;
    world.store_line.as_ref().unwrap().mend();
    eventually("the group is gone", async || ann.get("/").await.status == StatusCode::FORBIDDEN).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "by the same refresh");
}

/// Groups that the ID token tells, where there is no user info: they are good for nothing from the moment at which it is known.
#[tokio::test]
async fn a_group_that_an_id_token_takes_back_is_gone_with_the_same_refresh() {
    let build = world().set("oidc_group_field", "groups").set("oidc_allowed_groups", "staff").set("oidc_ignore_userinfo", "true");
    let world = build.start_with(|idp| idp.edit_id_token(|claims| claims["groups"] = json!(["staff"]))).await;
    let ann = world.signed_in().await;
    world.idp.edit_id_token(|claims| claims["groups"] = json!([]));
    world.clock.advance(EXPIRED);
    assert_eq!(ann.get("/").await.status, StatusCode::FORBIDDEN);
    world.idp.edit_id_token(|claims| claims["groups"] = json!(["staff"]));
    world.clock.advance(EXPIRED);
    assert!(ann.get("/").await.is_upstreams());
    assert!(!is_stale(&world) && has_token(&world));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
}
