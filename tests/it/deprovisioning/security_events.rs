//! Security events (SET, RFC 8417) that a transmitter of shared signals pushes (RFC 8935): CAEP and RISC.

use super::*;
use crate::harness::{
    Kind,
    idp::CLIENT_ID,
    logs::lines_with,
    transmitter::Transmitter,
    visitor::{Reply, path_of},
};

const PATH: &str = "/oauth2/security_events";
const SECRET: &str = "a-secret-of-the-transmitter-0123456789";
pub(super) const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type";

/// The claims of an event of this type about ann.
fn about_ann(event_type: &str) -> Value {
    json!({"aud": CLIENT_ID, "events": {event_type: {}}, "sub_id": {"format": "opaque", "id": "sub-ann"}})
}

/// An event that the provider signs, but for these claims and header members.
pub(super) fn of_provider(idp: &Idp, edits: Value, header: Value) -> String {
    let mut claims = about_ann(&format!("{CAEP}/session-revoked"));
    for unusual in ["exp", "nbf", "sub"] {
        claims[unusual] = Value::Null;
    }
    let Value::Object(edits) = edits else { panic!("{edits} is no object") };
    claims.as_object_mut().unwrap().extend(edits);
    idp.signed_event("secevent+jwt", CLIENT_ID, claims, header)
}

pub(super) async fn push(world: &World, token: &str) -> Reply {
    push_with(world, &[("content-type", "application/secevent+jwt")], token).await
}

async fn push_with(world: &World, headers: &[(&str, &str)], token: &str) -> Reply {
    world.visitor().send(Method::POST, PATH, headers, token).await
}

/// The code of a refusal.
fn err(reply: &Reply) -> String {
    assert_eq!((reply.status, reply.header("cache-control")), (StatusCode::BAD_REQUEST, "no-store"), "{}", reply.text());
    reply.json()["err"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_event_of_the_provider_s_ends_everything_of_its_user_on_every_replica() {
    let world = world().replicas(2).start().await;
    let everything = Everything::of_ann(&world).await;
    let by_issuer = json!({"sub_id": {"format": "iss_sub", "iss": world.idp.issuer(), "sub": "sub-ann"}});
    let done = push(&world, &of_provider(&world.idp, by_issuer, json!({}))).await;
    assert_eq!((done.status, done.text().as_str(), done.header("cache-control")), (StatusCode::ACCEPTED, "", "no-store"));
    everything.expect_gone(&world, "security_event").await;
    eventually("her refresh tokens are revoked", async || world.idp.revoked().len() == 2).await;
    world.clock.advance(Duration::from_secs(10));
    world.idp.log_in_as(user("ann"));
    assert!(world.signed_in().await.get("/").await.is_upstreams());
    assert_eq!(call(&world.visitor(), &bearer(&world.idp, "sub-ann")).await, StatusCode::OK, "a token that was issued since");
}

#[tokio::test]
async fn a_transmitter_that_is_no_provider_names_users_in_its_own_ways_and_brings_its_secret() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    for (kind, event) in [
        (
            Kind::Postgres,
            json!({"sub_id": {"format": "complex", "user": {"format": "email", "email": "Ann@example.com"},
                "device": {"format": "opaque", "id": "d"}},
                "events": {format!("{CAEP}/device-compliance-change"): {"current_status": "not-compliant", "event_timestamp": 1}}}),
        ),
        (
            Kind::Sqlite,
            json!({"events": {format!("{RISC}/account-disabled"): {"reason": "hijacking",
                "subject": {"subject_type": "email", "email": "ann@example.com"}}}}),
        ),
    ] {
        let world = world()
            .on(kind)
            .by(clock.clone())
            .set("oidc_event_issuer_url", &transmitter.issuer())
            .set("oidc_event_secret", SECRET)
            .set("oidc_event_audience", "https://receiver.example, urn:ours")
            .start()
            .await;
        let everything = Everything::of_ann(&world).await;
        let mut claims = json!({"aud": ["https://other.example", "urn:ours"]});
        claims.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        let token = transmitter.event(claims, json!({}));
        let own = of_provider(&world.idp, json!({}), json!({}));
        for (what, authorization) in
            [("none", String::new()), ("wrong", format!("Bearer {SECRET}x")), ("another scheme", format!("Basic {SECRET}"))]
        {
            for token in [&token, &own] {
                let refused = push_with(&world, &[("authorization", &authorization)], token).await;
                assert_eq!(err(&refused), "authentication_failed", "{what}");
            }
        }
        assert!(everything.here.get("/").await.is_upstreams());
        let done = push_with(&world, &[("authorization", &format!("Bearer {SECRET}"))], &token).await;
        assert_eq!(done.status, StatusCode::ACCEPTED, "{}", done.text());
        everything.expect_gone(&world, "security_event").await;
    }
}

#[tokio::test]
async fn an_event_that_is_not_to_be_believed_ends_nothing() {
    let world = world().start().await;
    let visitor = world.signed_in().await;
    let (now, endpoint) = (world.clock.now().seconds(), format!("{ACCESS}{PATH}"));
    let two = json!({format!("{CAEP}/session-revoked"): {}, format!("{RISC}/account-disabled"): {}});
    for (what, claims, header, code) in [
        ("iss", json!({"iss": "https://other"}), json!({}), "invalid_issuer"),
        ("no iss", json!({"iss": null}), json!({}), "invalid_issuer"),
        ("aud", json!({"aud": "https://other.test/oauth2/security_events"}), json!({}), "invalid_audience"),
        ("an audience that begins like ours", json!({"aud": format!("{endpoint}x")}), json!({}), "invalid_audience"),
        ("no aud", json!({"aud": null}), json!({}), "invalid_audience"),
        ("no iat", json!({"iat": null}), json!({}), "invalid_request"),
        ("an iat that is no time", json!({"iat": "now"}), json!({}), "invalid_request"),
        ("of another day", json!({"iat": now + 2 * 24 * 3600}), json!({}), "invalid_request"),
        ("in milliseconds", json!({"iat": now * 1000}), json!({}), "invalid_request"),
        ("expired", json!({"exp": now - 61}), json!({}), "invalid_request"),
        ("an exp that is no time", json!({"exp": "never"}), json!({}), "invalid_request"),
        ("no jti", json!({"jti": null}), json!({}), "invalid_request"),
        ("no events", json!({"events": null}), json!({}), "invalid_request"),
        ("an empty list of events", json!({"events": {}}), json!({}), "invalid_request"),
        ("two events", json!({"events": two}), json!({}), "invalid_request"),
        (
            "an event that is no object",
            json!({"events": {format!("{CAEP}/session-revoked"): "yes"}}),
            json!({}),
            "invalid_request",
        ),
        ("no subject", json!({"sub_id": null}), json!({}), "invalid_request"),
        ("a subject that nobody has", json!({"sub_id": {"format": "opaque", "id": "a\0b"}}), json!({}), "invalid_request"),
        ("a subject without a format", json!({"sub_id": {"id": "sub-ann"}}), json!({}), "invalid_request"),
        ("no address", json!({"sub_id": {"format": "email", "email": "*"}}), json!({}), "invalid_request"),
        (
            "another issuer's user",
            json!({"sub_id": {"format": "iss_sub", "iss": "https://other", "sub": "sub-ann"}}),
            json!({}),
            "access_denied",
        ),
        ("an ID token's typ", json!({}), json!({"typ": "JWT"}), "invalid_request"),
        ("a logout token's typ", json!({}), json!({"typ": "logout+jwt"}), "invalid_request"),
        ("no typ", json!({}), json!({"typ": null}), "invalid_request"),
        ("alg none", json!({}), json!({"alg": "none"}), "invalid_key"),
        ("wrong alg", json!({}), json!({"alg": "RS256"}), "invalid_key"),
        ("shared secret", json!({}), json!({"alg": "HS256"}), "invalid_key"),
        ("crit", json!({}), json!({"crit": ["x"]}), "invalid_request"),
    ] {
        let refused = push(&world, &of_provider(&world.idp, claims, header)).await;
        assert_eq!(err(&refused), code, "{what}");
        assert_eq!(refused.header("content-language"), "en");
    }
    let tampered = of_provider(&world.idp, json!({}), json!({}));
    let (head, signature) = tampered.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let other = of_provider(&world.idp, json!({"sub_id": {"format": "opaque", "id": "sub-bob"}}), json!({}));
    let payload = other.split('.').nth(1).unwrap();
    for (what, body, code) in [
        ("garbage", "a.b.c".to_owned(), "invalid_request"),
        ("nothing", String::new(), "invalid_request"),
        ("too large", "a".repeat(20_000), "invalid_request"),
        ("tampered", format!("{header}.{payload}.{signature}"), "invalid_key"),
        ("no signature", format!("{head}."), "invalid_key"),
    ] {
        // Each is judged by keys that are newer than it is, for which a fetch is due.
        world.clock.advance(Duration::from_secs(10));
        assert_eq!(err(&push(&world, &body).await), code, "{what}");
    }
    let good = of_provider(&world.idp, json!({}), json!({}));
    for media_type in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
        assert_eq!(err(&push_with(&world, &[("content-type", media_type)], &good).await), "invalid_request", "{media_type}");
    }
    assert_eq!(world.visitor().get(PATH).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let unknown = push(&world, &of_provider(&world.idp, json!({}), json!({"kid": "other"}))).await;
    assert_eq!((unknown.status, unknown.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"), "it may be genuine");
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(push(&world, &of_provider(&world.idp, json!({"aud": endpoint}), json!({}))).await.status, StatusCode::ACCEPTED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_does_not_concern_a_gateway_is_accepted_and_ends_nothing() {
    let world = world().start().await;
    let visitor = world.signed_in().await;
    let stream = json!({"format": "opaque", "id": "stream-1"});
    for (event_type, event, sub_id) in [
        ("https://schemas.openid.net/secevent/ssf/event-type/verification", json!({"state": "a-state-of-ours"}), stream.clone()),
        ("https://schemas.openid.net/secevent/ssf/event-type/stream-updated", json!({"status": "paused"}), stream),
        (
            "https://schemas.openid.net/secevent/risc/event-type/account-enabled",
            json!({}),
            json!({"format": "opaque", "id": "sub-ann"}),
        ),
        ("https://example.com/an-event-of-tomorrow", json!({}), json!({"format": "opaque", "id": "sub-ann"})),
        ("http://schemas.openid.net/event/backchannel-logout", json!({}), json!({"format": "opaque", "id": "sub-ann"})),
        (
            "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
            json!({}),
            json!({"format": "did", "url": "did:x"}),
        ),
        (
            "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
            json!({}),
            json!({"format": "opaque", "id": "%"}),
        ),
    ] {
        let token = of_provider(&world.idp, json!({"events": {event_type: event}, "sub_id": sub_id}), json!({}));
        assert_eq!(push(&world, &token).await.status, StatusCode::ACCEPTED, "{event_type} {sub_id}");
    }
    assert!(visitor.get("/").await.is_upstreams());
    let ignored = lines_with(&["a security event has ended nothing"]);
    assert_eq!(ignored.len(), 4, "{ignored:?}");
    assert!(ignored.iter().any(|line| line.contains("an-event-of-tomorrow")), "{ignored:?}");
    assert_eq!(lines_with(&["a transmitter has verified that its security events arrive"]).len(), 1);
    assert_eq!(lines_with(&["a transmitter has changed its stream of security events"]).len(), 1);
    assert!(world.metric(0, "evergate_user_ends_total") >= 4.0);
}

#[tokio::test]
async fn an_event_about_a_session_ends_those_alone_that_came_of_it() {
    let world = world().start().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-1"));
    let first = world.signed_in().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("sid-2"));
    let second = world.signed_in().await;
    let [user, session] = ["sub-ann", "sid-1"].map(|id| json!({"format": "opaque", "id": id}));
    let complex = json!({"sub_id": {"format": "complex", "user": user, "session": session}});
    assert_eq!(push(&world, &of_provider(&world.idp, complex, json!({}))).await.status, StatusCode::ACCEPTED);
    assert_eq!(first.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert!(second.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_session_that_is_named_by_an_opaque_identifier_alone_ends_and_its_user_s_others_go_on() {
    for (round, (kind, name)) in [(Kind::Sqlite, "id"), (Kind::Postgres, "sub")].into_iter().enumerate() {
        let world = world().on(kind).replicas(if kind == Kind::Postgres { 2 } else { 1 }).start().await;
        world.idp.edit_id_token(|claims| claims["sid"] = json!("dMTlD|1600802906337.16|16008.16"));
        let first = world.signed_in().await;
        world.idp.edit_id_token(|claims| claims["sid"] = json!("another"));
        let second = world.signed_in().await;
        let opaque = json!({"sub_id": {"format": "opaque", name: "dMTlD|1600802906337.16|16008.16"}});
        assert_eq!(push(&world, &of_provider(&world.idp, opaque, json!({}))).await.status, StatusCode::ACCEPTED);
        for replica in &world.replicas {
            let ended = async || first.at(replica.address).fetch("/").await.status == StatusCode::UNAUTHORIZED;
            eventually("it has ended on every replica", ended).await;
            assert!(second.at(replica.address).get("/").await.is_upstreams());
        }
        let token = bearer(&world.idp, "sub-ann");
        assert_eq!(call(&world.visitor(), &token).await, StatusCode::OK, "nothing else of the user's ends");

        let unknown = json!({"sub_id": {"format": "opaque", name: "nobody's"}});
        assert_eq!(push(&world, &of_provider(&world.idp, unknown, json!({}))).await.status, StatusCode::ACCEPTED);
        assert_eq!(lines_with(&["with no session here"]).len(), round + 1, "nothing is ended silently");
        assert!(second.get("/").await.is_upstreams());
    }
}

#[tokio::test]
async fn an_event_about_an_account_ends_no_session_at_the_provider_that_has_the_same_name() {
    let world = world().start().await;
    world.idp.edit_id_token(|claims| claims["sid"] = json!("sub-bob"));
    let ann = world.signed_in().await;
    let disabled = json!({"events": {format!("{RISC}/account-disabled"): {}}, "sub_id": {"format": "opaque", "id": "sub-bob"}});
    assert_eq!(push(&world, &of_provider(&world.idp, disabled, json!({}))).await.status, StatusCode::ACCEPTED);
    assert!(ann.get("/").await.is_upstreams(), "what is about a user is about no session of the same name");
}

#[tokio::test]
async fn an_event_that_comes_again_or_late_ends_no_session_that_began_since() {
    let world = world().start().await;
    let before = world.signed_in().await;
    let token = of_provider(&world.idp, json!({}), json!({}));
    let late = of_provider(&world.idp, json!({}), json!({}));
    assert_eq!(push(&world, &token).await.status, StatusCode::ACCEPTED);
    assert_eq!(before.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    world.clock.advance(Duration::from_secs(10));
    let after = world.signed_in().await;
    assert_eq!(push(&world, &token).await.status, StatusCode::ACCEPTED, "a transmitter that lost the response sends it again");
    assert!(after.get("/").await.is_upstreams());
    for days in [0, 3] {
        world.clock.advance(Duration::from_secs(days * 24 * 3600 + 120));
        let later = world.signed_in().await;
        for token in [&token, &late] {
            assert_eq!(push(&world, token).await.status, StatusCode::ACCEPTED);
        }
        assert!(later.get("/").await.is_upstreams(), "whoever has logged in since has proved themselves since");
    }
}

#[tokio::test]
async fn an_event_that_comes_before_the_login_s_callback_is_not_forgotten() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).start().await;
        let visitor = world.visitor();
        let callback = world.idp.authorize(&visitor.get("/page").await.location()).await;
        world.clock.advance(Duration::from_secs(5));
        assert_eq!(push(&world, &of_provider(&world.idp, json!({}), json!({}))).await.status, StatusCode::ACCEPTED);
        world.clock.advance(Duration::from_secs(20));
        let again = visitor.get(&path_of(&callback)).await.location();
        assert!(again.as_str().starts_with(world.idp.issuer()), "it is for the provider to say who is there now: {again}");
        assert!(visitor.session().is_none());
    }
}

#[tokio::test]
async fn while_the_store_is_away_the_transmitter_is_told_to_come_again_and_it_holds_where_it_came() {
    let world = world().on(Kind::Postgres).set("store_outage_grace", "10m").start().await;
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    world.store_line.as_ref().unwrap().cut();
    let told = push(&world, &of_provider(&world.idp, json!({}), json!({}))).await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!told.header("retry-after").is_empty());
    assert_ne!(visitor.fetch("/").await.status, StatusCode::OK);
    world.store_line.as_ref().unwrap().mend();
    eventually("it is recorded", async || is_told(&world, "sub-ann", "security_event").await).await;
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_transmitter_ends_users_of_the_providers_alone_that_it_is_configured_for() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    let (_line, partners, table) = partners(&clock, &transmitter).await;
    let world = World::build().by(clock).routes(move |_| table.clone()).start().await;
    let log_in = async |name: &str, idp: &Idp| {
        let visitor = world.visitor();
        visitor.log_in(idp, &format!("/oauth2/start?provider={name}&rd=/")).await;
        visitor
    };
    // Both providers know an ann, by the same subject and address.
    let (ours, theirs) = (log_in("default", &world.idp).await, log_in("partners", &partners).await);
    let event = |sub_id: Value| {
        let mut claims = about_ann(&format!("{RISC}/account-disabled"));
        claims["sub_id"] = sub_id;
        claims
    };
    let of_ours = json!({"format": "iss_sub", "iss": world.idp.issuer(), "sub": "sub-ann"});
    let by_transmitter = |claims| transmitter.event(claims, json!({}));
    assert_eq!(err(&push(&world, &by_transmitter(event(of_ours.clone()))).await), "access_denied");
    let forged = partners.signed_event("secevent+jwt", CLIENT_ID, event(of_ours), json!({}));
    assert_eq!(err(&push(&world, &forged).await), "access_denied");
    let mut forged = event(json!({"format": "opaque", "id": "sub-ann"}));
    forged["iss"] = json!(world.idp.issuer());
    assert_ne!(push(&world, &by_transmitter(forged)).await.status, StatusCode::ACCEPTED, "under another's name");
    assert!(ours.get("/").await.is_upstreams() && theirs.get("/").await.is_upstreams());
    let address = json!({"format": "email", "email": "ann@example.com"});
    assert_eq!(push(&world, &by_transmitter(event(address))).await.status, StatusCode::ACCEPTED);
    assert_eq!(theirs.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert!(ours.get("/").await.is_upstreams());
}

#[tokio::test]
async fn an_event_of_a_transmitter_whose_clock_is_ahead_takes_effect_at_once_and_never_again() {
    let world = world().start().await;
    let visitor = world.signed_in().await;
    let now = world.clock.now().seconds();
    let early = of_provider(&world.idp, json!({"iat": now + 3600}), json!({}));
    assert_eq!(push(&world, &early).await.status, StatusCode::ACCEPTED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    world.clock.advance(Duration::from_secs(60));
    let later = world.signed_in().await;
    for pause in [0, 3600, 24 * 3600 - 60] {
        world.clock.advance(Duration::from_secs(pause));
        assert_eq!(push(&world, &early).await.status, StatusCode::ACCEPTED, "{pause}");
        // A token refresh may be slow on a busy machine; who is logged out is never served again.
        eventually("who has logged in since is spared", async || later.get("/").await.is_upstreams()).await;
    }
    let beyond = of_provider(&world.idp, json!({"iat": world.clock.now().seconds() + 24 * 3600 + 60}), json!({}));
    assert_eq!(err(&push(&world, &beyond).await), "invalid_request");
}

#[tokio::test]
async fn why_an_event_is_no_event_is_told_once() {
    let world = world().start().await;
    let refused = push(&world, &of_provider(&world.idp, json!({"jti": null}), json!({}))).await;
    assert_eq!(err(&refused), "invalid_request");
    let lines = lines_with(&["a security event was refused", "it has no iss or no jti"]);
    assert!(!lines.is_empty() && lines.iter().all(|line| line.matches("it has no iss or no jti").count() == 1), "{lines:?}");
}
