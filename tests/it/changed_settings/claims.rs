//! Which claims are read, and how.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{
    World,
    idp::{Endpoint, Misbehaviour, user},
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn ann(more: &Value) -> Value {
    let mut claims = user("ann");
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

/// A world whose requests wait for a refresh, however slow the machine is.
fn patient() -> crate::harness::Builder {
    World::build().timed(|timings| timings.blocking_refresh_wait = MINUTE)
}

/// What the app is told in a header by a script's request.
async fn told(world: &World, visitor: &Visitor, header: &str) -> Option<String> {
    let reply = visitor.fetch("/").await;
    assert!(reply.is_upstreams(), "{} {}", reply.status, reply.text());
    world.upstream.last().header(header).map(str::to_owned)
}

#[tokio::test]
async fn replicas_that_need_different_claims_do_not_have_the_provider_asked_by_turns() {
    let mut world = patient().set("identity_headers", r#"{"X-Department":"{claim:department}"}"#).start().await;
    world.change(&[("identity_headers", r#"{"X-Center":"{claim:costcenter}"}"#)]);
    world.add_replica().await;
    world.idp.log_in_as(ann(&json!({"department": "eng", "costcenter": "42"})));
    let before = world.signed_in().await;
    let after = before.at(world.replicas[1].address);
    for _ in 0..4 {
        assert_eq!(told(&world, &after, "x-center").await.as_deref(), Some("42"));
        assert_eq!(told(&world, &before, "x-department").await.as_deref(), Some("eng"));
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "for the claim that the login did not ask for");
    let changed = |claims: &mut Value| {
        claims["department"] = json!("sales");
        claims["costcenter"] = Value::Null;
    };
    world.idp.edit_id_token(changed);
    world.idp.edit_userinfo(changed);
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &before, "x-department").await.as_deref(), Some("sales"));
    assert_eq!(told(&world, &after, "x-center").await, None, "a refresh at the other one withdraws it");
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
}

#[tokio::test]
async fn an_address_that_must_be_verified_from_now_on_admits_nobody_who_is_signed_in_without() {
    let mut world = patient().set("oidc_email_domain", "example.com").set("oidc_ignore_email_verified", "true").start().await;
    world.idp.log_in_as(ann(&json!({"email_verified": false})));
    let visitor = world.signed_in().await;
    assert!(visitor.fetch("/").await.is_upstreams());
    world.restart_with(&[("oidc_ignore_email_verified", "false")]).await;
    world.idp.forget_browsers();
    let visitor = visitor.at(world.address());
    assert_eq!(visitor.fetch("/").await.status, StatusCode::FORBIDDEN);
    assert_eq!(visitor.browse(&world.idp, "/").await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn groups_that_their_user_wrote_open_nothing_once_another_claim_is_read() {
    let mut world = patient().set("oidc_group_field", "wanted").set("oidc_allowed_groups", "admins").start().await;
    world.idp.log_in_as(ann(&json!({"wanted": ["admins"], "groups": ["staff"]})));
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_group_field", "groups")]).await;
    world.idp.forget_browsers();
    assert_eq!(visitor.at(world.address()).fetch("/").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_replica_before_a_change_of_the_group_claim_does_not_undo_it_for_long_nor_have_the_provider_asked_by_turns() {
    let mut world = patient().start().await;
    world.change(&[("oidc_group_field", "teams")]);
    world.add_replica().await;
    world.idp.log_in_as(ann(&json!({"groups": ["staff"], "teams": ["red"]})));
    let before = world.visitor();
    let after = before.at(world.replicas[1].address);
    after.log_in(&world.idp, "/").await;
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &before, "x-forwarded-groups").await.as_deref(), Some("staff"), "it renews and reads as it is told");
    for _ in 0..4 {
        told(&world, &after, "x-forwarded-groups").await;
        told(&world, &before, "x-forwarded-groups").await;
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
    world.clock.advance(MINUTE);
    assert_eq!(told(&world, &after, "x-forwarded-groups").await.as_deref(), Some("red"));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
}

#[tokio::test]
async fn a_provider_whose_refreshes_bring_no_claims_is_not_asked_for_them_again_and_again() {
    let mut world = patient().set("oidc_ignore_userinfo", "true").start().await;
    world.idp.log_in_as(ann(&json!({"groups": ["staff"], "teams": ["red"]})));
    let visitor = world.signed_in().await;
    world.idp.edit_answer(|answer| answer["id_token"] = Value::Null);
    world.restart_with(&[("oidc_group_field", "teams")]).await;
    let visitor = visitor.at(world.address());
    for _ in 0..3 {
        assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("staff"), "as it was last told");
        world.clock.advance(MINUTE);
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
    world.idp.edit_answer(|_| {});
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("red"), "a page view brings them");
}

#[tokio::test]
async fn a_failure_of_user_info_is_no_answer_to_how_claims_are_read_now_nor_to_which() {
    let mut world = patient().set("oidc_group_field", "wanted").start().await;
    world.idp.log_in_as(ann(&json!({"wanted": ["admins"], "groups": ["staff"], "department": "eng"})));
    let visitor = world.signed_in().await;
    // User info alone tells them.
    world.idp.edit_id_token(|claims| {
        claims.as_object_mut().unwrap().retain(|name, _| !["wanted", "groups", "department"].contains(&name.as_str()));
    });
    world
        .restart_with(&[
            ("oidc_group_field", "groups"),
            ("identity_headers", r#"{"X-Department":"{claim:department}","X-Groups":"{groups}"}"#),
        ])
        .await;
    world.clock.advance(SECOND);
    let visitor = visitor.at(world.address());
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(500, String::new(), vec![]));
    for _ in 0..3 {
        assert_eq!(told(&world, &visitor, "x-groups").await.as_deref(), Some("admins"), "as they were last told");
        assert_eq!(told(&world, &visitor, "x-department").await, None);
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "nobody is asked by every request");
    world.idp.behave(Endpoint::Userinfo);
    world.clock.advance(MINUTE);
    assert_eq!(told(&world, &visitor, "x-groups").await.as_deref(), Some("staff"));
    assert_eq!(told(&world, &visitor, "x-department").await.as_deref(), Some("eng"));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
}

#[tokio::test]
async fn who_was_refreshed_a_moment_before_a_restart_is_judged_by_the_new_settings_at_once() {
    for (settings, header, expected) in [
        ([("oidc_group_field", "groups")], "x-forwarded-groups", "staff"),
        ([("identity_headers", r#"{"X-Department":"{claim:department}"}"#)], "x-department", "eng"),
    ] {
        let mut world = patient().set("oidc_group_field", "wanted").start().await;
        world.idp.log_in_as(ann(&json!({"wanted": ["admins"], "groups": ["staff"], "department": "eng"})));
        let visitor = world.signed_in().await;
        world.clock.advance(EXPIRED);
        assert!(visitor.fetch("/").await.is_upstreams());
        world.clock.advance(10 * SECOND);
        world.restart_with(&settings).await;
        assert_eq!(told(&world, &visitor.at(world.address()), header).await.as_deref(), Some(expected));
        assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
    }
}

#[tokio::test]
async fn whom_a_replica_before_a_deploy_has_just_refreshed_is_told_of_with_the_claims_of_the_next_one_at_once() {
    let mut world = patient().set("identity_headers", r#"{"X-Department":"{claim:department}"}"#).start().await;
    world.change(&[("identity_headers", r#"{"X-Center":"{claim:costcenter}"}"#)]);
    world.add_replica().await;
    world.idp.log_in_as(ann(&json!({"department": "eng", "costcenter": "42"})));
    let before = world.signed_in().await;
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &before, "x-department").await.as_deref(), Some("eng"));
    let after = before.at(world.replicas[1].address);
    assert_eq!(told(&world, &after, "x-center").await.as_deref(), Some("42"));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
}

#[tokio::test]
async fn a_tightened_rule_holds_for_scripts_after_the_grace_where_refreshes_bring_only_a_part_of_the_claims() {
    let mut world = patient().set("oidc_email_domain", "example.com").set("oidc_ignore_email_verified", "true").start().await;
    world.idp.log_in_as(ann(&json!({"email_verified": false})));
    let visitor = world.signed_in().await;
    world.idp.edit_answer(|answer| drop(answer.as_object_mut().unwrap().remove("id_token")));
    world.idp.edit_userinfo(|claims| drop(claims.as_object_mut().unwrap().remove("email_verified")));
    world.restart_with(&[("oidc_ignore_email_verified", "false")]).await;
    world.idp.forget_browsers();
    let visitor = visitor.at(world.address());
    for _ in 0..3 {
        assert!(visitor.fetch("/").await.is_upstreams(), "nobody is logged out by a setting");
        world.clock.advance(EXPIRED);
    }
    world.clock.advance(HOUR);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    let page = visitor.browse(&world.idp, "/").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.text());
    // After a rollback it is as good as it was.
    world.restart_with(&[("oidc_ignore_email_verified", "true")]).await;
    assert!(visitor.at(world.address()).fetch("/").await.is_upstreams());
}

#[tokio::test]
async fn user_info_that_tells_all_is_as_good_as_a_login_where_refreshes_bring_no_id_token() {
    let mut world = patient().set("oidc_group_field", "wanted").start().await;
    world.idp.log_in_as(ann(&json!({"wanted": ["admins"], "groups": ["staff"]})));
    let visitor = world.signed_in().await;
    world.idp.edit_answer(|answer| drop(answer.as_object_mut().unwrap().remove("id_token")));
    world.restart_with(&[("oidc_group_field", "groups")]).await;
    let visitor = visitor.at(world.address());
    for _ in 0..3 {
        assert_eq!(told(&world, &visitor, "x-forwarded-groups").await.as_deref(), Some("staff"));
        world.clock.advance(HOUR);
    }
}
