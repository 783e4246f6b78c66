//! Renewal by what is known of the provider: its secrets, its limits, its habits.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    World,
    eventually::{eventually, settled},
    idp::{CLIENT_SECRET, Endpoint, Misbehaviour},
    logs::lines_with,
};

const EXPIRED: Duration = Duration::from_secs(301);

#[tokio::test]
async fn a_client_secret_is_rotated_at_the_provider_and_nobody_notices() {
    // The administrator sets both secrets first, and rotates at the provider later.
    let world =
        World::build().set("oidc_client_secret", "the-new-one").set("oidc_client_secret_previous", CLIENT_SECRET).start().await;
    let visitor = world.signed_in().await;
    for (renewals, secret) in [(1, CLIENT_SECRET), (2, "the-new-one"), (3, "the-new-one"), (4, CLIENT_SECRET)] {
        world.idp.change_secret(secret);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewals"], renewals);
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 6, "the other secret is tried when one is refused, and then stays");
    assert!(lines_with(&[world.idp.issuer(), "failed to renew"]).is_empty());
    world.idp.change_secret("the-new-one");
    visitor.send(http::Method::POST, "/oauth2/sign_out", &[], "").await;
    eventually("the token is revoked with the secret that is right", async || !world.idp.has_live_refresh_token()).await;
}

#[tokio::test]
async fn while_both_secrets_are_refused_the_client_is_asked_for_once_a_minute_and_sessions_live_on() {
    let world = World::build().set("oidc_client_secret_previous", "the-one-before").start().await;
    let visitor = world.signed_in().await;
    world.idp.change_secret("nobody-knows");
    world.clock.advance(EXPIRED);
    for _ in 0..5 {
        assert!(visitor.get("/").await.is_upstreams());
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2, "each secret once");
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["client"], "refused");
    world.idp.change_secret("the-one-before");
    world.clock.advance(Duration::from_secs(61));
    eventually("it is renewed with the other secret", async || {
        assert!(visitor.get("/").await.is_upstreams());
        visitor.fetch("/oauth2/userinfo").await.json()["renewals"] == 1
    })
    .await;
}

#[tokio::test]
async fn a_refresh_token_that_would_die_unused_is_renewed_while_its_user_is_near_and_left_when_not() {
    // As Keycloak does it: the access token lives 5 minutes, the refresh token 30 unless it is used.
    let world = World::build().start_with(|idp| idp.edit_answer(|answer| answer["refresh_expires_in"] = json!(1800))).await;
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    world.clock.advance(Duration::from_secs(24 * 60));
    eventually("the grant is kept alive without a request", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    // Nobody came back: it is left to die.
    world.clock.advance(Duration::from_secs(24 * 60));
    let looked = evergate_looks_again(&world).await;
    assert!(looked, "only the other grant was renewed");
    assert!(visitor.get("/").await.is_upstreams(), "whoever comes back in time is renewed by coming");
    assert_eq!(world.idp.calls(Endpoint::Refresh), 3);
}

#[tokio::test]
async fn a_refresh_token_that_expires_with_its_access_token_is_renewed_before_while_its_user_is_near() {
    // As Canaille does it, which tells nothing of it. The window before the expiry has not begun yet. The scope is what the
    // provider of these tests wants.
    let world = World::build()
        .set("oidc_preset", "canaille")
        .set("oidc_scopes", "openid,email,offline_access")
        .start_with(|idp| idp.access_tokens_live(Some(json!(1800))))
        .await;
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    world.clock.advance(Duration::from_secs(24 * 60));
    eventually("the grant is kept alive without a request", async || world.idp.calls(Endpoint::Refresh) == 1).await;
}

/// Another user's grant, which is due, is kept alive: so the idle one was looked at, and passed over.
async fn evergate_looks_again(world: &World) -> bool {
    let near = world.signed_in().await;
    let before = world.idp.calls(Endpoint::Refresh);
    world.sql("UPDATE grants SET refresh_until = refresh_until - 1600000 WHERE generation = 0").await;
    eventually("the other grant is kept alive", async || near.fetch("/oauth2/userinfo").await.json()["renewals"] == 1).await;
    world.idp.calls(Endpoint::Refresh) == before + 1
}

#[tokio::test]
async fn an_outage_costs_no_more_one_use_tokens_than_it_takes_to_notice_it() {
    let world = World::start().await;
    let mut visitors = Vec::new();
    for _ in 0..12 {
        visitors.push(world.signed_in().await);
    }
    world.clock.advance(EXPIRED);
    for visitor in &visitors {
        assert!(visitor.get("/").await.is_upstreams(), "one renewal shows that tokens rotate");
    }
    // Answers that leave open whether the token was used, for as long as it takes.
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(502, String::new(), vec![]));
    world.clock.advance(EXPIRED);
    for visitor in visitors.iter().cycle().take(120) {
        world.clock.advance(Duration::from_secs(2));
        visitor.get("/").await;
        // One after the other, however slow the machine is: what is under way at the third failure counts too.
        eventually("no token refresh is under way", async || world.idp.at_once() == 0).await;
    }
    let presented = world.idp.calls(Endpoint::Refresh) - visitors.len();
    // Three failures are an outage; one or two more may have been under way at the third.
    assert!(presented <= 5, "{presented} tokens were presented in vain");
    assert!(world.idp.calls(Endpoint::Probe) >= 3, "it was looked at with a token that is nobody's");
    assert!(world.replicas[0].metrics.render().unwrap().contains("evergate_provider_outage 1"));
    let said = |text| lines_with(&[world.idp.issuer(), text]).len();
    assert_eq!(said("the provider does not renew grants"), 1, "said once, not per request");
    world.idp.behave(Endpoint::Refresh);
    world.clock.advance(Duration::from_secs(31));
    eventually("everybody is served", async || {
        world.clock.advance(Duration::from_secs(1));
        for visitor in &visitors {
            if !visitor.browse(&world.idp, "/").await.is_upstreams() {
                return false;
            }
        }
        2 * visitors.len() <= world.idp.calls(Endpoint::Refresh)
    })
    .await;
    assert_eq!(said("the provider renews grants again"), 1);
    assert!(world.replicas[0].metrics.render().unwrap().contains("evergate_provider_outage 0"));
    assert_eq!(world.idp.prompts(), 1, "nobody had to do anything");
}

#[tokio::test]
async fn a_provider_at_its_limit_is_asked_for_less_at_once() {
    let world = World::build().set("oidc_max_concurrent_renewals", "8").start().await;
    let mut visitors = Vec::new();
    for _ in 0..16 {
        visitors.push(world.signed_in().await);
    }
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(429, String::new(), vec![("retry-after", "1")]));
    world.clock.advance(EXPIRED);
    assert!(visitors[0].get("/").await.is_upstreams(), "served within the grace");
    world.idp.behave(Endpoint::Refresh);
    world.clock.advance(Duration::from_secs(2));
    assert!(visitors[0].get("/").await.is_upstreams());
    eventually("its trouble is over", async || visitors[0].fetch("/oauth2/userinfo").await.json()["renewals"] == 1).await;
    world.idp.start_counting_at_once();
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    let asked: Vec<_> =
        visitors.into_iter().map(|visitor| tokio::spawn(async move { visitor.get("/").await.is_upstreams() })).collect();
    eventually("it is asked for several", async || world.idp.at_once() > 1).await;
    settled().await;
    assert!(world.idp.most_at_once() <= 4, "half of eight at the most: {}", world.idp.most_at_once());
    world.idp.behave(Endpoint::Refresh);
    for asked in asked {
        assert!(asked.await.unwrap());
    }
}
