//! What whoever controls one provider can do to the users of another: nothing.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Both;
use crate::harness::{
    World,
    idp::{Endpoint, Idp},
    visitor::path_of,
};

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

async fn announce(both: &Both, by: &Idp, claims: Value) -> StatusCode {
    let token = by.logout_token(claims, json!({}));
    both.world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &format!("logout_token={token}")).await.status
}

#[tokio::test]
async fn a_subject_or_session_of_one_provider_is_nobody_s_at_another() {
    for builder in [World::build(), World::build().replicas(2)] {
        let both = Both::of(builder, "", "").await;
        for idp in [&both.world.idp, &both.partners] {
            idp.edit_id_token(|claims| claims["sid"] = json!("sid-1"));
        }
        // Both providers know an `ann`, by the same subject.
        let (ours, theirs) = (both.of_default().await, both.of_partners().await);
        for claims in [json!({}), json!({"sid": "sid-1"}), json!({"sid": "sid-1", "sub": null})] {
            assert_eq!(announce(&both, &both.partners, claims.clone()).await, StatusCode::OK);
            assert!(ours.get("/").await.is_upstreams(), "{claims}");
            assert_eq!(theirs.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{claims}");
            // A login that begins in the second of the logout would be one of those that it ends.
            both.world.clock.advance(std::time::Duration::from_secs(61));
            theirs.log_in(&both.partners, "/oauth2/start?provider=partners").await;
        }
        for forged in [json!({"iss": both.world.idp.issuer()}), json!({"iss": "https://nobody.test"}), json!({"aud": "other"})] {
            assert_eq!(announce(&both, &both.partners, forged.clone()).await, StatusCode::BAD_REQUEST, "{forged}");
        }
        assert!(ours.get("/").await.is_upstreams());
        theirs.send(Method::POST, "/oauth2/sign_out?everywhere=true", &[("sec-fetch-site", "same-origin")], "").await.location();
        assert!(ours.get("/").await.is_upstreams(), "whom another signs out everywhere");
    }
}

#[tokio::test]
async fn a_front_channel_logout_ends_sessions_of_the_provider_alone_that_it_names() {
    let both = Both::start().await;
    for idp in [&both.world.idp, &both.partners] {
        idp.edit_id_token(|claims| claims["sid"] = json!("a-session-at-both-1"));
    }
    let (ours, theirs) = (both.of_default().await, both.of_partners().await);
    let load = async |query: &str| {
        let path = format!("/oauth2/frontchannel_logout?{query}");
        both.world.visitor().send(Method::GET, &path, &[], "").await.status
    };
    assert_eq!(load("sid=a-session-at-both-1").await, StatusCode::BAD_REQUEST, "of several, somebody's must be named");
    assert!(ours.get("/").await.is_upstreams() && theirs.get("/").await.is_upstreams());
    assert_eq!(load(&format!("iss={}&sid=a-session-at-both-1", both.partners.issuer())).await, StatusCode::OK);
    assert_eq!(theirs.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert!(ours.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_response_of_one_provider_is_worth_nothing_at_the_redirect_uri_of_another() {
    let both = Both::start().await;
    let visitor = both.world.visitor();
    let request = visitor.get("/oauth2/start?provider=default&rd=/").await.location();
    let callback = both.world.idp.authorize(&request).await;
    let moved = format!("/oauth2/callback/partners?{}", callback.query().unwrap());
    assert_ne!(path_of(&visitor.get(&moved).await.location()), "/", "a login begins again");
    // The mix-up attack: a login that began at the other provider is answered by this one, which sends its code to its own URI.
    let begun = visitor.get("/oauth2/start?provider=partners&rd=/").await.location();
    let state = begun.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let mut mixed = request.clone();
    let pairs: Vec<_> = request
        .query_pairs()
        .into_owned()
        .map(|(name, value)| if name == "state" { (name, state.clone()) } else { (name, value) })
        .collect();
    mixed.query_pairs_mut().clear().extend_pairs(pairs);
    let answered = both.world.idp.authorize(&mixed).await;
    assert_eq!(answered.path(), "/oauth2/callback");
    assert_ne!(path_of(&visitor.get(&path_of(&answered)).await.location()), "/");
    // And if it is brought to the URI of the provider that the state is of, as by whoever controls that.
    let mut brought = answered.clone();
    brought.set_path("/oauth2/callback/partners");
    assert_eq!(visitor.get(&path_of(&brought)).await.status, StatusCode::FORBIDDEN, "iss says whose it is (RFC 9207)");
    assert_eq!((both.world.idp.calls(Endpoint::Code), both.partners.calls(Endpoint::Code)), (0, 0), "no code went anywhere");
    assert!(visitor.session().is_none());
    for path in ["/oauth2/callback/nobody", "/oauth2/callback/default", "/oauth2/callback/"] {
        let reply = visitor.get(&format!("{path}?{}", callback.query().unwrap())).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(path_of(&visitor.get(&path_of(&callback)).await.location()), "/", "where it belongs it is good");
}

#[tokio::test]
async fn an_id_token_that_names_another_provider_s_issuer_is_refused() {
    let both = Both::start().await;
    let issuer = both.world.idp.issuer().to_owned();
    both.partners.edit_id_token(move |claims| claims["iss"] = json!(issuer));
    let visitor = both.world.visitor();
    let request = visitor.get("/oauth2/start?provider=partners").await.location();
    let refused = visitor.get(&path_of(&both.partners.authorize(&request).await)).await;
    assert_eq!((refused.status, refused.header("evergate-response")), (StatusCode::FORBIDDEN, "identity_refused"));
    assert!(visitor.session().is_none());
}

#[tokio::test]
async fn keys_of_one_provider_verify_no_token_of_another() {
    let both = Both::start().await;
    // The other provider publishes this one's keys as its own, and answers with a token that this one has signed.
    let (ours, theirs) = (both.world.idp.published(), both.partners.published());
    assert_ne!(ours, theirs);
    let visitor = both.of_default().await;
    let issuer = both.partners.issuer().to_owned();
    both.world.idp.edit_id_token(move |claims| claims["iss"] = json!(issuer));
    both.world.clock.advance(super::EXPIRED);
    assert!(visitor.fetch("/").await.is_upstreams(), "a renewal that names another issuer proves nothing, and ends nothing");
    assert_eq!(both.world.idp.calls(Endpoint::Refresh), 1);
    let token = both.world.idp.logout_token(json!({"iss": both.partners.issuer()}), json!({}));
    let sent =
        both.world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &format!("logout_token={token}")).await;
    assert_eq!(sent.status, StatusCode::BAD_REQUEST);
}
