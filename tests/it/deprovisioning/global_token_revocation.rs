//! Global Token Revocation (draft-parecki-oauth-global-token-revocation), Okta's Universal Logout.

use super::*;
use crate::harness::{
    Kind,
    faults::FaultProxy,
    visitor::{Reply, path_of},
};

const PATH: &str = "/oauth2/global_token_revocation";
const TYPE: &str = "global-token-revocation+jwt";
pub(super) const SECRET: &str = "a-secret-of-a-security-tool-0123456789";

/// The assertion that the provider signs, but for these claims and header members.
fn assertion(idp: &Idp, claims: Value, header: Value) -> String {
    idp.signed_event(TYPE, &format!("{ACCESS}{PATH}"), claims, header)
}

async fn revoke(world: &World, bearer: &str, body: &str) -> Reply {
    let lines = [("authorization", format!("Bearer {bearer}")), ("content-type", "application/json".to_owned())];
    let lines = lines.each_ref().map(|(name, value)| (*name, value.as_str()));
    world.visitor().send(Method::POST, PATH, &lines, body).await
}

pub(super) async fn revoke_for(world: &World, bearer: &str, identifier: Value) -> Reply {
    revoke(world, bearer, &json!({"sub_id": identifier}).to_string()).await
}

pub(super) fn by_issuer(world: &World, subject: &str) -> Value {
    json!({"format": "iss_sub", "iss": world.idp.issuer(), "sub": subject})
}

#[tokio::test]
async fn a_revocation_by_the_provider_ends_everything_of_its_user_on_every_replica() {
    let world = world().replicas(2).start().await;
    let everything = Everything::of_ann(&world).await;
    let done = revoke_for(&world, &assertion(&world.idp, json!({}), json!({})), by_issuer(&world, "sub-ann")).await;
    assert_eq!((done.status, done.text().as_str(), done.header("cache-control")), (StatusCode::NO_CONTENT, "", "no-store"));
    everything.expect_gone(&world, "global_token_revocation").await;
    eventually("her refresh tokens are revoked", async || world.idp.revoked().len() == 2).await;
    assert!(world.metric(0, "evergate_user_ends_total") >= 1.0);
    // Who comes back has proved themselves to the provider again.
    world.clock.advance(Duration::from_secs(10));
    world.idp.log_in_as(user("ann"));
    assert!(world.signed_in().await.get("/").await.is_upstreams());
    assert_eq!(call(&world.visitor(), &bearer(&world.idp, "sub-ann")).await, StatusCode::OK, "a token that was issued since");
}

#[tokio::test]
async fn a_security_tool_revokes_with_the_secret_and_by_any_name_of_the_user() {
    for (kind, identifier) in [
        (Kind::Sqlite, json!({"format": "email", "email": "ANN@example.com"})),
        (Kind::Postgres, json!({"format": "email", "email": "ann@example.com"})),
        (Kind::Sqlite, json!({"format": "account", "uri": "acct:ANN@example.com"})),
        (Kind::Sqlite, json!({"format": "opaque", "id": "sub-ann"})),
        (
            Kind::Sqlite,
            json!({"format": "aliases", "identifiers": [{"format": "did", "url": "did:x"}, {"format": "opaque", "id": "sub-ann"}]}),
        ),
    ] {
        let world = world().on(kind).set("oidc_revocation_secret", SECRET).start().await;
        let everything = Everything::of_ann(&world).await;
        let refused = revoke_for(&world, &SECRET.to_uppercase(), identifier.clone()).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(everything.here.get("/").await.is_upstreams());
        assert_eq!(revoke_for(&world, SECRET, identifier.clone()).await.status, StatusCode::NO_CONTENT, "{identifier}");
        everything.expect_gone(&world, "global_token_revocation").await;
    }
}

#[tokio::test]
async fn a_user_whose_address_the_provider_has_not_verified_is_not_spared() {
    let world = world().set("oidc_revocation_secret", SECRET).set("oidc_ignore_email_verified", "false").start().await;
    world.idp.edit_id_token(|claims| claims["email_verified"] = json!(false));
    let visitor = world.signed_in().await;
    let done = revoke_for(&world, SECRET, json!({"format": "email", "email": "ann@example.com"})).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_revocation_that_is_not_to_be_believed_revokes_nothing() {
    let world = world().start().await;
    let visitor = world.signed_in().await;
    let ann = by_issuer(&world, "sub-ann");
    let now = world.clock.now().seconds();
    for (what, claims, header) in [
        ("iss", json!({"iss": "https://other"}), json!({})),
        ("no iss", json!({"iss": null}), json!({})),
        ("aud", json!({"aud": "https://other.test/oauth2/global_token_revocation"}), json!({})),
        ("the client as aud", json!({"aud": CLIENT_ID}), json!({})),
        ("no exp", json!({"exp": null}), json!({})),
        ("expired", json!({"exp": now - 61}), json!({})),
        ("no iat", json!({"iat": null}), json!({})),
        ("of the future", json!({"iat": now + 310}), json!({})),
        ("no jti", json!({"jti": null}), json!({})),
        ("an ID token's typ", json!({}), json!({"typ": "JWT"})),
        ("a logout token's typ", json!({}), json!({"typ": "logout+jwt"})),
        ("no typ", json!({}), json!({"typ": null})),
        ("alg none", json!({}), json!({"alg": "none"})),
        ("wrong alg", json!({}), json!({"alg": "RS256"})),
        ("shared secret", json!({}), json!({"alg": "HS256"})),
        ("unknown key", json!({}), json!({"kid": "other"})),
        ("crit", json!({}), json!({"crit": ["x"]})),
    ] {
        let refused = revoke_for(&world, &assertion(&world.idp, claims, header), ann.clone()).await;
        let is_refused = matches!(refused.status, StatusCode::UNAUTHORIZED | StatusCode::SERVICE_UNAVAILABLE);
        assert!(is_refused, "{what}: {} {}", refused.status, refused.text());
        assert_eq!(refused.status == StatusCode::SERVICE_UNAVAILABLE, what == "unknown key", "{what}");
    }
    for (what, bearer) in [("garbage", "a.b.c"), ("nothing set as secret", ""), ("the client's secret", CLIENT_SECRET)] {
        let refused = revoke_for(&world, bearer, ann.clone()).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{what}");
        assert!(refused.header("www-authenticate").starts_with("Bearer realm="), "{what}");
    }
    let refused = world.visitor().send(Method::POST, PATH, &[], &json!({"sub_id": ann}).to_string()).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer realm=\"Evergate\""));
    assert_eq!(world.visitor().get(PATH).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_request_that_names_nobody_revokes_nothing() {
    let world = world().set("oidc_revocation_secret", SECRET).start().await;
    let visitor = world.signed_in().await;
    for (body, status) in [
        (json!({"sub_id": {"format": "iss_sub", "iss": "https://other", "sub": "sub-ann"}}).to_string(), StatusCode::NOT_FOUND),
        (json!({"sub_id": {"format": "phone_number", "phone_number": "+1"}}).to_string(), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"sub_id": {"format": "email", "email": "*"}}).to_string(), StatusCode::BAD_REQUEST),
        (json!({"sub_id": {"format": "opaque", "id": ""}}).to_string(), StatusCode::BAD_REQUEST),
        (json!({"sub_id": {"format": "opaque", "id": "a\0b"}}).to_string(), StatusCode::BAD_REQUEST),
        (json!({"sub_id": {}}).to_string(), StatusCode::BAD_REQUEST),
        (json!({"subject": {"format": "opaque", "id": "sub-ann"}}).to_string(), StatusCode::BAD_REQUEST),
        (
            r#"{"sub_id":{"format":"opaque","id":"x"},"sub_id":{"format":"opaque","id":"sub-ann"}}"#.to_owned(),
            StatusCode::BAD_REQUEST,
        ),
        ("[".repeat(10_000), StatusCode::BAD_REQUEST),
        (format!("{{\"sub_id\":\"{}\"}}", "a".repeat(20_000)), StatusCode::BAD_REQUEST),
        (String::new(), StatusCode::BAD_REQUEST),
    ] {
        let refused = revoke(&world, SECRET, &body).await;
        assert_eq!(refused.status, status, "{} {}", body.chars().take(80).collect::<String>(), refused.text());
    }
    // Nobody here: there is nothing to end, and nothing is wrong with that.
    for nobody in [json!({"format": "opaque", "id": "%"}), json!({"format": "email", "email": "nobody@example.com"})] {
        assert_eq!(revoke_for(&world, SECRET, nobody).await.status, StatusCode::NO_CONTENT);
    }
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_revocation_that_comes_again_ends_what_there_is_then() {
    let world = world().start().await;
    let before = world.signed_in().await;
    let token = assertion(&world.idp, json!({}), json!({}));
    let again = async || revoke_for(&world, &token, by_issuer(&world, "sub-ann")).await.status;
    assert_eq!(again().await, StatusCode::NO_CONTENT);
    assert_eq!(before.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    world.clock.advance(Duration::from_secs(30));
    let issued = || bearer(&world.idp, "sub-ann");
    let (after, bearer) = (world.signed_in().await, issued());
    assert_eq!(call(&world.visitor(), &bearer).await, StatusCode::OK);
    assert_eq!(again().await, StatusCode::NO_CONTENT);
    assert_eq!(after.fetch("/").await.status, StatusCode::UNAUTHORIZED, "the sender means what there is now");
    assert_eq!(call(&world.visitor(), &bearer).await, StatusCode::UNAUTHORIZED);
    world.clock.advance(Duration::from_secs(10));
    let (after, bearer) = (world.signed_in().await, issued());
    assert_eq!(call(&world.visitor(), &bearer).await, StatusCode::OK);
    let other = revoke_for(&world, &token, json!({"format": "email", "email": "ann@example.com"})).await;
    assert_eq!(other.status, StatusCode::NO_CONTENT, "one assertion may come with several users");
    assert_eq!(after.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&world.visitor(), &bearer).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_revocation_that_comes_before_the_login_s_callback_is_not_forgotten() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("oidc_revocation_secret", SECRET).start().await;
        let visitor = world.visitor();
        let callback = world.idp.authorize(&visitor.get("/page").await.location()).await;
        world.clock.advance(Duration::from_secs(5));
        let done = revoke_for(&world, SECRET, json!({"format": "email", "email": "ann@example.com"})).await;
        assert_eq!(done.status, StatusCode::NO_CONTENT);
        world.clock.advance(Duration::from_secs(20));
        let again = visitor.get(&path_of(&callback)).await.location();
        assert!(again.as_str().starts_with(world.idp.issuer()), "it is for the provider to say who is there now: {again}");
        assert!(visitor.session().is_none());
    }
}

#[tokio::test]
async fn while_the_store_is_away_the_sender_is_told_to_come_again_and_it_holds_where_it_came() {
    let world = world().on(Kind::Postgres).set("oidc_revocation_secret", SECRET).set("store_outage_grace", "10m").start().await;
    let visitor = world.signed_in().await;
    let token = bearer(&world.idp, "sub-ann");
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(call(&visitor, &token).await, StatusCode::OK);
    world.store_line.as_ref().unwrap().cut();
    let told = revoke_for(&world, SECRET, by_issuer(&world, "sub-ann")).await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!told.header("retry-after").is_empty());
    assert_eq!(call(&visitor, &token).await, StatusCode::UNAUTHORIZED);
    assert_ne!(visitor.fetch("/").await.status, StatusCode::OK);
    world.store_line.as_ref().unwrap().mend();
    eventually("it is recorded", async || is_told(&world, "sub-ann", "global_token_revocation").await).await;
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&visitor, &token).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_issuer_of_events_is_believed_under_its_own_name_and_keys_alone() {
    let (clock, line) = (Clock::manual(), FaultProxy::start().await);
    let org = Idp::start(&line.url(), clock.clone()).await;
    line.forward_to(org.address);
    let world = world().by(clock).set("oidc_event_issuer_url", org.issuer()).start().await;
    let visitor = world.signed_in().await;
    let forged = assertion(&world.idp, json!({"iss": org.issuer()}), json!({}));
    let refused = revoke_for(&world, &forged, by_issuer(&world, "sub-ann")).await;
    assert_ne!(refused.status, StatusCode::NO_CONTENT, "signed by another's key");
    world.clock.advance(Duration::from_secs(20));
    assert!(visitor.get("/").await.is_upstreams());
    let genuine = assertion(&org, json!({}), json!({}));
    let done = revoke_for(&world, &genuine, json!({"format": "iss_sub", "iss": org.issuer(), "sub": "sub-ann"})).await;
    assert_eq!(done.status, StatusCode::NO_CONTENT, "{}", done.text());
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}
