//! Which claims become what routes and apps know of a user.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::prelude::*;
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{
    World,
    idp::{Signer, user},
    logs::lines_with,
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);

fn member_of(groups: &[&str]) -> Value {
    let mut claims = user("ann");
    claims["groups"] = json!(groups);
    claims
}

/// What the app is told in a header; `None` without it.
async fn told(world: &World, visitor: &Visitor, header: &str) -> Option<String> {
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    world.upstream.last().header(header).map(str::to_owned)
}

#[tokio::test]
async fn routes_and_apps_know_groups_by_their_mapped_names_that_the_filter_keeps() {
    let world = World::build()
        .set("oidc_group_mapping", "{4f1c: admins, 77aa: crew}")
        .set("oidc_group_regex_filter", "^(admins|staff)$")
        .set("oidc_allowed_groups", "4f1c")
        .routes(|_| {
            ["admins", "4f1c", "crew"].map(|name| format!("[[route]]\npath = \"/{name}\"\ngroups = [\"{name}\"]\n")).concat()
        })
        .start()
        .await;
    world.idp.log_in_as(member_of(&["4f1c", "77aa", "staff", "other"]));
    let visitor = world.signed_in().await;
    assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("admins,staff"));
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["groups"], json!(["admins", "staff"]));
    assert!(visitor.get("/admins").await.is_upstreams());
    for path in ["/4f1c", "/crew"] {
        assert_eq!(visitor.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    world.idp.log_in_as(member_of(&["4f1c"]));
    world.idp.edit_id_token(|token| token["groups"] = json!(["4f1c"]));
    world.idp.edit_userinfo(|claims| claims["groups"] = json!(["4f1c"]));
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("admins"), "a token refresh renames them too");
}

#[tokio::test]
async fn who_may_enter_is_decided_by_the_claim_s_own_groups() {
    for (allowed, enters) in [("4f1c", true), ("admins", false), ("admins,4f1c", true)] {
        let world = World::build()
            .set("oidc_group_mapping", r#"{"4f1c":"admins"}"#)
            .set("oidc_group_regex_filter", "^nothing$")
            .set("oidc_allowed_groups", allowed)
            .start()
            .await;
        world.idp.log_in_as(member_of(&["4f1c"]));
        let page = world.visitor().browse(&world.idp, "/").await;
        assert_eq!(page.is_upstreams(), enters, "{allowed}: {}", page.text());
        if enters {
            assert_eq!(world.upstream.last().header("x-forwarded-groups"), None, "the filter keeps none of them");
        }
    }
}

#[tokio::test]
async fn a_session_goes_on_when_groups_get_names() {
    let mut world = World::build().start().await;
    world.idp.log_in_as(member_of(&["4f1c"]));
    let visitor = world.signed_in().await;
    assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("4f1c"));
    world.restart_with(&[("oidc_group_mapping", r#"{"4f1c":"admins"}"#)]).await;
    let visitor = visitor.at(world.address());
    assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("admins"));
    assert_eq!(world.idp.prompts(), 1, "the provider's own session answers");
}

#[tokio::test]
async fn the_app_is_told_the_full_name_and_the_roles_and_a_token_refresh_changes_them() {
    let world = World::build()
        .set("oidc_user_role_field", "groups")
        .set("oidc_user_role_mapping", r#"{"admin-group":["template-admin","user-admin"]}"#)
        .set("oidc_user_role_default", "member")
        .start()
        .await;
    let mut claims = member_of(&["admin-group", "auditor"]);
    claims["name"] = json!("Ann Ähnlich, Dr.");
    world.idp.log_in_as(claims);
    let visitor = world.signed_in().await;
    let roles = "template-admin,user-admin,auditor,member";
    assert_eq!(told(&world, &visitor, "x-forwarded-roles").await.as_deref(), Some(roles));
    assert_eq!(told(&world, &visitor, "x-forwarded-name").await.as_deref(), Some("Ann Ähnlich, Dr."));
    let shown = visitor.fetch("/oauth2/userinfo").await.json();
    assert_eq!((&shown["name"], &shown["roles"][0]), (&json!("Ann Ähnlich, Dr."), &json!("template-admin")));
    let spoofed = [("x-forwarded-roles", "owner"), ("x_forwarded_name", "Eve"), ("X-Forwarded.Name", "Eve")];
    visitor.send(http::Method::GET, "/", &spoofed, "").await;
    let seen = world.upstream.last();
    assert_eq!((seen.header("x-forwarded-roles"), seen.header("x_forwarded_name")), (Some(roles), None));
    assert_eq!(seen.header("x-forwarded.name"), None);

    world.idp.edit_userinfo(|claims| {
        claims["groups"] = json!([]);
        claims["name"] = json!("Ann Other");
    });
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &visitor, "x-forwarded-roles").await.as_deref(), Some("member"));
    assert_eq!(told(&world, &visitor, "x-forwarded-name").await.as_deref(), Some("Ann Other"));
}

#[tokio::test]
async fn a_name_s_claim_can_be_another_and_no_claim_is_no_header() {
    let world = World::build().set("oidc_name_field", "profile.display").start().await;
    let mut claims = user("ann");
    claims["name"] = json!("Ann");
    world.idp.log_in_as(claims.clone());
    let visitor = world.signed_in().await;
    for header in ["x-forwarded-name", "x-forwarded-roles"] {
        assert_eq!(told(&world, &visitor, header).await, None, "{header}");
    }
    claims["profile"] = json!({"display": "Dr. Ann"});
    world.idp.log_in_as(claims);
    assert_eq!(told(&world, &world.signed_in().await, "x-forwarded-name").await.as_deref(), Some("Dr. Ann"));
}

/// With this claim in the access token there is no ID token beside it.
const WITHOUT_ID_TOKEN: &str = "without_id_token";

/// A provider that leaves groups out of ID tokens, and whose access tokens are JWTs of these claims, besides those that every token
/// has. A text in place of the claims is the access token as it is.
async fn with_access_tokens(claims: &Arc<Mutex<Value>>) -> World {
    let claims = Arc::clone(claims);
    World::build()
        .set("oidc_ignore_userinfo", "true")
        .set("oidc_access_token_claims", "true")
        .start_with(move |idp| {
            let (ids, access) = (Signer::generate("RS256", "ids"), Signer::generate("RS256", "access"));
            let published = [ids.jwk(), access.jwk()];
            idp.sign_with(ids, &published);
            idp.edit_id_token(|token| token["groups"] = Value::Null);
            idp.edit_answer(move |answer| {
                let claims = claims.lock().unwrap();
                let Some(more) = claims.as_object() else {
                    answer["access_token"] = claims.clone();
                    return;
                };
                let payload = answer["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
                let mut token: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
                let all = token.as_object_mut().unwrap();
                all.retain(|name, _| ["iss", "aud", "sub", "iat", "exp"].contains(&name.as_str()));
                all.extend(more.clone());
                answer["access_token"] =
                    json!(access.sign_with_header(&json!({"alg": "RS256", "typ": "at+jwt", "kid": "access"}), &token));
                if more.contains_key(WITHOUT_ID_TOKEN) {
                    answer.as_object_mut().unwrap().remove("id_token");
                }
            });
        })
        .await
}

#[tokio::test]
async fn the_access_token_adds_claims_that_the_id_token_has_not() {
    let claims = Arc::new(Mutex::new(json!({"groups": ["ops"], "preferred_username": "other"})));
    let world = with_access_tokens(&claims).await;
    let visitor = world.signed_in().await;
    assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("ops"));
    assert_eq!(told(&world, &visitor, "x-forwarded-preferred-username").await.as_deref(), Some("ann"), "the ID token wins");

    *claims.lock().unwrap() = json!({"groups": ["crew"]});
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("crew"));
    *claims.lock().unwrap() = json!("at-opaque");
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("crew"), "nobody is logged out by it");
    assert!(!lines_with(&["the access token's claims could not be read after a token refresh"]).is_empty());
    *claims.lock().unwrap() = json!({"groups": ["crew"], "sub": "sub-eve"});
    world.clock.advance(EXPIRED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "it is proof of another user");
}

#[tokio::test]
async fn a_token_refresh_without_an_id_token_takes_back_what_user_info_withdraws() {
    for withdrawn in [
        json!({"groups": []}),
        json!({"groups": ["staff"]}),
        json!({"email_verified": false}),
        json!({"email": "ann@other.example"}),
        json!({"email": "eve@example.com", "email_verified": false}),
    ] {
        let world = World::build().set("oidc_allowed_groups", "admins").set("oidc_email_domain", "example.com").start().await;
        world.idp.log_in_as(member_of(&["admins"]));
        let visitor = world.signed_in().await;
        world.idp.edit_answer(|answer| drop(answer.as_object_mut().unwrap().remove("id_token")));
        world.idp.edit_userinfo(|claims| claims.as_object_mut().unwrap().retain(|name, _| name == "sub"));
        world.clock.advance(EXPIRED);
        assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("admins"), "{withdrawn}: nothing is said");
        let edit = withdrawn.clone();
        world.idp.edit_userinfo(move |claims| claims.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone()));
        world.clock.advance(EXPIRED);
        for _ in 0..2 {
            assert_eq!(visitor.fetch("/").await.status, StatusCode::FORBIDDEN, "{withdrawn}");
            world.clock.advance(EXPIRED);
        }
        // It comes back as it went.
        world.idp.edit_userinfo(|_| ());
        world.clock.advance(EXPIRED);
        assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("admins"), "{withdrawn}");
    }
}

#[tokio::test]
async fn a_token_refresh_without_an_id_token_takes_back_what_the_access_token_does_not_say_and_gives_nothing() {
    let claims = Arc::new(Mutex::new(json!({"groups": ["ops", "crew"]})));
    let world = with_access_tokens(&claims).await;
    let visitor = world.signed_in().await;
    for (said, groups) in [
        (json!({WITHOUT_ID_TOKEN: true}), Some("ops,crew")),
        (json!({WITHOUT_ID_TOKEN: true, "groups": ["crew", "owners"]}), Some("crew")),
        (json!({WITHOUT_ID_TOKEN: true, "groups": []}), None),
    ] {
        claims.lock().unwrap().clone_from(&said);
        world.clock.advance(EXPIRED);
        assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), groups, "{said}");
    }
    *claims.lock().unwrap() = json!({WITHOUT_ID_TOKEN: true, "sub": "sub-eve"});
    world.clock.advance(EXPIRED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "it is proof of another user");
}

#[tokio::test]
async fn an_access_token_that_is_not_verified_adds_nothing_and_logs_nobody_in() {
    for wrong in [
        json!("at-opaque"),
        json!({"aud": "another client"}),
        json!({"iss": "https://another.example"}),
        json!({"exp": 1}),
        json!({"sub": "sub-eve"}),
    ] {
        let world = with_access_tokens(&Arc::new(Mutex::new(wrong.clone()))).await;
        let page = world.visitor().browse(&world.idp, "/").await;
        assert!(page.status.is_server_error() || page.status.is_client_error(), "{wrong}: {}", page.status);
        assert!(world.upstream.requests().is_empty(), "{wrong}");
    }
    assert!(!lines_with(&["the access token's claims cannot be used (CODER_OIDC_ACCESS_TOKEN_CLAIMS)"]).is_empty());
}
