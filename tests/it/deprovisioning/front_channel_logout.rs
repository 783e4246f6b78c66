//! Front-channel logout: an address that the provider has the user's browser load in a frame (OpenID Connect Front-Channel Logout 1.0).

use super::*;
use crate::harness::{Kind, visitor::Reply};

const PATH: &str = "/oauth2/frontchannel_logout";
const SID: &str = "0b7e3a4c-9d1f-4e52-8c66-d2a1f0e9b871";
const OTHER_SID: &str = "5f2d9c10-77aa-4b3e-9e01-6c8d4a5b3f22";
const FRAME: [(&str, &str); 4] =
    [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), ("sec-fetch-site", "cross-site")];

/// Loads the frame, in a browser that sends no cookies in it, as ours are `SameSite=Lax`.
async fn load(world: &World, query: &str) -> Reply {
    world.visitor().send(Method::GET, &format!("{PATH}?{query}"), &FRAME, "").await
}

fn query(iss: &str, sid: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("iss", iss).append_pair("sid", sid).finish()
}

/// A session that came of this one at the provider.
async fn signed_in_with(world: &World, sid: &'static str) -> Visitor {
    world.idp.edit_id_token(move |claims| claims["sid"] = json!(sid));
    world.signed_in().await
}

/// The history of this user names the logout.
async fn is_in_history(world: &World, subject: &str) -> bool {
    is_told(world, subject, "front_channel_logout").await
}

#[tokio::test]
async fn a_logout_at_the_provider_ends_the_sessions_that_came_of_it_on_every_replica_and_no_token_there() {
    let world = world().replicas(2).start().await;
    let second = world.replicas[1].address;
    world.idp.log_in_as(user("bob"));
    let bob = signed_in_with(&world, OTHER_SID).await;
    world.idp.log_in_as(user("ann"));
    let elsewhere = signed_in_with(&world, OTHER_SID).await;
    let (here, there) = (signed_in_with(&world, SID).await, signed_in_with(&world, SID).await.at(second));
    let personal = personal_token(&here).await;
    let mut sockets = [here.websocket().await, there.websocket().await];
    let stream = stream(&there, "/stream").await;
    for socket in &mut sockets {
        assert!(echoes(socket).await);
    }
    let loaded = load(&world, &query(world.idp.issuer(), SID)).await;
    assert_eq!((loaded.status, loaded.text().as_str(), loaded.header("cache-control")), (StatusCode::OK, "", "no-store"));
    assert_eq!(here.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    for socket in &mut sockets {
        assert!(is_closed(socket).await);
    }
    assert!(breaks_off(stream).await);
    eventually("it has ended there too", async || there.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    assert!(elsewhere.get("/").await.is_upstreams() && bob.get("/").await.is_upstreams(), "sessions of another sid");
    eventually("the history says who ended it", async || is_in_history(&world, "sub-ann").await).await;
    assert!(!is_in_history(&world, "sub-bob").await);
    assert!(world.metric(0, "evergate_user_ends_total") >= 1.0);
    // A token that was made in the browser is no session of the browser's.
    assert_eq!(call(&world.visitor(), &personal).await, StatusCode::OK);
    // Revoked tokens are revoked in the order in which their sessions ended.
    bob.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    eventually("bob's refresh token is revoked", async || !world.idp.revoked().is_empty()).await;
    assert_eq!(world.idp.revoked().len(), 1, "and ann's is not, because anybody may have sent that");
}

#[tokio::test]
async fn the_provider_alone_may_frame_it_and_the_response_never_tells_whether_there_was_a_session() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        signed_in_with(&world, SID).await;
        let issuer = world.idp.issuer();
        let origin = url::Url::parse(issuer).unwrap().origin().ascii_serialization();
        let [known, unknown, short] = [SID, OTHER_SID, "1"].map(|sid| query(issuer, sid));
        let mut seen = Vec::new();
        for query in [&unknown, &short, &known, &known] {
            let loaded = load(&world, query).await;
            assert_eq!(loaded.header("content-security-policy"), format!("default-src 'none'; frame-ancestors {origin}"));
            assert!(!loaded.headers.contains_key("x-frame-options"));
            let mut headers = loaded.headers.clone();
            for own in ["date", "x-request-id", "server-timing"] {
                headers.remove(own);
            }
            seen.push((loaded.status, headers, loaded.body));
        }
        assert_eq!(seen[0].0, StatusCode::OK);
        assert!(seen.iter().all(|response| *response == seen[0]), "{seen:?}");
    }
}

#[tokio::test]
async fn a_request_that_names_no_session_of_the_provider_ends_nothing() {
    let world = World::start().await;
    let visitor = signed_in_with(&world, SID).await;
    let issuer = world.idp.issuer();
    let upper = SID.to_uppercase();
    for (query, status) in [
        (String::new(), StatusCode::BAD_REQUEST),
        (format!("iss={issuer}"), StatusCode::BAD_REQUEST),
        (format!("iss={issuer}&sid="), StatusCode::BAD_REQUEST),
        (format!("iss=&sid={SID}"), StatusCode::BAD_REQUEST),
        (format!("iss=https://other.test&sid={SID}"), StatusCode::BAD_REQUEST),
        (format!("iss={issuer}/&sid={SID}"), StatusCode::BAD_REQUEST),
        (format!("iss={issuer}&sid={SID}&sid={OTHER_SID}"), StatusCode::BAD_REQUEST),
        (format!("iss={issuer}&iss=https://other.test&sid={SID}"), StatusCode::BAD_REQUEST),
        (format!("iss={issuer}&sid={}", SID.trim_end_matches('1')), StatusCode::OK),
        (format!("iss={issuer}&sid={upper}"), StatusCode::OK),
        (format!("iss={issuer}&sid=%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25"), StatusCode::OK),
        (format!("iss={issuer}&sid=________________"), StatusCode::OK),
        (format!("iss={issuer}&sid={SID}%00"), StatusCode::BAD_REQUEST),
        (format!("iss={issuer}&sub=sub-ann&sid={OTHER_SID}"), StatusCode::OK),
    ] {
        assert_eq!(load(&world, &query).await.status, status, "{query}");
    }
    for method in [Method::HEAD, Method::POST] {
        let path = format!("{PATH}?{}", query(issuer, SID));
        assert_eq!(world.visitor().send(method, &path, &[], "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert!(visitor.get("/").await.is_upstreams());
    // Microsoft Entra ID sends no iss.
    assert_eq!(load(&world, &format!("sid={SID}")).await.status, StatusCode::OK);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_sid_that_could_be_guessed_counts_in_the_browser_alone_that_has_the_session() {
    let world = World::start().await;
    world.idp.log_in_as(user("bob"));
    let bob = signed_in_with(&world, "42").await;
    world.idp.log_in_as(user("ann"));
    let ann = signed_in_with(&world, "41").await;
    let frame = |sid: &str| format!("{PATH}?{}", query(world.idp.issuer(), sid));
    for stranger in [world.visitor(), bob.clone()] {
        assert_eq!(stranger.send(Method::GET, &frame("41"), &FRAME, "").await.status, StatusCode::OK);
    }
    assert!(ann.get("/").await.is_upstreams() && bob.get("/").await.is_upstreams());
    assert_eq!(ann.send(Method::GET, &frame("41"), &FRAME, "").await.status, StatusCode::OK);
    assert_eq!(ann.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert!(bob.get("/").await.is_upstreams());
}

#[tokio::test]
async fn while_the_store_is_away_it_holds_where_it_came_and_is_recorded_without_a_revocation() {
    let world = World::build().on(Kind::Postgres).set("store_outage_grace", "10m").start().await;
    world.idp.log_in_as(user("bob"));
    let bob = signed_in_with(&world, OTHER_SID).await;
    world.idp.log_in_as(user("ann"));
    let ann = signed_in_with(&world, SID).await;
    assert!(ann.get("/").await.is_upstreams() && bob.get("/").await.is_upstreams());
    world.store_line.as_ref().unwrap().cut();
    for sid in [SID, "0000000000000000"] {
        let told = load(&world, &query(world.idp.issuer(), sid)).await;
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE, "{sid}");
    }
    assert_ne!(ann.fetch("/").await.status, StatusCode::OK);
    assert!(bob.get("/").await.is_upstreams(), "the grace");
    world.store_line.as_ref().unwrap().mend();
    eventually("it is recorded", async || is_in_history(&world, "sub-ann").await).await;
    assert_eq!(ann.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    bob.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    eventually("bob's refresh token is revoked", async || !world.idp.revoked().is_empty()).await;
    assert_eq!(world.idp.revoked().len(), 1, "and ann's is not");
}
