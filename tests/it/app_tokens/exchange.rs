//! Access tokens that are exchanged for those of other services (RFC 8693).

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;

use super::{
    job::{Job, error, request_of, token},
    refused, world,
};
use crate::harness::{
    World,
    eventually::eventually,
    idp::{CLIENT_ID, Endpoint, Misbehaviour},
    logs::lines_with,
};

const BILLING: &str = "?audience=billing";

async fn ready() -> (World, Job, String) {
    let world = world().start().await;
    let visitor = world.signed_in().await;
    let (assertion, _) = request_of(&world, &visitor, "/jobs").await;
    let job = Job::of(&world, 0);
    (world, job, assertion)
}

#[tokio::test]
async fn an_access_token_is_exchanged_for_an_audience_that_is_allowed_and_kept_for_the_next_job() {
    let (world, job, assertion) = ready().await;
    let own = token(&job.by_session(&assertion, "").await);
    let reply = job.by_session(&assertion, "?audience=billing&scope=read+write").await;
    let exchanged = token(&reply);
    assert!(exchanged.starts_with("xt-"), "{exchanged}");
    assert_eq!((&reply.json()["expires_in"], &reply.json()["scope"]), (&json!(120), &json!("read write")));
    let asked = world.idp.last_exchange();
    assert_eq!((asked["subject_token"].as_str(), asked["audience"].as_str()), (own.as_str(), "billing"));
    assert!(!asked.contains_key("resource") && asked["scope"] == "read write", "{asked:?}");
    assert_eq!(token(&job.by_session(&assertion, "?audience=billing&scope=read+write").await), exchanged);
    assert_eq!(world.idp.calls(Endpoint::Exchange), 1);
    assert_ne!(token(&job.by_session(&assertion, BILLING).await), exchanged, "other scopes are another token");
    token(&job.by_session(&assertion, "?resource=https://files.example/").await);
    assert_eq!(world.idp.last_exchange()["resource"], "https://files.example/");
    assert_eq!(world.idp.calls(Endpoint::Exchange), 3);
    assert!(!lines_with(&["an app got an access token of its user", "billing"]).is_empty());
    assert_eq!(error(&job.by_session(&assertion, "?audience=other").await), refused(403, "audience_not_allowed"));
    assert_eq!(error(&job.by_session(&assertion, &format!("?audience={CLIENT_ID}")).await), refused(403, "audience_not_allowed"));
    assert_eq!(world.idp.calls(Endpoint::Exchange), 3);
    world.clock.advance(Duration::from_secs(100));
    let newer = token(&job.by_session(&assertion, "?audience=billing&scope=read+write").await);
    assert_ne!(newer, exchanged, "20 s are left, and 30 are the least");
    assert_eq!(token(&job.by_session(&assertion, "?audience=billing&scope=read+write&min_validity=10").await), newer);
}

#[tokio::test]
async fn many_jobs_exchange_once() {
    let (world, job, assertion) = ready().await;
    world.idp.misbehave(Endpoint::Exchange, Misbehaviour::Held);
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (job, assertion) = (job.clone(), assertion.clone());
            tokio::spawn(async move { token(&job.by_session(&assertion, BILLING).await) })
        })
        .collect();
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Exchange) == 1).await;
    world.idp.behave(Endpoint::Exchange);
    let mut tokens = BTreeSet::new();
    for one in asked {
        tokens.insert(one.await.unwrap());
    }
    assert_eq!((tokens.len(), world.idp.calls(Endpoint::Exchange)), (1, 1));
}

#[tokio::test]
async fn a_renewal_drops_what_the_old_token_was_exchanged_for_and_the_session_s_end_ends_it() {
    let world = world().start().await;
    let visitor = world.signed_in().await;
    let (assertion, _) = request_of(&world, &visitor, "/jobs").await;
    let job = Job::of(&world, 0);
    let first = token(&job.by_session(&assertion, BILLING).await);
    let subject = world.idp.last_exchange()["subject_token"].clone();
    world.clock.advance(Duration::from_secs(301));
    let second = token(&job.by_session(&assertion, BILLING).await);
    assert_ne!(second, first);
    assert_ne!(world.idp.last_exchange()["subject_token"], subject, "the fresh access token is what is exchanged");
    let own = [("sec-fetch-site", "same-origin"), ("accept", "text/html")];
    visitor.send(http::Method::POST, "/oauth2/sign_out", &own, "").await.location();
    assert_eq!(error(&job.by_session(&assertion, BILLING).await), refused(401, "session_ended"));
}

#[tokio::test]
async fn what_the_provider_refuses_is_told_and_ends_nothing() {
    let (world, job, assertion) = ready().await;
    for (query, status, code) in [
        ("?audience=unknown", 400, "invalid_target"),
        ("?audience=billing&scope=admin", 400, "invalid_scope"),
        ("?audience=payroll", 403, "access_denied"),
    ] {
        for _ in 0..3 {
            assert_eq!(error(&job.by_session(&assertion, query).await), refused(status, code), "{query}");
        }
    }
    assert_eq!(world.idp.calls(Endpoint::Exchange), 3, "a refusal is remembered for a moment");
    world.clock.advance(Duration::from_secs(11));
    for (answer, status, code) in [
        ((400, "unsupported_grant_type"), 501, "exchange_not_supported"),
        ((400, "invalid_grant"), 502, "exchange_failed"),
        ((503, "temporarily_unavailable"), 503, "temporarily_unavailable"),
    ] {
        let body = json!({"error": answer.1}).to_string();
        world.idp.misbehave(Endpoint::Exchange, Misbehaviour::Answer(answer.0, body, vec![]));
        let reply = job.by_session(&assertion, BILLING).await;
        assert_eq!(error(&reply), refused(status, code), "{answer:?}");
        assert_eq!(reply.headers.contains_key("retry-after"), status == 503);
        world.clock.advance(Duration::from_secs(11));
    }
    world.idp.behave(Endpoint::Exchange);
    token(&job.by_session(&assertion, BILLING).await);
    token(&job.by_session(&assertion, "").await);
    assert!(!lines_with(&["an access token could not be exchanged", "invalid_grant"]).is_empty());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 0);
}
