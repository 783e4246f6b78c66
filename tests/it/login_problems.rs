//! Logins that cannot begin, or that bring less than was asked for: who is told what.

use http::StatusCode;
use serde_json::json;

use crate::harness::{
    World,
    eventually::eventually,
    idp::{Endpoint, Idp, Misbehaviour, Offline},
    logs::lines_with,
};

#[tokio::test]
async fn what_only_an_administrator_can_mend_is_told_as_that_and_can_be_tried_again() {
    for metadata in [json!({"issuer": "https://evil.example"}), json!({"token_endpoint": null})] {
        let what = metadata.to_string();
        let world = World::build().without_provider().start_with(|idp| idp.set_metadata(metadata)).await;
        let visitor = world.visitor();
        eventually("discovery was tried", async || {
            visitor.get("/").await.header("evergate-response") == "provider_misconfigured"
        })
        .await;
        let page = visitor.get("/reports?tab=b").await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
        assert!(!page.header("retry-after").is_empty());
        let text = page.text();
        assert!(text.contains("administrator") && !text.contains("does not answer"), "{text}");
        assert!(text.contains(r#"href="https://app.test/reports?tab=b">Try again"#), "{text}");
        assert_eq!(visitor.get("/oauth2/start").await.header("evergate-response"), "provider_misconfigured");
        let state = visitor.get("/oauth2/readyz").await.json();
        assert_eq!((&state["provider"], &state["provider_error"]), (&json!("not_reached"), &json!("configuration")), "{what}");
        assert!(!lines_with(&[world.idp.issuer(), "provider discovery failed"]).is_empty(), "the cause is in the log");
        world.idp.set_metadata(json!({}));
        eventually("it is mended", async || visitor.get("/").await.status == StatusCode::SEE_OTHER).await;
    }
}

#[tokio::test]
async fn a_provider_that_is_away_is_no_matter_of_configuration() {
    let mut world = World::start().await;
    world.idp_line.cut();
    world.restart_with(&[]).await;
    let page = world.visitor().get("/a").await;
    assert_eq!((page.status, page.header("evergate-response")), (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"));
    assert!(page.text().contains(r#"href="https://app.test/a">Try again"#), "{}", page.text());
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["provider_error"], "unreachable");
}

#[tokio::test]
async fn an_address_without_metadata_is_a_matter_of_configuration_and_a_provider_that_fails_is_not() {
    for (status, error) in
        // A page instead of metadata is another site's, as is a redirect.
        [
            (404, "configuration"),
            (200, "configuration"),
            (301, "configuration"),
            (503, "unreachable"),
            (429, "unreachable"),
        ]
    {
        let page = "<!doctype html>".to_owned();
        let prepare = |idp: &Idp| idp.misbehave(Endpoint::Discovery, Misbehaviour::Answer(status, page, vec![]));
        let world = World::build().without_provider().start_with(prepare).await;
        eventually("discovery was tried", async || world.idp.calls(Endpoint::Discovery) > 1).await;
        let reply = world.visitor().get("/oauth2/readyz").await;
        assert_eq!(reply.json()["provider_error"], error, "{status}");
        assert_eq!((reply.status, &reply.json()["ready"]), (StatusCode::OK, &json!(true)), "sessions can be served");
    }
}

#[tokio::test]
async fn a_refresh_token_that_was_asked_for_and_did_not_come_is_said_once_with_its_remedy() {
    let world = World::build().start_with(|idp| idp.give_refresh_tokens(Offline::Never)).await;
    let state = async || world.visitor().get("/oauth2/readyz").await.json();
    assert_eq!(state().await["refresh_token"], "ok");
    let said =
        || lines_with(&[world.idp.issuer(), "WARN", "brought no refresh token", "CODER_OIDC_AUTH_URL_PARAMS", "consent"]).len();
    for _ in 0..3 {
        world.signed_in().await;
        assert_eq!((said(), &state().await["refresh_token"]), (1, &json!("not_issued")));
    }
    world.idp.give_refresh_tokens(Offline::Scope);
    world.signed_in().await;
    assert_eq!((said(), &state().await["refresh_token"]), (1, &json!("ok")));
}

#[tokio::test]
async fn a_refresh_token_that_nobody_asked_for_is_not_missed() {
    let world = World::build().set("oidc_scopes", "openid,email").start().await;
    world.signed_in().await;
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["refresh_token"], "ok");
    assert!(lines_with(&[world.idp.issuer(), "brought no refresh token"]).is_empty());
}

#[tokio::test]
async fn a_refresh_token_that_comes_with_the_consent_that_is_asked_for_next_is_not_missed() {
    let prepare = |idp: &Idp| idp.give_refresh_tokens(Offline::Consent);
    let world = World::build().set("oidc_preset", "google").start_with(prepare).await;
    world.visitor().browse(&world.idp, "/").await;
    world.sql("DELETE FROM grants").await;
    world.visitor().browse(&world.idp, "/").await;
    assert!(lines_with(&[world.idp.issuer(), "brought no refresh token"]).is_empty());
}

#[tokio::test]
async fn a_provider_that_asks_for_a_pause_gets_one_and_its_user_is_told() {
    for (headers, wait) in [(vec![("retry-after", "30")], "30"), (vec![], "5")] {
        let world = World::start().await;
        world.idp.misbehave(Endpoint::Code, Misbehaviour::Answer(429, String::new(), headers));
        let page = world.visitor().browse(&world.idp, "/page").await;
        let told = (page.status, page.header("evergate-response"), page.header("retry-after"));
        assert_eq!(told, (StatusCode::SERVICE_UNAVAILABLE, "provider_busy", wait));
        assert_eq!(world.idp.calls(Endpoint::Code), 1, "it is not called again at once");
        assert!(page.text().contains("/oauth2/start?rd=%2Fpage"), "{}", page.text());
    }
}
