//! Back-channel logout: logout tokens that the provider sends (OpenID Connect Back-Channel Logout 1.0, sections 2.4 to 2.8).

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{
        Kind, World,
        eventually::eventually,
        idp::{Endpoint, Misbehaviour, Signer, user},
        visitor::{Reply, path_of},
    },
    personal_tokens,
};

const EXPIRED: Duration = Duration::from_secs(301);
const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

async fn announce(world: &World, claims: Value, header: Value) -> Reply {
    let token = world.idp.logout_token(claims, header);
    world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &format!("logout_token={token}")).await
}

#[tokio::test]
async fn a_logout_at_the_provider_ends_all_sessions_of_its_user_and_no_one_else_s() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        world.idp.log_in_as(user("bob"));
        let bob = world.signed_in().await;
        world.idp.log_in_as(user("ann"));
        let (here, there) = (world.signed_in().await, world.signed_in().await);
        let told = announce(&world, json!({}), json!({})).await;
        assert_eq!((told.status, told.header("cache-control")), (StatusCode::OK, "no-store"));
        for ann in [&here, &there] {
            assert_eq!(ann.fetch("/").await.status, StatusCode::UNAUTHORIZED, "by sub alone");
        }
        assert!(bob.get("/").await.is_upstreams());
        let (_, why) = world.command(&["sessions", "why", "sub-bob"]).await;
        assert!(why.contains("is logged in"), "{why}");
    }
}

#[tokio::test]
async fn a_logout_at_the_provider_that_comes_before_the_login_s_callback_is_not_forgotten() {
    for (kind, claims) in [(Kind::Sqlite, json!({})), (Kind::Postgres, json!({"sid": "sid-1", "sub": null}))] {
        let world = World::build().on(kind).start().await;
        world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-1"));
        let visitor = world.visitor();
        let callback = world.idp.authorize(&visitor.get("/page").await.location()).await;
        world.clock.advance(Duration::from_secs(5));
        assert_eq!(announce(&world, claims, json!({})).await.status, StatusCode::OK);
        world.clock.advance(Duration::from_secs(20));
        let again = visitor.get(&path_of(&callback)).await.location();
        assert!(again.as_str().starts_with(world.idp.issuer()), "it is for the provider to say who is there now: {again}");
        assert!(visitor.session().is_none());
        eventually("the end of what was saved is told", async || {
            let (_, why) = world.command(&["sessions", "why", "ann"]).await;
            why.contains("logged out at the provider, or by a security tool, while the login was under way")
        })
        .await;
        // Who logs in there again is let in.
        world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-2"));
        visitor.get(&path_of(&world.idp.authorize(&again).await)).await.location();
        assert!(visitor.get("/page").await.is_upstreams());
    }
}

#[tokio::test]
async fn a_logout_of_one_session_at_the_provider_ends_the_sessions_that_came_of_it() {
    let world = World::start().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-1"));
    let first = world.signed_in().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-2"));
    let second = world.signed_in().await;
    let refused = announce(&world, json!({"sid": "sid-1", "sub": "sub-bob"}), json!({})).await;
    assert_eq!(refused.status, StatusCode::OK);
    assert!(first.get("/").await.is_upstreams(), "sid and sub must both be right");
    announce(&world, json!({"sid": "sid-1", "sub": null}), json!({})).await;
    assert_eq!(first.fetch("/").await.status, StatusCode::UNAUTHORIZED, "by sid alone");
    assert!(second.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_logout_token_that_is_not_to_be_believed_ends_nothing() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let now = world.clock.now().seconds();
    let cases = [
        ("iss", json!({"iss": "https://other"}), json!({})),
        ("aud", json!({"aud": "other"}), json!({})),
        ("no event", json!({"events": null}), json!({})),
        ("wrong event", json!({"events": {"http://schemas.openid.net/event/foobar": {}}}), json!({})),
        ("nonce", json!({"nonce": "n"}), json!({})),
        ("no exp and old", json!({"exp": null, "iat": now - 181}), json!({})),
        ("an exp that is no time", json!({"exp": "soon"}), json!({})),
        ("expired", json!({"exp": now - 61}), json!({})),
        ("no iat", json!({"iat": null}), json!({})),
        ("of the future", json!({"iat": now + 310}), json!({})),
        ("no jti", json!({"jti": null}), json!({})),
        ("neither sub nor sid", json!({"sub": null}), json!({})),
        ("alg none", json!({}), json!({"alg": "none"})),
        ("wrong alg", json!({}), json!({"alg": "RS256"})),
        ("shared secret", json!({}), json!({"alg": "HS256"})),
        ("unknown key", json!({}), json!({"kid": "other"})),
        ("crit", json!({}), json!({"crit": ["x"]})),
        ("another kind of token", json!({}), json!({"typ": "at+jwt"})),
    ];
    for (what, claims, header) in cases {
        let refused = announce(&world, claims, header).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{what}: {}", refused.text());
        assert_eq!(refused.header("cache-control"), "no-store");
    }
    for (what, body) in [
        ("no logout_token", "a=b".to_owned()),
        ("two logout_token fields", "logout_token=a&logout_token=b".to_owned()),
        ("garbage", "logout_token=a.b.c".to_owned()),
        ("too long", format!("logout_token={}", "a".repeat(20_000))),
    ] {
        let refused = world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{what}");
    }
    for kind in ["text/plain", "application/json", "multipart/form-data; boundary=x"] {
        let token = format!("logout_token={}", world.idp.logout_token(json!({}), json!({})));
        let refused = world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &[("content-type", kind)], &token).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{kind}");
    }
    assert_eq!(world.visitor().get("/oauth2/backchannel_logout").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_logout_token_that_is_sent_again_ends_no_later_session() {
    let world = World::start().await;
    world.signed_in().await;
    let token = world.idp.logout_token(json!({"exp": world.clock.now().seconds() + 3600}), json!({}));
    let send = async || {
        world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &format!("logout_token={token}")).await.status
    };
    assert_eq!(send().await, StatusCode::OK);
    world.clock.advance(Duration::from_secs(120));
    let later = world.signed_in().await;
    assert_eq!(send().await, StatusCode::OK, "a replayed token (jti) is accepted without effect");
    assert!(later.get("/").await.is_upstreams());
}

#[tokio::test]
async fn while_the_store_is_away_the_provider_is_told_to_come_again() {
    let world = World::build().on(Kind::Postgres).start().await;
    world.signed_in().await;
    world.store_line.as_ref().unwrap().cut();
    assert_eq!(announce(&world, json!({}), json!({})).await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.store_line.as_ref().unwrap().mend();
}

/// RF-07: a back-channel logout is committed while a refresh is in flight.
#[tokio::test]
async fn a_logout_at_the_provider_during_a_renewal_wins_and_the_new_token_is_revoked() {
    let world = World::build().replicas(2).start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let waiting = tokio::spawn({
        let there = visitor.at(world.replicas[1].address);
        async move { there.fetch("/").await }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    assert_eq!(announce(&world, json!({}), json!({})).await.status, StatusCode::OK);
    world.idp.behave(Endpoint::Refresh);
    assert_eq!(waiting.await.unwrap().status, StatusCode::UNAUTHORIZED);
    eventually("every refresh token is revoked", async || !world.idp.has_live_refresh_token()).await;
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_logout_token_that_comes_again_ends_no_session_that_began_since() {
    let world = World::start().await;
    let before = world.signed_in().await;
    let token = world.idp.logout_token(json!({}), json!({}));
    let announce = || async {
        let form = format!("logout_token={token}");
        world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &form).await.status
    };
    assert_eq!(announce().await, StatusCode::OK);
    assert_eq!(before.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    let after = world.signed_in().await;
    assert_eq!(announce().await, StatusCode::OK);
    assert!(after.get("/").await.is_upstreams(), "the user has logged in again within the leeway of clocks");
}

#[tokio::test]
async fn where_browsers_share_a_grant_each_keeps_the_provider_s_name_for_its_own_session() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).set("oidc_preset", "dex").start().await;
        world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-1"));
        let first = world.signed_in().await;
        world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-2"));
        let second = world.signed_in().await;
        announce(&world, json!({"sid": "sid-1"}), json!({})).await;
        assert_eq!(first.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        assert!(second.get("/").await.is_upstreams());
    }
}

#[tokio::test]
async fn a_logout_token_of_a_provider_whose_clock_is_ahead_ends_the_session_and_its_repetition_ends_no_later_one() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let now = world.clock.now().seconds();
    let ahead = json!({"iat": now + 240, "exp": now + 360, "jti": "ahead"});
    assert_eq!(announce(&world, ahead.clone(), json!({})).await.status, StatusCode::OK);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    world.clock.advance(Duration::from_secs(60));
    let later = world.signed_in().await;
    assert_eq!(announce(&world, ahead.clone(), json!({})).await.status, StatusCode::OK);
    assert!(later.get("/").await.is_upstreams(), "it was carried out before");
    world.clock.advance(Duration::from_secs(420));
    assert_eq!(announce(&world, ahead, json!({})).await.status, StatusCode::BAD_REQUEST, "and then it is too old");
    assert!(later.get("/").await.is_upstreams());
}

/// A replica that has just started has seen no ID token, and ends what the others would end.
#[tokio::test]
async fn a_logout_token_that_is_signed_with_the_shared_secret_is_believed_after_a_restart() {
    const SECRET: &str = "a client secret of more than thirty-two bytes";
    for (kind, listed) in [(Kind::Sqlite, json!(["HS256"])), (Kind::Postgres, json!(["RS256", "HS256"]))] {
        let mut world = World::build()
            .on(kind)
            .set("oidc_client_secret", SECRET)
            .start_with(|idp| {
                idp.change_secret(SECRET);
                idp.set_metadata(json!({"id_token_signing_alg_values_supported": listed.clone()}));
                idp.sign_with(Signer::with_secret(SECRET), &[]);
            })
            .await;
        let visitor = world.signed_in().await;
        world.restart_with(&[]).await;
        let visitor = visitor.at(world.address());
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(announce(&world, json!({}), json!({})).await.status, StatusCode::OK, "{listed}");
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{listed}");
        let again = announce(&world, json!({}), json!({})).await;
        assert_eq!(again.status, StatusCode::OK, "{listed}: the session that showed how the provider signs is gone");
        world.idp.sign_with(Signer::with_secret("a secret that is somebody else's, and as long"), &[]);
        assert_eq!(announce(&world, json!({}), json!({})).await.status, StatusCode::BAD_REQUEST, "{listed}");
    }
}

#[tokio::test]
async fn a_replica_that_cannot_ask_the_store_how_the_provider_signs_says_so() {
    const SECRET: &str = "a client secret of more than thirty-two bytes";
    let mut world = World::build()
        .on(Kind::Postgres)
        .set("oidc_client_secret", SECRET)
        .start_with(|idp| {
            idp.change_secret(SECRET);
            idp.set_metadata(json!({"id_token_signing_alg_values_supported": ["RS256", "HS256"]}));
            idp.sign_with(Signer::with_secret(SECRET), &[]);
        })
        .await;
    let visitor = world.signed_in().await;
    world.restart_with(&[]).await;
    world.store_line.as_ref().unwrap().cut();
    let told = announce(&world, json!({}), json!({})).await;
    assert_eq!((told.status, told.json()["error"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("store_unavailable")));
    world.store_line.as_ref().unwrap().mend();
    let ended = async || announce(&world, json!({}), json!({})).await.status == StatusCode::OK;
    eventually("it is believed again", ended).await;
    assert_eq!(visitor.at(world.address()).fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_that_does_not_say_of_which_one_at_the_provider_it_came_ends_with_any_of_its_user_s() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = personal_tokens::world().on(kind).start().await;
        world.idp.log_in_as(user("bob"));
        let bob = world.signed_in().await;
        world.idp.log_in_as(user("ann"));
        let unsaid = world.signed_in().await;
        let kept = personal_tokens::token(&unsaid, "name=git").await;
        world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-2"));
        let other = world.signed_in().await;
        // One under way, which does not say it either.
        world.idp.edit_id_token(|_| {});
        let late = world.visitor();
        let callback = world.idp.authorize(&late.get("/page").await.location()).await;
        world.clock.advance(Duration::from_secs(5));
        assert_eq!(announce(&world, json!({"sid": "sid-1"}), json!({})).await.status, StatusCode::OK);
        assert_eq!(unsaid.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        assert!(other.get("/").await.is_upstreams(), "it came of another one");
        assert!(bob.get("/").await.is_upstreams(), "it is another user's");
        assert!(personal_tokens::call(&bob, "/git", &kept).await.is_upstreams(), "it is of no browser");
        world.clock.advance(Duration::from_secs(20));
        let again = late.get(&path_of(&callback)).await.location();
        assert!(again.as_str().starts_with(world.idp.issuer()), "it is for the provider to say who is there now: {again}");
    }
}
