//! Providers that keep one refresh token for a user, whatever the number of browsers; and what presets know of rotation.

use std::time::Duration;

use http::{Method, StatusCode};

use evergate::seal::KeyRing;

use crate::harness::{
    Database, Kind, World,
    eventually::eventually,
    idp::{Endpoint, Idp, Misbehaviour, Offline, Rotation, user},
    logs::lines_with,
    visitor::{Visitor, path_of},
};

const EXPIRED: Duration = Duration::from_secs(301);

async fn google(kind: Kind) -> World {
    let prepare = |idp: &Idp| {
        idp.give_refresh_tokens(Offline::Consent);
        idp.rotate_as(Rotation::Reusable);
    };
    World::build().on(kind).set("oidc_preset", "google").start_with(prepare).await
}

async fn is_renewed(visitor: &Visitor) -> bool {
    visitor.fetch("/").await.is_upstreams() && visitor.fetch("/oauth2/userinfo").await.json()["renewable"] == true
}

#[tokio::test]
async fn a_login_without_a_refresh_token_joins_the_user_s_grant() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = google(kind).await;
        let first = world.visitor();
        let request = first.get("/").await.location();
        let asked: Vec<_> = request.query_pairs().into_owned().collect();
        assert!(asked.contains(&("access_type".to_owned(), "offline".to_owned())));
        assert!(!asked.iter().any(|(name, value)| name == "prompt" || value.contains("offline_access")), "{asked:?}");
        first.browse(&world.idp, "/").await;
        let second = world.visitor();
        second.browse(&world.idp, "/").await;
        assert_eq!(world.idp.prompts(), 1, "nobody is asked for consent again");
        world.clock.advance(EXPIRED);
        assert!(is_renewed(&first).await && is_renewed(&second).await);
        assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "one grant, one renewal");
        first.send(Method::POST, "/oauth2/sign_out", &[], "").await;
        assert_eq!(first.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        world.clock.advance(EXPIRED);
        assert!(is_renewed(&second).await, "a logout leaves the grant to whoever still uses it");
        second.send(Method::POST, "/oauth2/sign_out", &[], "").await;
        eventually("the last one revokes it", async || !world.idp.has_live_refresh_token()).await;
    }
}

#[tokio::test]
async fn a_login_joins_no_grant_whose_tokens_nobody_can_read() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = google(kind).await;
        let before = world.visitor();
        before.browse(&world.idp, "/").await;
        if let Database::Sqlite { directory } = &world.database {
            std::fs::remove_file(directory.path().join("token.key")).unwrap();
        }
        world.restart_with(&[("external_token_encryption_keys", &KeyRing::generate())]).await;
        let (before, fresh) = (before.at(world.address()), world.visitor());
        for visitor in [&fresh, &before] {
            assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
        }
        for _ in 0..2 {
            world.clock.advance(EXPIRED);
            assert!(is_renewed(&fresh).await, "by a refresh token that the provider was asked for");
        }
        assert_eq!(world.idp.prompts(), 2, "once for consent");
        world.clock.advance(Duration::from_secs(4 * 3600));
        assert!(before.browse(&world.idp, "/").await.is_upstreams());
        assert!(is_renewed(&before).await, "which the other browser's next login joins");
    }
}

#[tokio::test]
async fn a_login_joins_no_grant_that_the_provider_refuses() {
    let world = google(Kind::Sqlite).await;
    let before = world.visitor();
    before.browse(&world.idp, "/").await;
    let refusal = r#"{"error":"access_denied_by_policy"}"#.to_owned();
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(400, refusal, Vec::new()));
    world.clock.advance(EXPIRED);
    assert!(before.fetch("/").await.is_upstreams() && world.upstream.last().header("x-evergate-renewed-at").is_some());
    let fresh = world.visitor();
    assert!(fresh.browse(&world.idp, "/").await.is_upstreams());
    assert!(world.upstream.last().header("x-evergate-renewed-at").is_none(), "the login's own tokens count");
}

#[tokio::test]
async fn without_a_token_and_without_a_grant_to_join_the_browser_goes_back_once_for_consent() {
    let world = google(Kind::Sqlite).await;
    let visitor = world.visitor();
    visitor.browse(&world.idp, "/").await;
    // As after the loss of the database: the provider believes that we have a refresh token.
    world.sql("DELETE FROM grants").await;
    let (again, before) = (world.visitor(), world.idp.prompts());
    assert!(again.browse(&world.idp, "/here").await.is_upstreams());
    assert_eq!(world.idp.prompts(), before + 1);
    world.clock.advance(EXPIRED);
    assert!(is_renewed(&again).await);
}

#[tokio::test]
async fn whoever_refuses_consent_is_let_in_for_as_long_as_the_access_token_lives() {
    let world = google(Kind::Sqlite).await;
    world.visitor().browse(&world.idp, "/").await;
    world.sql("DELETE FROM grants").await;
    let visitor = world.visitor();
    let login = world.idp.authorize(&visitor.get("/").await.location()).await;
    let consent = visitor.get(&path_of(&login)).await.location();
    let query: std::collections::HashMap<_, _> = consent.query_pairs().into_owned().collect();
    assert_eq!(query["prompt"], "consent");
    let declined = format!("/oauth2/callback?error=access_denied&state={}&iss={}", query["state"], world.idp.issuer());
    assert_eq!(visitor.get(&declined).await.location().path(), "/");
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewable"], false);
}

#[tokio::test]
async fn a_login_that_kills_an_older_token_takes_its_sessions_over() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let prepare = |idp: &Idp| idp.give_refresh_tokens(Offline::Newest);
        let world = World::build().on(kind).set("oidc_preset", "dex").start_with(prepare).await;
        let (first, second) = (world.signed_in().await, world.signed_in().await);
        for _ in 0..2 {
            world.clock.advance(EXPIRED);
            assert!(is_renewed(&first).await && is_renewed(&second).await);
        }
        assert_eq!(world.idp.calls(Endpoint::Refresh), 2, "one grant, one renewal each time");
        assert!(lines_with(&[world.idp.issuer(), "failed to renew"]).is_empty());
    }
}

/// A world where a new login kills the user's refresh token, with a browser in it, and what another one comes back with from the
/// provider, which has killed that token and does not answer yet.
async fn login_under_way(kind: Kind) -> (World, Visitor, Visitor, String) {
    let prepare = |idp: &Idp| idp.give_refresh_tokens(Offline::Newest);
    let world = World::build().on(kind).set("oidc_preset", "dex").start_with(prepare).await;
    let (first, second) = (world.signed_in().await, world.visitor());
    let login = world.idp.authorize(&second.get("/").await.location()).await;
    world.idp.misbehave(Endpoint::Code, Misbehaviour::HeldAnswer);
    (world, first, second, path_of(&login))
}

#[tokio::test]
async fn of_two_logins_at_once_the_one_whose_code_came_last_is_kept_though_the_other_is_saved_last() {
    for (kind, is_renewed_meanwhile) in
        [(Kind::Sqlite, false), (Kind::Postgres, false), (Kind::Sqlite, true), (Kind::Postgres, true)]
    {
        let prepare = |idp: &Idp| idp.give_refresh_tokens(Offline::Newest);
        let world = World::build().on(kind).set("oidc_preset", "dex").start_with(prepare).await;
        let (laptop, phone) = (world.visitor(), world.visitor());
        let login = path_of(&world.idp.authorize(&laptop.get("/").await.location()).await);
        world.idp.misbehave(Endpoint::Code, Misbehaviour::HeldAnswer);
        let answered_late = tokio::spawn({
            let laptop = laptop.clone();
            async move { laptop.get(&login).await.status }
        });
        eventually("its code is presented", async || world.idp.calls(Endpoint::Code) == 1).await;
        world.idp.behave_from_now_on(Endpoint::Code);
        phone.log_in(&world.idp, "/").await;
        if is_renewed_meanwhile {
            world.clock.advance(EXPIRED);
            assert!(is_renewed(&phone).await);
        }
        assert!(!answered_late.is_finished());
        world.idp.behave(Endpoint::Code);
        assert_eq!(answered_late.await.unwrap(), StatusCode::SEE_OTHER);
        for _ in 0..2 {
            world.clock.advance(EXPIRED);
            assert!(is_renewed(&phone).await && is_renewed(&laptop).await);
        }
        assert!(lines_with(&[world.idp.issuer(), "failed to renew"]).is_empty(), "nobody was logged out");
    }
}

#[tokio::test]
async fn a_renewal_that_the_provider_puts_off_while_a_login_elsewhere_is_under_way_logs_nobody_out() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (world, first, second, login) = login_under_way(kind).await;
        let (codes, refreshes) = (world.idp.calls(Endpoint::Code), world.idp.calls(Endpoint::Refresh));
        let later = r#"{"error":"slow_down"}"#.to_owned();
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(429, later, Vec::new()));
        world.clock.advance(EXPIRED);
        let (_, there) = tokio::join!(
            async {
                eventually("the code is presented", async || world.idp.calls(Endpoint::Code) > codes).await;
                first.fetch("/").await;
                eventually("the renewal is put off", async || world.idp.calls(Endpoint::Refresh) > refreshes).await;
                world.idp.behave(Endpoint::Refresh);
                world.idp.behave(Endpoint::Code);
            },
            second.get(&login),
        );
        assert_eq!(there.status, StatusCode::SEE_OTHER);
        for _ in 0..2 {
            world.clock.advance(EXPIRED);
            for visitor in [&first, &second] {
                let is_stale = || world.upstream.last().header("x-evergate-renewed-at").is_some();
                eventually("it is renewed", async || visitor.fetch("/").await.is_upstreams() && !is_stale()).await;
            }
        }
    }
}

/// A world as of Dex, but with `prompt=none`, whose settings change when these users have logged in, each in a browser of their own.
async fn with_changed_settings(kind: Kind, users: [&str; 2]) -> (World, Visitor, Visitor) {
    let prepare = |idp: &Idp| idp.give_refresh_tokens(Offline::Newest);
    let scopes = "openid,profile,email,offline_access";
    let builder = World::build().on(kind).set("oidc_preset", "dex").set("oidc_silent_login", "true").set("oidc_scopes", scopes);
    let mut world = builder.start_with(prepare).await;
    let (first, second) = (world.visitor(), world.visitor());
    for (visitor, name) in [(&first, users[0]), (&second, users[1])] {
        world.idp.log_in_as(user(name));
        visitor.log_in(&world.idp, "/").await;
    }
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access,files")]).await;
    let address = world.address();
    (world, first.at(address), second.at(address))
}

#[tokio::test]
async fn a_silent_return_to_a_session_that_has_ended_leaves_its_token_to_the_user_s_other_browsers() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (world, leaves, stays) = with_changed_settings(kind, ["ann", "ann"]).await;
        let callback = path_of(&world.idp.authorize(&leaves.get("/").await.location()).await);
        leaves.copy().send(Method::POST, "/oauth2/sign_out", &[], "").await;
        let next = leaves.get(&callback).await.location();
        assert!(next.as_str().starts_with(world.idp.issuer()), "its user logs in: {next}");
        assert_eq!(world.idp.calls(Endpoint::Code), 3);
        world.clock.advance(EXPIRED);
        assert!(is_renewed(&stays).await);
    }
}

#[tokio::test]
async fn a_silent_return_as_another_user_leaves_its_token_to_that_user_s_browsers() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (world, ann, bob) = with_changed_settings(kind, ["ann", "bob"]).await;
        assert!(ann.browse(&world.idp, "/").await.is_upstreams());
        assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("sub-ann"));
        assert_eq!(world.idp.calls(Endpoint::Code), 3, "the provider knows Bob");
        world.clock.advance(EXPIRED);
        assert!(is_renewed(&bob).await && is_renewed(&ann).await);
    }
}

#[tokio::test]
async fn a_request_that_is_refused_while_a_login_elsewhere_is_under_way_is_served_with_its_grant() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (world, first, second, login) = login_under_way(kind).await;
        let (codes, refreshes) = (world.idp.calls(Endpoint::Code), world.idp.calls(Endpoint::Refresh));
        world.clock.advance(EXPIRED);
        let idp = &world.idp;
        let (here, _, there) = tokio::join!(
            async {
                eventually("the code is presented", async || idp.calls(Endpoint::Code) > codes).await;
                first.fetch("/").await
            },
            async {
                eventually("the token is presented", async || idp.calls(Endpoint::Refresh) > refreshes).await;
                idp.behave(Endpoint::Code);
            },
            second.get(&login),
        );
        assert_eq!((here.status, there.status), (StatusCode::OK, StatusCode::SEE_OTHER));
        assert!(is_renewed(&first).await && is_renewed(&second).await);
        assert!(lines_with(&[world.idp.issuer(), "failed to renew"]).is_empty(), "nobody was logged out");
        eventually("the history says so", async || {
            world.command(&["sessions", "show", "sub-ann"]).await.1.contains("replaced_by_a_login")
        })
        .await;
        let (_, why) = world.command(&["sessions", "why", "sub-ann"]).await;
        assert!(!why.contains("refused"), "{why}");
    }
}

#[tokio::test]
async fn a_session_that_a_login_under_way_has_ended_goes_on_when_that_is_saved() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (world, first, second, login) = login_under_way(kind).await;
        let codes = world.idp.calls(Endpoint::Code);
        world.clock.advance(EXPIRED);
        let (here, there) = tokio::join!(
            async {
                eventually("the code is presented", async || world.idp.calls(Endpoint::Code) > codes).await;
                let here = first.fetch("/").await;
                world.idp.behave(Endpoint::Code);
                here
            },
            second.get(&login),
        );
        assert_eq!((here.status, there.status), (StatusCode::UNAUTHORIZED, StatusCode::SEE_OTHER));
        assert!(is_renewed(&first).await && is_renewed(&second).await);
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_within_the_provider_s_grace_and_not_after() {
    let prepare = |idp: &Idp| idp.rotate_as(Rotation::Grace(Duration::from_secs(60)));
    for within in [true, false] {
        let world = World::build().set("oidc_refresh_token_grace", "60s").start_with(prepare).await;
        let visitor = world.signed_in().await;
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::WorkThenAnswer(502, String::new()));
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "served within the outage grace");
        world.idp.behave(Endpoint::Refresh);
        world.clock.advance(Duration::from_secs(2));
        if within {
            eventually("it is renewed by the same token", async || {
                visitor.get("/").await.is_upstreams() && visitor.fetch("/oauth2/userinfo").await.json()["renewals"] == 2
            })
            .await;
            assert_eq!(world.idp.passes(), 1);
        } else {
            // Time that passes on the database's clock.
            world.sql("UPDATE grants SET presented_at = presented_at - 60000").await;
            world.clock.advance(Duration::from_secs(90));
            eventually("it is given up", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
            assert_eq!(world.idp.calls(Endpoint::Refresh), 2, "never presented again");
            assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
            assert_eq!(world.idp.prompts(), 1, "and nobody notices");
        }
    }
}

#[tokio::test]
async fn a_session_whose_grant_the_provider_ended_is_not_revived_by_a_login_elsewhere() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let prepare = |idp: &Idp| idp.give_refresh_tokens(Offline::Newest);
        let world = World::build().on(kind).set("oidc_preset", "dex").start_with(prepare).await;
        let stolen = world.signed_in().await;
        world.idp.kill_grants();
        world.clock.advance(EXPIRED);
        assert_eq!(stolen.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        let own = world.signed_in().await;
        assert!(is_renewed(&own).await);
        assert_eq!(stolen.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    }
}
