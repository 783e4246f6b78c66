//! Events whose keys are not known yet. A transmitter does not send again what is refused, so that none is refused by keys that may be
//! older than it is.

use super::*;
use crate::harness::idp::{Endpoint, Misbehaviour, Signer};

const PATH: &str = "/oauth2/security_events";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// An issuer of events that is no provider, and a world that believes it.
struct EventIssuer {
    idp: Arc<Idp>,
    world: World,
    _line: FaultProxy,
}

impl EventIssuer {
    async fn start() -> Self {
        let (clock, line) = (Clock::manual(), FaultProxy::start().await);
        let idp = Idp::start(&line.url(), clock.clone()).await;
        line.forward_to(idp.address);
        let world = world().by(clock).set("oidc_event_issuer_url", idp.issuer()).start().await;
        Self { idp, world, _line: line }
    }

    /// An event that ends ann.
    fn event(&self) -> String {
        let subject = json!({"format": "email", "email": "ann@example.com"});
        let claims = json!({"exp": null, "nbf": null, "sub": null, "events": {SESSION_REVOKED: {}}, "sub_id": subject});
        self.idp.signed_event("secevent+jwt", CLIENT_ID, claims, json!({}))
    }

    async fn push(&self, token: &str) -> StatusCode {
        push(&self.world.visitor(), token).await
    }
}

async fn push(transmitter: &Visitor, token: &str) -> StatusCode {
    transmitter.send(Method::POST, PATH, &[("content-type", "application/secevent+jwt")], token).await.status
}

#[tokio::test]
async fn a_security_event_that_comes_during_an_older_fetch_is_not_refused_by_it() {
    let issuer = EventIssuer::start().await;
    let visitor = issuer.world.signed_in().await;
    assert_eq!(issuer.push(&Signer::forged(&issuer.event())).await, StatusCode::BAD_REQUEST);
    issuer.world.clock.advance(Duration::from_secs(11));
    let fetches = issuer.idp.calls(Endpoint::Jwks);
    issuer.idp.misbehave(Endpoint::Jwks, Misbehaviour::HeldAnswer);
    let pushed = |token: String| {
        let transmitter = issuer.world.visitor();
        tokio::spawn(async move { push(&transmitter, &token).await })
    };
    let stranger = pushed(Signer::forged(&issuer.event()));
    eventually("keys are asked for", async || issuer.idp.calls(Endpoint::Jwks) > fetches).await;
    issuer.idp.rotate_keys(true);
    let genuine = issuer.event();
    let first = pushed(genuine.clone());
    // Once a later request is answered it has come, and waits for those keys.
    issuer.world.visitor().get("/oauth2/readyz").await;
    issuer.idp.behave(Endpoint::Jwks);
    assert_eq!(stranger.await.unwrap(), StatusCode::BAD_REQUEST);
    assert_eq!(first.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE, "those keys were asked for before it came");
    issuer.world.clock.advance(Duration::from_secs(11));
    assert_eq!(issuer.push(&genuine).await, StatusCode::ACCEPTED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_transmitter_s_metadata_may_have_a_slash_less_than_the_setting() {
    let clock = Clock::manual();
    let transmitter = Transmitter::start(clock.clone()).await;
    let world = world().by(clock).set("oidc_event_issuer_url", &format!("{}/", transmitter.issuer())).start().await;
    let visitor = world.signed_in().await;
    let subject = json!({"format": "email", "email": "ann@example.com"});
    let claims = json!({"aud": CLIENT_ID, "events": {SESSION_REVOKED: {}}, "sub_id": subject});
    assert_eq!(push(&world.visitor(), &transmitter.event(claims, json!({}))).await, StatusCode::ACCEPTED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_security_event_by_a_reused_key_name_is_put_off_while_no_keys_may_be_fetched() {
    let issuer = EventIssuer::start().await;
    let visitor = issuer.world.signed_in().await;
    let rotate = || {
        let key = Signer::generate("ES256", "the only name");
        let published = [key.jwk()];
        issuer.idp.sign_with(key, &published);
    };
    rotate();
    assert_eq!(issuer.push(&Signer::forged(&issuer.event())).await, StatusCode::BAD_REQUEST, "a stranger has keys fetched");
    rotate();
    let genuine = issuer.event();
    assert_eq!(issuer.push(&genuine).await, StatusCode::SERVICE_UNAVAILABLE, "it is not known to be forged");
    assert!(visitor.get("/").await.is_upstreams());
    issuer.world.clock.advance(Duration::from_secs(11));
    assert_eq!(issuer.push(&genuine).await, StatusCode::ACCEPTED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}
