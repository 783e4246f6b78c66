//! Metadata of all sorts: what nobody needs keeps nobody out, and what is needed and wrong is named.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::harness::{
    World,
    eventually::eventually,
    idp::{Endpoint, Idp, Misbehaviour, Signer},
    logs::lines_with,
    visitor::{Visitor, path_of},
};

#[tokio::test]
async fn members_that_nobody_needs_keep_nobody_out() {
    let odd = json!({
        "op_policy_uri": "", "registration_endpoint": "", "op_tos_uri": 7, "service_documentation": "not an address",
        "claims_supported": "sub email", "response_modes_supported": "query", "grant_types_supported": "authorization_code",
        "subject_types_supported": {}, "display_values_supported": [7], "request_parameter_supported": "yes",
        "token_endpoint_auth_methods_supported": "client_secret_basic", "acr_values_supported": null, "introspection_endpoint": "",
        "id_token_encryption_alg_values_supported": ["RSA-OAEP"], "mtls_endpoint_aliases": [],
    });
    let mut world = World::build().start_with(|idp| idp.set_metadata(odd)).await;
    world.signed_in().await;
    world.restart_with(&[]).await;
    world.signed_in().await;
    assert!(lines_with(&[world.idp.issuer(), "\"ERROR\""]).is_empty());
}

#[tokio::test]
async fn an_endpoint_that_has_moved_is_found_at_its_new_address_within_a_minute_and_nobody_is_logged_out() {
    let world = World::build().set("oidc_outage_grace", "1h").start().await;
    let visitor = world.signed_in().await;
    world.clock.advance(Duration::from_secs(301));
    world.idp.move_token_endpoint();
    let before = world.idp.calls(Endpoint::Discovery);
    assert!(visitor.get("/").await.is_upstreams(), "served on");
    eventually("readiness blames the address", async || {
        let state = world.visitor().get("/oauth2/readyz").await.json();
        assert_ne!(state["client"], json!("refused"), "nobody has said a word of the client");
        (&state["provider"], &state["provider_error"]) == (&json!("ok"), &json!("endpoint_not_found"))
    })
    .await;
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(2));
        assert!(visitor.get("/").await.is_upstreams(), "served on");
    }
    assert!(world.idp.calls(Endpoint::Discovery) <= before + 2, "it is not looked for without end");
    world.idp.tell_where_it_moved();
    eventually("it is found", async || {
        world.clock.advance(Duration::from_secs(5));
        visitor.get("/").await;
        world.idp.calls(Endpoint::Refresh) > 0
    })
    .await;
    assert!(!lines_with(&[world.idp.issuer(), "has moved", "token_endpoint", "/moved/token"]).is_empty());
    eventually("renewed", async || {
        world.clock.advance(Duration::from_secs(5));
        visitor.get("/").await.is_upstreams() && world.upstream.last().header("x-evergate-renewed-at").is_none()
    })
    .await;
    world.signed_in().await;
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["provider_error"], json!(null));
}

#[tokio::test]
async fn an_issuer_that_is_spelled_otherwise_is_named() {
    let world = World::build()
        .without_provider()
        .start_with(|idp| idp.set_metadata(json!({"issuer": format!("{}/", idp.issuer())})))
        .await;
    eventually("the log says which", async || {
        !lines_with(&[&format!("the provider calls itself {}/,", world.idp.issuer()), "CODER_OIDC_ISSUER_URL"]).is_empty()
    })
    .await;
    assert_eq!(world.idp.calls(Endpoint::Jwks), 0);
}

#[tokio::test]
async fn demands_that_cannot_be_met_are_told_at_the_start() {
    let cases = [
        (json!({"require_pushed_authorization_requests": true}), "turn require_pushed_authorization_requests off there"),
        (json!({"require_signed_request_object": true}), "turn require_signed_request_object off"),
        (json!({"id_token_signing_alg_values_supported": ["HS256"]}), "HS256 needs a client secret of 32 bytes"),
        (
            json!({"id_token_signing_alg_values_supported": ["none"], "id_token_encryption_alg_values_supported": ["RSA-OAEP"]}),
            "it encrypts ID tokens",
        ),
        (json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}), "allow client_secret_basic"),
    ];
    for (metadata, remedy) in cases {
        let world = World::build().start_with(|idp| idp.set_metadata(metadata.clone())).await;
        assert_eq!(lines_with(&[world.idp.issuer(), "\"ERROR\"", remedy]).len(), 1, "{metadata}");
    }
}

#[tokio::test]
async fn a_login_that_lasts_as_long_as_one_token_is_told_at_the_start() {
    let world = World::build().set("oidc_preset", "adfs").start().await;
    let told =
        "a login at this provider brings one refresh token, which is never replaced: when it ends, after 8 hours by default";
    assert_eq!(lines_with(&[world.idp.issuer(), told]).len(), 1);
    let (_, printed) = world.command(&["check"]).await;
    assert!(printed.contains("never replaced and lives 8 hours by default"), "{printed}");
}

#[tokio::test]
async fn usual_scopes_that_the_provider_does_not_list_are_left_out() {
    for (supported, expected) in [
        (json!(["openid"]), "openid"),
        (json!(["openid", "email", "offline_access"]), "openid email offline_access"),
        (json!([]), "openid profile email"),
    ] {
        let world = World::build().start_with(|idp| idp.set_metadata(json!({"scopes_supported": supported.clone()}))).await;
        let to_provider = world.visitor().get("/").await.location();
        let scope = to_provider.query_pairs().find(|(name, _)| name == "scope").unwrap().1.into_owned();
        assert_eq!(scope, expected, "{supported}");
        assert_eq!(world.visitor().browse(&world.idp, "/").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn consent_is_asked_for_where_a_login_was_to_bring_a_refresh_token_and_brought_none() {
    let prompts = json!({"prompt_values_supported": ["none", "login", "consent"]});
    let world = World::build().start_with(|idp| idp.set_metadata(prompts)).await;
    world.idp.edit_answer(|answer| drop(answer.as_object_mut().unwrap().remove("refresh_token")));
    assert!(world.visitor().browse(&world.idp, "/").await.is_upstreams());
    assert_eq!(world.idp.passes(), 2, "once without, and once with consent");
    assert!(world.visitor().browse(&world.idp, "/").await.is_upstreams());
    assert_eq!(world.idp.passes(), 3, "nobody agrees at each login for nothing");
}

#[tokio::test]
async fn each_decision_is_one_line_with_its_reason_and_a_setting_wins() {
    let line = |world: &World, setting: &str, value: &str, reason: &str| {
        lines_with(&[world.idp.issuer(), "provider setting chosen", setting, value, reason]).len()
    };
    let world = World::build().start().await;
    let host = world.idp.issuer();
    let hydra = json!({
        "authorization_endpoint": format!("{host}/oauth2/auth"), "token_endpoint": format!("{host}/oauth2/token"),
        "scopes_supported": ["offline_access", "offline", "openid"],
    });
    for (setting, value, reason) in [
        ("CODER_OIDC_PRESET", "\"generic\"", "neither the issuer nor the metadata show a known product"),
        ("CODER_OIDC_SCOPES", "\"openid profile email offline_access\"", "what the metadata list"),
        ("CODER_OIDC_REFRESH_TOKEN_GRACE", "\"not known yet\"", "token refreshes show it"),
        ("CODER_OIDC_INTROSPECTION_URL", "\"not asked\"", "the metadata name no endpoint"),
        ("CODER_OIDC_SILENT_LOGIN", "\"true\"", "nothing excludes it"),
        ("CODER_OIDC_PAR", "\"false\"", "do not require pushed authorization requests"),
    ] {
        assert_eq!(line(&world, setting, value, reason), 1, "{setting}");
    }
    // The same provider, which now looks like a self-hosted Hydra.
    let mut world = world;
    world.idp.set_metadata(hydra);
    world.restart_with(&[]).await;
    assert_eq!(line(&world, "CODER_OIDC_PRESET", "\"hydra\"", "the metadata show the product"), 1);
    assert_eq!(line(&world, "CODER_OIDC_REFRESH_TOKEN_GRACE", "a second use revokes the grant", "the preset knows it"), 1);
    world.restart_with(&[("oidc_preset", "generic"), ("oidc_refresh_token_grace", "7s")]).await;
    assert_eq!(line(&world, "CODER_OIDC_PRESET", "\"generic\"", "as configured"), 1);
    assert_eq!(line(&world, "CODER_OIDC_REFRESH_TOKEN_GRACE", "stays valid for 7 s", "as configured"), 1);
}

#[tokio::test]
async fn a_replica_that_starts_is_ready_when_the_provider_is_known_or_has_kept_it_waiting() {
    let world = World::build().without_provider().start_with(|idp| idp.misbehave(Endpoint::Discovery, Misbehaviour::Held)).await;
    let ready = async || world.visitor().get("/oauth2/readyz").await;
    let begun = ready().await;
    assert_eq!((begun.status, &begun.json()["provider_error"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(null)), "not yet asked");
    world.idp.behave(Endpoint::Discovery);
    eventually("it is known", async || ready().await.status == StatusCode::OK).await;
    assert_eq!(ready().await.json()["provider"], "ok");

    let world = World::build().without_provider().start_with(|idp| idp.misbehave(Endpoint::Discovery, Misbehaviour::Held)).await;
    let ready = async || world.visitor().get("/oauth2/readyz").await;
    eventually("it is ready without", async || ready().await.status == StatusCode::OK).await;
    assert_eq!(ready().await.json()["provider_error"], "unreachable");
}

#[tokio::test]
async fn a_provider_that_begins_to_sign_otherwise_refuses_nobody() {
    const SECRET: &str = "a client secret of more than thirty-two bytes";
    let lists = |idp: &Idp, algorithm: &str| idp.set_metadata(json!({"id_token_signing_alg_values_supported": [algorithm]}));
    let world = World::build()
        .set("oidc_client_secret", SECRET)
        .start_with(|idp| {
            idp.change_secret(SECRET);
            lists(idp, "HS256");
            idp.sign_with(Signer::with_secret(SECRET), &[]);
        })
        .await;
    let visitor = world.signed_in().await;
    // The administrator chooses a key for this client.
    lists(&world.idp, "RS256");
    let key = Signer::generate("RS256", "chosen");
    let published = [key.jwk()];
    world.idp.sign_with(key, &published);
    world.clock.advance(Duration::from_secs(301));
    world.signed_in().await;
    eventually("its sessions are verified", async || {
        world.clock.advance(Duration::from_secs(61));
        visitor.get("/").await.is_upstreams() && world.upstream.last().header("x-evergate-renewed-at").is_none()
    })
    .await;
    assert!(world.idp.calls(Endpoint::Refresh) > 0);
}

#[tokio::test]
async fn a_provider_that_ceases_to_name_itself_in_its_responses_refuses_nobody() {
    let world = World::start().await;
    let returned = async |visitor: &Visitor| {
        let mut callback = world.idp.authorize(&visitor.get("/page").await.location()).await;
        let others: Vec<(String, String)> = callback.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
        callback.query_pairs_mut().clear().extend_pairs(others);
        visitor.get(&path_of(&callback)).await
    };
    let visitor = world.visitor();
    assert_eq!(returned(&visitor).await.status, StatusCode::FORBIDDEN, "its metadata say that it does");
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(returned(&visitor).await.status, StatusCode::FORBIDDEN, "and so do those that are read now");
    world.idp.set_metadata(json!({"authorization_response_iss_parameter_supported": null}));
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(returned(&visitor).await.status, StatusCode::SEE_OTHER);
    assert!(visitor.get("/page").await.is_upstreams());
}

#[tokio::test]
async fn an_endpoint_that_has_moved_by_a_redirect_is_looked_for() {
    let world = World::start().await;
    let moved = Misbehaviour::Answer(308, String::new(), vec![("location", "https://id.example/token")]);
    world.idp.misbehave(Endpoint::Code, moved);
    world.clock.advance(Duration::from_secs(61));
    let before = world.idp.calls(Endpoint::Discovery);
    assert_eq!(world.visitor().browse(&world.idp, "/").await.status, StatusCode::BAD_GATEWAY, "a code follows no redirect");
    eventually("the metadata are read again", async || world.idp.calls(Endpoint::Discovery) > before).await;
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["provider_error"], json!("endpoint_not_found"));
    world.idp.behave(Endpoint::Code);
    world.signed_in().await;
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["provider_error"], json!(null));
}

#[tokio::test]
async fn why_metadata_are_read_again_is_told_once_while_it_stays_so() {
    let world = World::start().await;
    let told = |level: &str, reason: &str| lines_with(&[world.idp.issuer(), level, "are read again", reason]).len();
    let answer = |status| world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(status, String::new(), vec![]));
    // The minute counts from the end of the last reading, which nobody sees from outside, and an earlier doubt comes first.
    let told_of = async |what: &str, is_told: &dyn Fn() -> bool| {
        eventually(what, async || {
            world.clock.advance(Duration::from_secs(61));
            assert_ne!(world.visitor().browse(&world.idp, "/").await.status, StatusCode::OK);
            is_told()
        })
        .await;
    };
    let (disagrees, missing) =
        ("what the provider sends or refuses does not agree with its metadata", "an endpoint is not at its address");
    answer(403);
    told_of("an administrator is told", &|| told("\"INFO\"", disagrees) == 1).await;
    told_of("they are read again, and it is no news", &|| told("\"DEBUG\"", disagrees) > 0).await;
    answer(404);
    told_of("another reason is told", &|| told("\"INFO\"", missing) == 1).await;
    told_of("they are read again, and it is no news either", &|| told("\"DEBUG\"", missing) > 0).await;
    assert_eq!((told("\"INFO\"", disagrees), told("\"INFO\"", missing)), (1, 1), "each minute for nothing");
}

/// Whoever has it refused by the provider as it is may be asked for another one by newer metadata.
#[tokio::test]
async fn a_request_that_the_provider_refuses_has_its_metadata_read_again() {
    let world = World::start().await;
    let refused = async |code: &str| {
        let visitor = world.visitor();
        let request = visitor.get("/").await.location();
        let state = request.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        visitor.get(&format!("/oauth2/callback?error={code}&state={state}")).await;
    };
    world.clock.advance(Duration::from_secs(61));
    let before = world.idp.calls(Endpoint::Discovery);
    refused("access_denied").await;
    world.idp.take_pushed_requests(true);
    refused("invalid_request").await;
    eventually("it is read again, and requests are pushed since", async || {
        world.visitor().get("/").await;
        world.idp.calls(Endpoint::Par) > 0
    })
    .await;
    world.signed_in().await;
    // What was not sent while the gateway started may have it read once more.
    assert!(world.idp.calls(Endpoint::Discovery) <= before + 2, "and not at each refusal");
}
