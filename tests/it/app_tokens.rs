//! Apps' jobs get their users' access tokens, on a listener of their own.

mod exchange;
pub(crate) mod job;

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use serde_json::json;

use crate::harness::{
    Builder, Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, user},
    logs::lines_with,
    visitor::Visitor,
};

use job::{Job, SECRET, error, request_of, token};

const ROUTES: &str = r#"
    [[route]]
    path = "/jobs"
    assertion = true
    app_tokens = true
    pass_access_token = true

    [[route]]
    path = "/staff"
    assertion = true
    app_tokens = true
    groups = ["staff"]

    [[route]]
    path = "/others"
    assertion = true
"#;

const HOUR: Duration = Duration::from_secs(3600);

fn world() -> Builder {
    World::build()
        .routes(|_| ROUTES.to_owned())
        .set("app_token_address", "127.0.0.1:0")
        .set("app_token_secret", SECRET)
        .set("app_token_audiences", "billing,payroll,unknown,https://files.example/")
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_job_gets_the_access_token_of_the_session_whose_request_it_works_for() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.sock");
        let address = format!("unix:{}", path.display());
        let world = World::build().on(kind).routes(|_| ROUTES.to_owned()).set("app_token_address", &address).start().await;
        world.idp.edit_answer(|answer| answer["scope"] = json!("openid read"));
        let (visitor, job) = (world.signed_in().await, Job::Unix(path));
        let (assertion, forwarded) = request_of(&world, &visitor, "/jobs/1").await;
        let reply = job.by_session(&assertion, "").await;
        assert_eq!(token(&reply), forwarded);
        let answer = reply.json();
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(300)));
        assert_eq!(answer["scope"], "openid read");
        assert_eq!((reply.header("cache-control"), reply.header("content-type")), ("no-store", "application/json"));
        assert_eq!(token(&job.by_session(&assertion, "").await), forwarded);
        assert_eq!(world.metric(0, "evergate_app_tokens_total"), 2.0);
        assert!(!lines_with(&["an app got an access token of its user", "https://app.test/jobs", "session"]).is_empty());
        eventually("the history has it, once for each token", async || {
            let (_, text) = world.command(&["sessions", "show", "sub-ann", "--json"]).await;
            text.matches("\"app_token\"").count() == 1 && text.contains("route https://app.test/jobs")
        })
        .await;
        let bob = Visitor::of(world.address(), user("bob"));
        bob.log_in(&world.idp, "/").await;
        let (assertion, of_bob) = request_of(&world, &bob, "/jobs").await;
        assert_eq!(token(&job.by_session(&assertion, "").await), of_bob);
        assert_ne!(of_bob, forwarded);
    }
}

#[tokio::test]
async fn the_token_is_fresh_however_old_the_assertion_is_and_as_long_lived_as_the_job_needs() {
    let world = world().set("session_duration", "60d").set("session_max_duration", "90d").start().await;
    let (visitor, job) = (world.signed_in().await, Job::of(&world, 0));
    let (assertion, first) = request_of(&world, &visitor, "/jobs").await;
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(token(&job.by_session(&assertion, "").await), first, "180 s of its life are left");
    assert_eq!(token(&job.by_session(&assertion, "?min_validity=100").await), first);
    let second = job.by_session(&assertion, "?min_validity=3600").await;
    assert_eq!(token(&second), first, "more than half of any token's life is left");
    world.clock.advance(Duration::from_secs(60));
    let third = job.by_session(&assertion, "?min_validity=3600").await;
    assert_ne!(token(&third), first);
    assert_eq!(third.json()["expires_in"], 300);
    for _ in 0..3 {
        assert_eq!(token(&job.by_session(&assertion, "?min_validity=3600").await), token(&third), "and not at each request");
    }
    world.clock.advance(HOUR * 24 * 30);
    let later = token(&job.by_session(&assertion, "").await);
    assert_ne!(later, token(&third));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
    assert_eq!(request_of(&world, &visitor, "/jobs").await.1, later, "it is the one that requests get");
}

#[tokio::test]
async fn jobs_and_requests_at_two_replicas_refresh_a_token_once() {
    let world = world().replicas(2).start().await;
    let visitor = world.signed_in().await;
    let (assertion, first) = request_of(&world, &visitor, "/jobs").await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(Duration::from_secs(301));
    let asked: Vec<_> = (0..8)
        .map(|number| {
            let (job, assertion) = (Job::of(&world, number % 2), assertion.clone());
            tokio::spawn(async move { token(&job.by_session(&assertion, "").await) })
        })
        .collect();
    let browser = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.fetch("/jobs").await.is_upstreams() }
    });
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    world.idp.behave(Endpoint::Refresh);
    let mut tokens = BTreeSet::new();
    for one in asked {
        tokens.insert(one.await.unwrap());
    }
    assert!(browser.await.unwrap());
    assert!(tokens.len() == 1 && !tokens.contains(&first));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn a_session_s_end_ends_its_tokens_on_every_replica() {
    let world = world().replicas(2).start().await;
    let visitor = world.signed_in().await;
    let (assertion, _) = request_of(&world, &visitor, "/jobs").await;
    let jobs = [Job::of(&world, 0), Job::of(&world, 1)];
    for job in &jobs {
        token(&job.by_session(&assertion, "").await);
    }
    let own = [("sec-fetch-site", "same-origin"), ("accept", "text/html")];
    visitor.send(Method::POST, "/oauth2/sign_out", &own, "").await.location();
    for job in &jobs {
        eventually("the session has ended here too", async || {
            error(&job.by_session(&assertion, "").await) == refused(401, "session_ended")
        })
        .await;
    }
    // Another session of theirs is another one.
    world.signed_in().await;
    assert_eq!(error(&jobs[0].by_session(&assertion, "").await), refused(401, "session_ended"));
}

#[tokio::test]
async fn a_job_keeps_no_session_alive_and_a_dead_grant_gives_no_more() {
    let world = world().set("session_duration", "1h").start().await;
    let (visitor, job) = (world.signed_in().await, Job::of(&world, 0));
    let (assertion, _) = request_of(&world, &visitor, "/jobs").await;
    for _ in 0..3 {
        world.clock.advance(HOUR / 3);
        token(&job.by_session(&assertion, "").await);
    }
    world.clock.advance(HOUR / 3);
    assert_eq!(error(&job.by_session(&assertion, "").await), refused(401, "session_ended"));
    let other = world.signed_in().await;
    let (assertion, _) = request_of(&world, &other, "/jobs").await;
    world.idp.kill_grants();
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(error(&job.by_session(&assertion, "").await), refused(401, "session_ended"));
}

#[tokio::test]
async fn an_outage_of_the_provider_or_of_the_store_ends_nothing_and_passes() {
    let world = world().on(Kind::Postgres).set("app_token_by_user", "true").start().await;
    let (visitor, job) = (world.signed_in().await, Job::of(&world, 0));
    let (assertion, first) = request_of(&world, &visitor, "/jobs").await;
    token(&job.by_session(&assertion, "").await);
    let store = world.store_line.as_ref().unwrap();
    store.cut();
    eventually("the store is away", async || world.visitor().get("/oauth2/readyz").await.json()["store"] == "unavailable").await;
    assert_eq!(token(&job.by_session(&assertion, "").await), first, "a known session's token lives");
    let by_user = job.by_user("sub-ann").await;
    assert_eq!(error(&by_user), refused(503, "temporarily_unavailable"));
    assert!(!by_user.header("retry-after").is_empty());
    store.mend();
    eventually("the store is back", async || job.by_user("sub-ann").await.status == 200).await;
    let unavailable = json!({"error": "temporarily_unavailable"}).to_string();
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, unavailable, vec![]));
    world.clock.advance(Duration::from_secs(301));
    let away = job.by_session(&assertion, "").await;
    assert_eq!(error(&away), refused(503, "temporarily_unavailable"));
    assert!(away.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(visitor.fetch("/jobs").await.is_upstreams(), "requests are served with the last identity, and tokens are not");
    assert_eq!(error(&job.by_session(&assertion, "").await), refused(503, "temporarily_unavailable"));
    world.idp.behave(Endpoint::Refresh);
    eventually("the provider is back", async || {
        world.clock.advance(Duration::from_secs(5));
        job.by_session(&assertion, "").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn an_app_gets_tokens_of_its_own_requests_and_of_users_who_may_use_it() {
    let world = world().start().await;
    let (visitor, job) = (world.signed_in().await, Job::of(&world, 0));
    let (of_staff, _) = request_of(&world, &visitor, "/staff").await;
    let (of_others, _) = request_of(&world, &visitor, "/others").await;
    token(&job.by_session(&of_staff, "").await);
    assert_eq!(error(&job.by_session(&of_others, "").await), refused(403, "route_not_allowed"));
    let (body, _) = of_staff.rsplit_once('.').unwrap();
    for forged in [format!("{body}.AAAA"), "x.y.z".to_owned(), "nothing".to_owned()] {
        assert_eq!(error(&job.by_session(&forged, "").await), refused(401, "invalid_assertion"));
    }
    world.idp.edit_id_token(|claims| claims["groups"] = json!(["visitors"]));
    world.idp.edit_userinfo(|claims| claims["groups"] = json!(["visitors"]));
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(error(&job.by_session(&of_staff, "").await), refused(403, "user_not_allowed"), "nobody is told who has left");
    let (of_jobs, _) = request_of(&world, &visitor, "/jobs").await;
    token(&job.by_session(&of_jobs, "").await);
}

#[tokio::test]
async fn a_user_may_be_asked_for_where_that_is_allowed_and_has_to_have_a_session() {
    let strict = world().start().await;
    strict.signed_in().await;
    assert_eq!(error(&Job::of(&strict, 0).by_user("sub-ann").await), refused(403, "by_user_not_allowed"));
    drop(strict);
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("app_token_by_user", "true").set("session_duration", "1h").start().await;
        let job = Job::of(&world, 0);
        assert_eq!(error(&job.by_user("sub-ann").await), refused(404, "unknown_user"));
        let older = world.signed_in().await;
        let (_, of_older) = request_of(&world, &older, "/jobs").await;
        assert_eq!(token(&job.by_user("sub-ann").await), of_older);
        world.clock.advance(Duration::from_secs(60));
        let newer = world.signed_in().await;
        let (_, of_newer) = request_of(&world, &newer, "/jobs").await;
        assert_ne!(of_newer, of_older);
        assert_eq!(token(&job.by_user("sub-ann").await), of_newer, "the newest of those that live");
        let own = [("sec-fetch-site", "same-origin"), ("accept", "text/html")];
        newer.send(Method::POST, "/oauth2/sign_out", &own, "").await.location();
        eventually("the newest that is left", async || token(&job.by_user("sub-ann").await) == of_older).await;
        for name in ["ann", "ann@example.com", "sub-bob"] {
            assert_eq!(error(&job.by_user(name).await), refused(404, "unknown_user"), "{name} is no subject");
        }
        let at = |issuer: &str| format!("/oauth2/token?subject=sub-ann&issuer={issuer}");
        let usual = job.usual_headers();
        assert_eq!(token(&job.send(Method::GET, &at(world.idp.issuer()), &usual).await), of_older);
        let elsewhere = job.send(Method::GET, &at("https://other.example"), &usual).await;
        assert_eq!(error(&elsewhere), refused(404, "unknown_user"));
        world.clock.advance(HOUR * 2);
        assert_eq!(error(&job.by_user("sub-ann").await), refused(404, "unknown_user"), "no job outlives its user's sessions");
    }
}

#[tokio::test]
async fn a_job_by_user_finds_a_user_whose_outcome_is_unknown_until_their_token_expires() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = world().on(kind).set("app_token_by_user", "true").start().await;
        let older = world.signed_in().await;
        let (_, of_older) = request_of(&world, &older, "/jobs").await;
        world.clock.advance(Duration::from_secs(60));
        let newer = world.signed_in().await;
        let (_, of_newer) = request_of(&world, &newer, "/jobs").await;
        world
            .sql("UPDATE grants SET ended_reason = 'outcome_unknown' WHERE expires_at = (SELECT MAX(expires_at) FROM grants)")
            .await;
        // A gateway that starts remembers nothing.
        world.restart_with(&[]).await;
        assert_eq!(token(&Job::of(&world, 0).by_user("sub-ann").await), of_older, "one that can be renewed comes first");
        world.sql("UPDATE grants SET ended_reason = 'outcome_unknown'").await;
        world.restart_with(&[]).await;
        let job = Job::of(&world, 0);
        assert_eq!(token(&job.by_user("sub-ann").await), of_newer, "the one that lives longest");
        world.clock.advance(Duration::from_secs(301));
        assert_eq!(error(&job.by_user("sub-ann").await), refused(404, "unknown_user"));
    }
}

#[tokio::test]
async fn on_loopback_a_secret_and_the_listener_s_name_are_asked_for_and_no_browser_is_answered() {
    let world = world().set("app_token_by_user", "true").start().await;
    world.signed_in().await;
    let (job, target) = (Job::of(&world, 0), "/oauth2/token?subject=sub-ann");
    let with = |name: &'static str, value: &str| {
        let mut headers = job.usual_headers();
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value.to_owned()));
        headers
    };
    for (headers, status, code) in [
        (with("authorization", "Bearer another-secret-of-32-characters-or-more"), 401, "invalid_client"),
        (with("authorization", "none"), 401, "invalid_client"),
        (with("host", "rebound.example"), 421, "wrong_host"),
        (with("origin", "https://evil.example"), 403, "browser_refused"),
        (with("sec-fetch-site", "same-origin"), 403, "browser_refused"),
    ] {
        let reply = job.send(Method::GET, target, &headers).await;
        assert_eq!(error(&reply), refused(status, code));
        assert_eq!(reply.headers.contains_key("www-authenticate"), status == 401);
    }
    let usual = job.usual_headers();
    assert_eq!(error(&job.send(Method::POST, target, &usual).await), refused(405, "method_not_allowed"));
    assert_eq!(error(&job.send(Method::GET, "/oauth2/userinfo", &usual).await), refused(404, "not_found"));
    assert_eq!(error(&job.send(Method::GET, "/oauth2/token", &usual).await), refused(400, "invalid_request"));
    token(&job.send(Method::GET, target, &usual).await);
}

#[tokio::test]
async fn the_public_listener_knows_nothing_of_tokens() {
    let world = world().set("app_token_by_user", "true").start().await;
    let visitor = world.signed_in().await;
    let (assertion, _) = request_of(&world, &visitor, "/jobs").await;
    let secret = format!("Bearer {SECRET}");
    let headers = [("authorization", secret.as_str()), ("x-evergate-assertion", &assertion), ("accept", "application/json")];
    for browser in [&visitor, &world.visitor()] {
        let [reply, unknown] = [
            browser.send(Method::GET, "/oauth2/token?subject=sub-ann", &headers, "").await,
            browser.send(Method::GET, "/oauth2/nothing?subject=sub-ann", &headers, "").await,
        ];
        assert_eq!((reply.status, unknown.status), (http::StatusCode::NOT_FOUND, http::StatusCode::NOT_FOUND));
        assert_eq!(reply.header("evergate-response"), unknown.header("evergate-response"));
    }
}
