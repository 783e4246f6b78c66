//! The rules of token refresh that no other module tests. The number in a test's comment, as in RF-02, is the
//! rule's number in `docs/renewal.md#rules-by-number`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use evergate::timings::Timings;
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, Rotation, user},
    logs::lines_with,
};

const EXPIRED: Duration = Duration::from_secs(301);

#[test]
fn every_rule_has_a_test_whose_comment_names_it() {
    let sources = [
        "it/renewal.rs",
        "it/renewal_failures.rs",
        "it/renewal_failures/lost_answers.rs",
        "it/renewal_failures/outages.rs",
        "it/replicas.rs",
        "heavy/crash.rs",
        "heavy/storm.rs",
        "it/back_channel_logout.rs",
        "it/long_lived.rs",
        "it/rules.rs",
    ]
    .map(|file| std::fs::read_to_string(format!("{}/tests/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap());
    let named: BTreeSet<u32> = sources
        .iter()
        .flat_map(|source| source.lines())
        .filter(|line| line.trim_start().starts_with("///"))
        .flat_map(|line| line.split("RF-").skip(1).filter_map(|rest| rest.get(..2)?.parse().ok()))
        .collect();
    let missing: Vec<u32> = (1..=28).filter(|rule| !named.contains(rule)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// RF-02: as RF-01, with a provider that takes longer than a request waits.
#[tokio::test]
async fn a_provider_that_takes_longer_than_requests_wait_is_asked_once() {
    let quick = |timings: &mut Timings| timings.blocking_refresh_wait = Duration::from_secs(1);
    let world = World::build().replicas(2).set("oidc_outage_grace", "0").timed(quick).start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let (here, there) = (visitor.clone(), visitor.at(world.replicas[1].address));
    let (first, second) = tokio::join!(here.fetch_at_once(10, "/"), there.fetch_at_once(10, "/"));
    for reply in first.iter().chain(&second) {
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "an honest answer when the wait is over");
        assert!(!reply.header("retry-after").is_empty());
    }
    world.idp.behave(Endpoint::Refresh);
    eventually("the renewal lands", async || here.fetch("/").await.is_upstreams() && there.fetch("/").await.is_upstreams()).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

/// RF-12: a response without a refresh token.
#[tokio::test]
async fn an_answer_without_a_refresh_token_keeps_the_one_that_we_have() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start_with(|idp| idp.rotate_as(Rotation::Single)).await;
        let visitor = world.signed_in().await;
        for _ in 0..3 {
            world.clock.advance(EXPIRED);
            assert!(visitor.get("/").await.is_upstreams());
            assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewable"], true);
        }
    }
}

/// RF-13: a response with the same refresh token.
#[tokio::test]
async fn an_answer_with_the_same_refresh_token_is_as_good() {
    let world = World::build().start_with(|idp| idp.rotate_as(Rotation::Reusable)).await;
    let first = Arc::new(Mutex::new(Value::Null));
    world.idp.edit_answer(move |answer| {
        let mut first = first.lock().unwrap();
        if first.is_null() {
            *first = answer["refresh_token"].clone();
        }
        answer["refresh_token"] = first.clone();
    });
    let visitor = world.signed_in().await;
    for renewals in 1..=3 {
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewals"], renewals);
    }
}

/// RF-17: a response with a narrower `scope`.
#[tokio::test]
async fn a_narrower_scope_is_noted_and_no_error() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.edit_answer(|answer| answer["scope"] = json!("openid"));
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
}

/// RF-18: `token_type` in other letters, or an unknown one.
#[tokio::test]
async fn a_token_type_is_read_in_any_case_and_an_unknown_one_is_not_used() {
    for (kind, good) in [("bearer", true), ("BEARER", true), ("DPoP", false), ("mac", false)] {
        let world = World::build().start_with(|idp| idp.rotate_as(Rotation::Reusable)).await;
        let visitor = world.signed_in().await;
        world.idp.edit_answer(move |answer| answer["token_type"] = json!(kind));
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "{kind}: served, within the grace if need be");
        assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewals"], i64::from(good), "{kind}");
    }
}

/// RF-22: a session reaches its limit during a refresh.
#[tokio::test]
async fn a_session_that_reaches_its_limit_during_a_renewal_is_not_prolonged_by_it() {
    // No sweep takes it away before a request meets its limit.
    let build = World::build().timed(|timings| timings.housekeeping_interval = Duration::from_secs(3600));
    let world = build.set("session_max_duration", "280s").start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(Duration::from_secs(275));
    assert!(visitor.get("/").await.is_upstreams());
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    world.clock.advance(Duration::from_secs(6));
    world.idp.behave(Endpoint::Refresh);
    eventually("the renewal is over", async || world.idp.at_once() == 0).await;
    let refused = visitor.fetch("/").await;
    assert_eq!((refused.status, refused.json()["reason"].clone()), (StatusCode::UNAUTHORIZED, json!("session_expired")));
}

/// RF-24: the clock jumps during a session.
#[tokio::test]
async fn a_clock_that_jumps_ends_no_session_early_and_makes_none_immortal() {
    let world = World::build().set("session_duration", "3h").start().await;
    let visitor = world.signed_in().await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(2 * 3600));
        assert!(visitor.get("/").await.is_upstreams(), "renewed and served");
    }
    // Back to where it was: what looks as if it were of the future is neither refused nor believed for ever.
    world.sql("UPDATE grants SET expires_at = expires_at + 7200000, renewed_at = renewed_at + 7200000, presented_at = presented_at - 60000").await;
    world.sql("UPDATE sessions SET last_seen = last_seen + 7200000, created_at = created_at + 7200000").await;
    let before = world.idp.calls(Endpoint::Refresh);
    assert!(visitor.get("/").await.is_upstreams());
    eventually("a token of the future is renewed", async || {
        visitor.get("/").await;
        world.idp.calls(Endpoint::Refresh) > before
    })
    .await;
    world.clock.advance(Duration::from_secs(6 * 3600));
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "and the session ends when nobody uses it");
}

/// RF-15: somebody else answers in the provider's place: a firewall, a page of maintenance, a redirect to one.
#[tokio::test]
async fn a_refusal_that_is_not_the_provider_s_sends_nobody_to_a_login() {
    for (status, headers) in [(403, vec![]), (302, vec![("location", "http://127.0.0.1:1/maintenance")]), (400, vec![])] {
        let world = World::build().set("oidc_outage_grace", "60s").start().await;
        let visitor = world.signed_in().await;
        let answer = || Misbehaviour::Answer(status, "<html>".to_owned(), headers.clone());
        world.idp.misbehave(Endpoint::Refresh, answer());
        world.idp.misbehave(Endpoint::Probe, answer());
        world.clock.advance(Duration::from_secs(301));
        for _ in 0..3 {
            assert!(visitor.get("/page").await.is_upstreams(), "{status}: served within the grace");
        }
        world.clock.advance(Duration::from_secs(61));
        for reply in [visitor.get("/page").await, visitor.fetch("/").await] {
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{status}: {}", reply.text());
        }
        world.idp.behave(Endpoint::Refresh);
        world.idp.behave(Endpoint::Probe);
        eventually("it comes back by itself", async || {
            world.clock.advance(Duration::from_secs(1));
            visitor.get("/page").await.is_upstreams()
        })
        .await;
        assert_eq!(world.idp.passes(), 1, "{status}: the login alone");
    }
}

#[tokio::test]
async fn a_refusal_without_a_code_is_the_grant_s_where_the_provider_answers_others_by_the_protocol() {
    let world = World::build().set("oidc_outage_grace", "60s").start().await;
    let visitor = world.signed_in().await;
    let answer = |body: &str| Misbehaviour::Answer(400, body.to_owned(), vec![]);
    world.idp.misbehave(Endpoint::Refresh, answer(r#"{"message":"no"}"#));
    world.idp.misbehave(Endpoint::Probe, answer(r#"{"error":"invalid_grant"}"#));
    world.clock.advance(Duration::from_secs(362));
    eventually("its user is sent to the provider", async || {
        world.clock.advance(Duration::from_secs(1));
        visitor.get("/page").await.status == StatusCode::SEE_OTHER
    })
    .await;
    world.idp.behave(Endpoint::Refresh);
    world.idp.behave(Endpoint::Probe);
    assert!(visitor.browse(&world.idp, "/page").await.is_upstreams());
}

#[tokio::test]
async fn what_a_provider_refuses_one_grant_without_saying_so_stops_no_other_user() {
    let refusals = [
        (401, "", vec![]),
        (401, r#"{"error":"session_not_found"}"#, vec![]),
        (403, "", vec![("retry-after", "30")]),
        (400, "", vec![("retry-after", "30")]),
    ];
    for (status, body, headers) in refusals {
        let world = World::build().set("oidc_outage_grace", "0").start().await;
        let ann = world.signed_in().await;
        world.idp.log_in_as(user("bob"));
        let bob = world.signed_in().await;
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(status, body.to_owned(), headers));
        world.idp.misbehave(Endpoint::Probe, Misbehaviour::Answer(400, r#"{"error":"invalid_grant"}"#.to_owned(), vec![]));
        world.clock.advance(Duration::from_secs(301));
        assert!(!ann.fetch("/").await.is_upstreams(), "{status} {body}: hers is refused, and there is no grace");
        world.idp.behave(Endpoint::Refresh);
        let served = bob.fetch("/").await;
        assert!(served.is_upstreams(), "{status} {body}: his is not: {}", served.text());
        assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["client"], "ok", "{status} {body}");
    }
}

#[tokio::test]
async fn a_client_that_is_refused_without_a_code_is_refused_for_everybody() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    for endpoint in [Endpoint::Refresh, Endpoint::Probe] {
        world.idp.misbehave(endpoint, Misbehaviour::Answer(401, String::new(), vec![]));
    }
    world.clock.advance(Duration::from_secs(301));
    assert!(visitor.get("/").await.is_upstreams(), "served within the grace");
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["client"], "refused");
}

/// RF-26: a token is copied to another row.
#[tokio::test]
async fn a_token_that_is_copied_from_one_row_to_another_cannot_be_opened() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).set("pass_access_token", "true").start().await;
        let ann = world.signed_in().await;
        world.idp.log_in_as(user("bob"));
        let bob = world.signed_in().await;
        assert!(bob.get("/").await.is_upstreams());
        let token = || world.upstream.last().header("x-forwarded-access-token").map(str::to_owned);
        let bobs = token();
        world
            .sql("UPDATE grants SET access_token = (SELECT access_token FROM grants WHERE subject = 'sub-bob') WHERE subject = 'sub-ann'")
            .await;
        assert!(ann.fetch("/").await.is_upstreams(), "she is not logged out");
        assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("sub-ann"), "nor served as somebody else");
        assert!(
            world.idp.calls(Endpoint::Refresh) == 1 && token().is_some() && token() != bobs,
            "her refresh token brings another"
        );
        assert!(bob.get("/").await.is_upstreams());
    }
}

/// Has the gateway read the grants anew, as they are `after` a statement.
async fn read_anew(world: &mut World, after: &'static str) {
    world.sql(after).await;
    world.restart_with(&[]).await;
}

/// RF-26: whatever is left of it.
#[tokio::test]
async fn a_grant_of_which_any_token_cannot_be_opened_is_renewed_or_its_user_goes_on_with_another_grant() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        let renewed =
            ["UPDATE grants SET access_token = substr(access_token, 1, 3)", "UPDATE grants SET access_token = refresh_token"];
        for (statement, refreshes) in renewed.into_iter().zip(1..) {
            read_anew(&mut world, statement).await;
            assert!(visitor.at(world.address()).get("/").await.is_upstreams(), "{statement}");
            assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.passes()), (refreshes, 1), "{statement}");
        }
        let replaced = [
            "UPDATE grants SET refresh_token = substr(refresh_token, 1, 3)",
            "UPDATE grants SET refresh_token = access_token",
            "UPDATE grants SET refresh_token = NULL, access_token = substr(access_token, 1, 3)",
        ];
        for (statement, passes) in replaced.into_iter().zip(2..) {
            read_anew(&mut world, statement).await;
            world.clock.advance(EXPIRED);
            assert!(visitor.at(world.address()).browse(&world.idp, "/").await.is_upstreams(), "{statement}");
            assert_eq!(world.idp.passes(), passes, "{statement}");
        }
        assert_eq!(world.idp.prompts(), 1);
    }
}

#[tokio::test]
async fn a_grant_of_which_something_cannot_be_read_sends_its_user_to_a_silent_login_at_most() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        read_anew(&mut world, "UPDATE grants SET rotation = 'newer'").await;
        world.clock.advance(EXPIRED);
        assert!(visitor.at(world.address()).get("/").await.is_upstreams());
        assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.passes()), (1, 1));
        for (statement, passes) in
            ["UPDATE grants SET identity = '{'", "UPDATE grants SET ended_reason = 'newer'"].into_iter().zip(2..)
        {
            // A login that does not last is not made again at once.
            world.clock.advance(EXPIRED);
            read_anew(&mut world, statement).await;
            let there = visitor.at(world.address());
            assert_eq!(there.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{statement}");
            let (code, listed) = world.command(&["sessions", "list"]).await;
            assert_eq!(code, 0, "{statement}: {listed}");
            assert!(there.browse(&world.idp, "/").await.is_upstreams(), "{statement}");
            assert_eq!(world.idp.passes(), passes, "{statement}");
        }
        assert_eq!(world.idp.prompts(), 1);
    }
}

/// RF-26: the same of a refresh token, without which the identity is whole.
#[tokio::test]
async fn a_refresh_token_that_cannot_be_opened_is_not_presented_and_its_user_goes_on_with_another_grant() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let ann = world.signed_in().await;
        world.idp.log_in_as(user("bob"));
        let bob = world.signed_in().await;
        world.idp.log_in_as(user("ann"));
        world
            .sql("UPDATE grants SET refresh_token = (SELECT refresh_token FROM grants WHERE subject = 'sub-bob') WHERE subject = 'sub-ann'")
            .await;
        world.clock.advance(Duration::from_secs(280));
        assert!(ann.fetch("/").await.is_upstreams(), "her access token lives");
        eventually("it is in the history", async || {
            world.command(&["sessions", "show", "ann@example.com"]).await.1.contains("key_lost")
        })
        .await;
        assert!(ann.fetch("/").await.is_upstreams(), "her access token lives on");
        assert_eq!(ann.get("/oauth2/signed_out").await.header("evergate-response"), "sign_out", "she is not signed out");
        assert_eq!(lines_with(&[world.idp.issuer(), "failed to renew OIDC token: key_lost"]).len(), 1);
        world.clock.advance(EXPIRED);
        let (session, passes) = (ann.session(), world.idp.passes());
        assert!(ann.browse(&world.idp, "/").await.is_upstreams());
        assert_eq!((ann.session(), world.idp.passes(), world.idp.prompts()), (session, passes + 1, 2), "silently");
        assert!(bob.get("/").await.is_upstreams());
        assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "his alone");
    }
}
