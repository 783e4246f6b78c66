//! How providers have answered, how far silent re-authentication is, and which certificates and keys there are.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::{PAGE, Program, administered, administrator, both, browser};
use crate::harness::{
    certificates::Authority,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, user},
};

const EXPIRED: Duration = Duration::from_secs(301);

#[tokio::test]
async fn what_became_of_token_refreshes_is_counted_by_the_hour_by_all_replicas_and_drawn() {
    for kind in both() {
        let build = administered().on(kind);
        let world = if kind == crate::harness::Kind::Postgres { build.replicas(2) } else { build }.start().await;
        let ann = administrator(&world).await;
        assert!(ann.get(&format!("{PAGE}/providers")).await.text().contains("No token refresh in the last 14 days."));
        let bob = browser(&world, user("bob")).await;
        for replica in &world.replicas {
            world.clock.advance(EXPIRED);
            assert!(bob.at(replica.address).fetch("/").await.is_upstreams());
        }
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, String::new(), Vec::new()));
        world.clock.advance(EXPIRED);
        bob.fetch("/").await;
        world.idp.behave(Endpoint::Refresh);
        let program = Program::of(&administrator(&world).await).await;
        eventually("all of them are counted", async || {
            let providers = program.get("/providers").await;
            let hours = providers["providers"][0]["hours"].as_array().unwrap().clone();
            let count = |outcome: &str| hours.iter().map(|hour| hour["outcomes"][outcome].as_i64().unwrap()).sum::<i64>();
            count("ok") >= i64::try_from(world.replicas.len()).unwrap() && count("retry") >= 1
        })
        .await;
        for days in ["2", "14"] {
            let text = administrator(&world).await.get(&format!("{PAGE}/providers?days={days}")).await.text();
            for part in
                ["<svg class=\"chart\" role=\"img\"", "<table>", "<th scope=\"row\">", "failed, tried again", world.idp.issuer()]
            {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert!(text.len() < 20 * 1024, "{}", text.len());
        }
        let odd = administrator(&world).await.get(&format!("{PAGE}/providers?days=400")).await;
        assert_eq!(odd.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn after_a_change_of_settings_it_is_told_how_many_logins_have_the_new_ones() {
    for kind in both() {
        let mut world = administered().on(kind).start().await;
        browser(&world, user("bob")).await;
        world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access,phone")]).await;
        let ann = administrator(&world).await;
        let program = Program::of(&ann).await;
        let told = async || program.get("/providers").await["providers"][0].clone();
        // Ann's browser, her token and Bob's browser.
        let provider = told().await;
        assert_eq!(
            (&provider["sampledGrants"], &provider["ofPresentSettings"], &provider["renewable"]),
            (&json!(3), &json!(2), &json!(3))
        );
        let text = ann.get(&format!("{PAGE}/providers")).await.text();
        assert!(text.contains("2 of 3 that were looked at"), "{text}");
    }
}

#[tokio::test]
async fn what_evergate_presents_and_trusts_is_told_with_its_end() {
    let authority = Authority::new();
    let ((upstream, upstream_key), (provider, provider_key)) =
        (authority.issue("upstream", &["gateway.test"]), authority.issue("provider", &["gateway.test"]));
    let build = administered().set("upstream_client_cert_file", &upstream).set("upstream_client_key_file", &upstream_key);
    let build = build.set("tls_client_cert_file", &provider).set("tls_client_key_file", &provider_key);
    let world = build.set("upstream_ca_file", &authority.ca_file()).start().await;
    let ann = administrator(&world).await;
    let text = ann.get(&format!("{PAGE}/keys")).await.text();
    for part in
        ["Certificates that Evergate presents", "presented as a client · expires", "CA bundle · expires", &upstream, &provider]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let keys = Program::of(&ann).await.get("/keys").await;
    let others = keys["otherCertificates"].as_array().unwrap();
    let used = |name: &str| others.iter().filter(|other| other["use"] == name && other["expiresAt"].is_i64()).count();
    assert_eq!((used("client_certificate"), used("ca_bundle")), (2, 1), "{keys}");
    let first = others.iter().map(|other| other["expiresAt"].as_i64().unwrap()).min().unwrap();
    assert_eq!(world.metric(0, "evergate_client_certificate_expiry_timestamp_seconds"), first as f64);
}

#[tokio::test]
async fn keys_are_told_by_name_with_what_they_encrypt() {
    let world = administered().start().await;
    let ann = administrator(&world).await;
    let text = ann.get(&format!("{PAGE}/keys")).await.text();
    assert!(text.contains("does not terminate TLS") && text.contains("encrypts: 1 grant<"), "{text}");
    let keys = Program::of(&ann).await.get("/keys").await;
    assert_eq!((&keys["certificates"], &keys["encryptionKeys"][0]["seals"]), (&json!([]), &json!(true)));
    let provider = &keys["providerKeys"][0];
    assert_eq!(provider["issuer"], world.idp.issuer());
    assert!(provider["fetchedAt"].is_i64() && provider["keys"][0]["key"].is_string(), "{keys}");
    assert!(provider["keys"][0]["certificateExpiresAt"].is_null(), "it has no certificate");
    let id = provider["keys"][0]["key"].as_str().unwrap();
    assert!(text.contains(&format!("Signing keys of {}", world.idp.issuer())) && text.contains(id), "{text}");
    assert!(text.contains("This replica fetched them") && text.contains("names no end"), "{text}");
}

#[tokio::test]
async fn one_grant_s_refusal_tells_nothing_of_the_sessions_of_others() {
    for kind in both() {
        let world = administered().on(kind).set("oidc_outage_grace", "1h").start().await;
        let (bob, _eve) = (browser(&world, user("bob")).await, browser(&world, user("eve")).await);
        let program = Program::of(&administrator(&world).await).await;
        let state = async || program.get("/sessions?name=eve").await["sessions"][0]["state"].clone();
        let refused = Misbehaviour::Answer(400, json!({ "error": "invalid_scope" }).to_string(), Vec::new());
        let lost = Misbehaviour::Answer(502, String::new(), Vec::new());
        for (answer, reason) in [(refused, "invalid_scope"), (lost, "status_502")] {
            world.clock.advance(Duration::from_secs(2 * 3600));
            // The program's own grant is fresh from now on.
            assert_eq!(state().await, "renewable");
            world.idp.misbehave(Endpoint::Refresh, answer);
            assert!(!bob.fetch("/").await.is_upstreams());
            let history = async || world.command(&["sessions", "show", "bob"]).await.1;
            eventually("it is in the history", async || history().await.contains(reason)).await;
            assert_eq!(state().await, "renewable", "{reason}");
            world.idp.behave(Endpoint::Refresh);
        }
    }
}

#[tokio::test]
async fn a_session_that_nothing_renews_now_is_told_as_one_that_is_not_served() {
    for kind in both() {
        let world = administered().on(kind).set("oidc_outage_grace", "1h").start().await;
        let (bob, eve) = (browser(&world, user("bob")).await, browser(&world, user("eve")).await);
        let program = Program::of(&administrator(&world).await).await;
        let state = async |name: &str| program.get(&format!("/sessions?name={name}")).await["sessions"][0]["state"].clone();
        world.clock.advance(Duration::from_secs(2 * 3600));
        assert_eq!(state("eve").await, json!("renewable"), "nobody has asked the provider");
        // The program's own grant is fresh for the next minutes, in which the provider refuses the client.
        world.idp.change_secret("rotated");
        assert_eq!(bob.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
        // Renewals are paused by now, and hers makes no attempt of its own.
        assert_eq!(eve.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
        for name in ["bob", "eve"] {
            eventually("it is told", async || state(name).await == json!("unserved")).await;
        }
        world.idp.change_secret(crate::harness::idp::CLIENT_SECRET);
        world.clock.advance(Duration::from_secs(61));
        eventually("it is renewed", async || bob.get("/").await.is_upstreams()).await;
        eventually("it is told", async || state("eve").await == json!("renewable")).await;
        assert!(eve.get("/").await.is_upstreams());
    }
}
