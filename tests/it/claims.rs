//! Which claims become what routes and apps know of a user.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{World, idp::user, visitor::Visitor};

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
