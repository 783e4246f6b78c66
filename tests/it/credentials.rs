//! A client that the provider does not know, and what a provider says of its errors.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{CLIENT_SECRET, Endpoint, Idp, Misbehaviour},
    logs::lines_with,
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);

async fn renewals(visitor: &Visitor) -> i64 {
    visitor.fetch("/oauth2/userinfo").await.json()["renewals"].as_i64().unwrap_or_default()
}

#[tokio::test]
async fn a_refused_secret_is_told_by_either_code_and_the_other_is_tried_on_every_kind_of_call() {
    for code in ["unauthorized_client", "invalid_client", "access_denied"] {
        let world = World::build()
            .set("oidc_preset", "authelia")
            .set("oidc_client_secret", "the-new-one")
            .set("oidc_client_secret_previous", CLIENT_SECRET)
            .start_with(move |idp: &Idp| {
                idp.introspect(true);
                idp.refuse_clients_with(code);
            })
            .await;
        let visitor = world.signed_in().await;
        world.idp.change_secret("the-new-one");
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(renewals(&visitor).await, 1, "{code}");
        // Nothing of the next renewal reaches the provider, so that its token is asked about.
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(502, String::new(), vec![]));
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "served within the grace");
        let lost = "failed to renew OIDC token: status_502";
        eventually("the answer is lost", async || lines_with(&[world.idp.issuer(), lost]).len() == 1).await;
        world.idp.behave(Endpoint::Refresh);
        world.clock.advance(Duration::from_secs(91));
        world.idp.change_secret(CLIENT_SECRET);
        eventually("it is introspected with the other secret", async || {
            visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 2
        })
        .await;
        world.idp.change_secret("the-new-one");
        visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
        eventually("it is revoked with the other secret", async || !world.idp.has_live_refresh_token()).await;
        assert_eq!(world.idp.calls(Endpoint::Revocation), 2, "{code}: each secret once");
    }
}

#[tokio::test]
async fn a_corrected_client_secret_is_used_at_once_after_a_restart() {
    let mut world = World::build().on(Kind::Postgres).start().await;
    let visitor = world.signed_in().await;
    world.idp.change_secret("rotated");
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams(), "served within the grace");
    eventually("the client is refused", async || visitor.get("/oauth2/readyz").await.json()["client"] == "refused").await;
    world.restart_with(&[("oidc_client_secret", "rotated")]).await;
    let visitor = visitor.at(world.address());
    // No time has passed.
    eventually("it is renewed", async || visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 1).await;
}

#[tokio::test]
async fn what_the_provider_says_of_an_error_is_in_the_log_and_in_the_history_and_on_no_page() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let said = "DPoP proof is missing\n for this\u{7} client";
    let answer = json!({"error": "invalid_dpop_proof", "error_description": said}).to_string();
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(400, answer.clone(), vec![]));
    world.clock.advance(EXPIRED);
    visitor.get("/").await;
    let clean = "DPoP proof is missing for this client";
    eventually("it is logged", async || !lines_with(&[world.idp.issuer(), "failed to renew", clean]).is_empty()).await;
    for verb in ["why", "show"] {
        eventually("it is in the history", async || {
            world.command(&["sessions", verb, "ann@example.com"]).await.1.contains(clean)
        })
        .await;
    }
    // At a login too.
    world.idp.misbehave(Endpoint::Code, Misbehaviour::Answer(400, answer, vec![]));
    let stranger = world.visitor();
    let page = stranger.browse(&world.idp, "/").await;
    assert!(!page.is_upstreams() && !page.text().contains("DPoP"), "{}", page.text());
    eventually("it is logged", async || !lines_with(&["a login failed", clean]).is_empty()).await;
}

#[tokio::test]
async fn what_the_provider_says_of_a_login_that_it_refuses_is_in_the_log_and_on_no_page() {
    let world = World::start().await;
    let visitor = world.visitor();
    let to_provider = visitor.get("/").await.location();
    let query: std::collections::HashMap<_, _> = to_provider.query_pairs().into_owned().collect();
    let callback = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("error", "unauthorized_client")
        .append_pair("error_description", "Standard flow is disabled\r\nfor the client")
        .append_pair("state", &query["state"])
        .append_pair("iss", world.idp.issuer())
        .finish();
    let page = visitor.get(&format!("/oauth2/callback?{callback}")).await;
    assert!(!page.text().contains("Standard flow"), "{}", page.text());
    let said = "unauthorized_client: Standard flow is disabled for the client";
    eventually("it is logged", async || !lines_with(&["a login failed", said]).is_empty()).await;
}
