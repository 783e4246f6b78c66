//! Groups that the provider leaves out of its tokens because they are too many (Microsoft Entra ID's groups overage).

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{
    World,
    idp::{Endpoint, Misbehaviour},
    logs::lines_with,
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);
const ROUTES: &str = "[[route]]\npath = \"/admin\"\ngroups = [\"admins\"]";

/// What Microsoft Entra ID says instead of the groups.
fn elsewhere() -> Value {
    json!({
        "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "https://graph.windows.net/tenant/users/ann/getMemberObjects"}},
    })
}

/// A world whose provider leaves the groups to Graph, which has these, and is Graph itself where the settings say so.
async fn leaving_out(said: Value, groups: &[&str], knows_graph: bool, settings: &[(&str, &str)]) -> World {
    let builder = World::build().set("oidc_ignore_userinfo", "true");
    let builder = builder.routes(|_| ROUTES.to_owned());
    let builder = settings.iter().fold(builder, |builder, (name, value)| builder.set(name, value));
    let mut world = builder.start_with(|idp| idp.leave_groups_to_graph(said, groups)).await;
    if knows_graph {
        let graph = world.idp.issuer().to_owned();
        world.restart_with(&[("oidc_graph_url", &graph)]).await;
    }
    world
}

/// The status of a page that needs a group, and the reason where it is refused.
async fn admin(visitor: &Visitor) -> (StatusCode, String) {
    let reply = visitor.fetch("/admin").await;
    let reason =
        if reply.is_upstreams() { String::new() } else { reply.json()["reason"].as_str().unwrap_or_default().to_owned() };
    (reply.status, reason)
}

#[tokio::test]
async fn graph_tells_the_groups_at_a_login_and_at_each_renewal() {
    for said in [elsewhere(), json!({"hasgroups": true}), json!({"hasgroups": "true"})] {
        let world = leaving_out(said.clone(), &["staff", "admins"], true, &[("oidc_allowed_groups", "staff")]).await;
        let visitor = world.signed_in().await;
        assert_eq!(admin(&visitor).await, (StatusCode::OK, String::new()), "{said}");
        assert_eq!(world.upstream.last().header("x-forwarded-groups"), Some("staff,admins"));
        world.idp.leave_groups_to_graph(said, &["staff"]);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(admin(&visitor).await, (StatusCode::FORBIDDEN, "group".to_owned()));
        assert_eq!(world.idp.calls(Endpoint::Graph), 2);
    }
}

#[tokio::test]
async fn graph_is_not_asked_where_the_token_has_groups_or_nobody_needs_them() {
    for (said, settings) in [(json!({}), &[][..]), (json!({"groups": []}), &[]), (elsewhere(), &[("oidc_group_field", "roles")])]
    {
        let world = leaving_out(said.clone(), &["admins"], true, settings).await;
        let visitor = world.signed_in().await;
        assert_eq!(admin(&visitor).await, (StatusCode::FORBIDDEN, "group".to_owned()), "{said}");
        assert_eq!(world.idp.calls(Endpoint::Graph), 0, "{said}");
    }
}

#[tokio::test]
async fn groups_that_nobody_tells_are_refused_where_some_are_needed_with_a_reason_of_their_own() {
    let refusals = [
        (Some(Misbehaviour::Answer(403, String::new(), vec![])), "the delegated permission User.Read must be granted"),
        (Some(Misbehaviour::Answer(401, String::new(), vec![])), "has no scope of another API"),
        (Some(Misbehaviour::Answer(503, String::new(), vec![])), "Microsoft Graph answered with status 503"),
        (Some(Misbehaviour::Answer(200, "{}".to_owned(), vec![])), "no whole list of groups"),
        (None, "CODER_OIDC_GRAPH_URL is not set"),
    ];
    for (misbehaviour, logged) in refusals {
        let world = leaving_out(elsewhere(), &["admins"], misbehaviour.is_some(), &[]).await;
        if let Some(misbehaviour) = misbehaviour {
            world.idp.misbehave(Endpoint::Graph, misbehaviour);
        }
        let visitor = world.signed_in().await;
        assert!(visitor.get("/").await.is_upstreams(), "what needs no group is served");
        assert_eq!(admin(&visitor).await, (StatusCode::FORBIDDEN, "groups_unknown".to_owned()), "{logged}");
        assert!(visitor.get("/admin").await.text().contains("did not tell which groups"), "{logged}");
        assert_eq!(lines_with(&[world.idp.issuer(), "(groups overage)", logged]).len(), 1, "{logged}");
    }
}

#[tokio::test]
async fn a_login_that_needs_a_group_is_refused_with_that_reason_and_works_once_graph_tells_them() {
    let world = leaving_out(elsewhere(), &["staff"], true, &[("oidc_allowed_groups", "staff")]).await;
    world.idp.misbehave(Endpoint::Graph, Misbehaviour::Answer(503, String::new(), vec![]));
    let denied = world.visitor().browse(&world.idp, "/").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert!(denied.text().contains("did not tell which groups"), "{}", denied.text());
    world.idp.behave(Endpoint::Graph);
    assert!(world.signed_in().await.get("/").await.is_upstreams());
}

#[tokio::test]
async fn groups_stay_as_they_were_while_graph_does_not_tell_them_at_a_renewal() {
    let world = leaving_out(elsewhere(), &["staff", "admins"], true, &[("oidc_allowed_groups", "staff")]).await;
    let visitor = world.signed_in().await;
    for (misbehaviour, expected) in [(Some(503), StatusCode::OK), (Some(403), StatusCode::OK), (None, StatusCode::FORBIDDEN)] {
        match misbehaviour {
            Some(status) => world.idp.misbehave(Endpoint::Graph, Misbehaviour::Answer(status, String::new(), vec![])),
            None => world.idp.behave(Endpoint::Graph),
        }
        world.idp.leave_groups_to_graph(elsewhere(), &["staff"]);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(admin(&visitor).await.0, expected, "{misbehaviour:?}");
    }
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewals"], 3);
}
