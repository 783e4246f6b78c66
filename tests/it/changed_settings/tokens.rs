//! What becomes of personal access tokens.

use std::time::Duration;

use http::StatusCode;

use crate::{
    harness::{Database, World, eventually::eventually, idp::CLIENT_ID},
    personal_tokens::{call, sign_out, submit, token, world},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn tokens_go_on_with_their_browser_s_session_when_evergate_becomes_another_client_and_none_is_hidden() {
    let mut world = world().set("oidc_client_id", "before").start().await;
    world.restart_with(&[("oidc_client_id", CLIENT_ID)]).await;
    let (ann, other) = (world.signed_in().await, world.signed_in().await);
    let (here, there) = (token(&ann, "name=of-this-browser").await, token(&other, "name=of-another").await);
    sign_out(&other, "/oauth2/sign_out").await;
    // As if all of it had been at the client before.
    world.sql("UPDATE grants SET client_id = 'before'").await;
    world.restart_with(&[]).await;
    let (ann, script) = (ann.at(world.address()), world.visitor());
    let session = ann.session();
    assert_eq!(call(&script, "/api", &here).await.status, StatusCode::UNAUTHORIZED);
    assert!(ann.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!(ann.session(), session, "the session goes on");
    assert!(call(&script, "/api", &here).await.is_upstreams(), "and its tokens with it");
    assert_eq!(call(&script, "/api", &there).await.status, StatusCode::UNAUTHORIZED, "whose session does not go on");
    let page = ann.get("/oauth2/tokens").await.text();
    assert!(page.contains("of-this-browser") && page.contains("of-another"), "{page}");
    assert_eq!((page.matches("ends in").count(), page.matches("ended with its login").count()), (1, 1), "{page}");
    sign_out(&ann, "/oauth2/sign_out?everywhere=true").await;
    let again = world.signed_in().await;
    let page = again.get("/oauth2/tokens").await.text();
    assert!(!page.contains("of-this-browser") && !page.contains("of-another"), "{page}");
}

#[tokio::test]
async fn a_shorter_life_holds_for_tokens_that_were_made_before_and_is_shown() {
    let mut world = world().start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a&days=60").await;
    world.restart_with(&[("max_token_lifetime", "48h")]).await;
    let (ann, script) = (ann.at(world.address()), world.visitor());
    assert!(ann.get("/oauth2/tokens").await.text().contains("ends in 2 days"));
    world.clock.advance(2 * DAY - Duration::from_secs(1));
    assert!(call(&script, "/api", &token).await.is_upstreams());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(call(&script, "/api", &token).await.status, StatusCode::UNAUTHORIZED);
}

/// How many tokens the store has.
async fn tokens_in(world: &World) -> i64 {
    let Database::Sqlite { directory } = &world.database else { panic!("SQLite is the default") };
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}/evergate.sqlite", directory.path().display())).await.unwrap();
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM sessions WHERE token IS NOT NULL").fetch_one(&pool).await.unwrap();
    pool.close().await;
    count
}

#[tokio::test]
async fn tokens_that_a_shorter_life_has_ended_are_in_no_new_one_s_way_nor_come_back_with_a_longer_one() {
    let mut world = world().start().await;
    let ann = world.signed_in().await;
    let mut before = Vec::new();
    for number in 0..50 {
        before.push(token(&ann, &format!("name=t{number}&days=30")).await);
    }
    let full = submit(&ann, "/oauth2/tokens", "name=one-more").await;
    assert_eq!(full.status, StatusCode::CONFLICT, "{}", full.text());
    world.restart_with(&[("max_token_lifetime", "24h")]).await;
    world.clock.advance(DAY);
    let ann = world.signed_in().await;
    let (script, again) = (world.visitor(), token(&ann, "name=again").await);
    assert!(call(&script, "/api", &again).await.is_upstreams());
    eventually("they are swept", async || tokens_in(&world).await == 1).await;
    world.restart_with(&[("max_token_lifetime", "720h")]).await;
    let script = world.visitor();
    assert_eq!(call(&script, "/api", &before[0]).await.status, StatusCode::UNAUTHORIZED);
    assert!(call(&script, "/api", &again).await.is_upstreams());
}

#[tokio::test]
async fn another_port_of_the_access_url_leaves_sessions_alone_and_tokens_are_made_anew() {
    let mut world = world().start().await;
    let ann = world.signed_in().await;
    let before = token(&ann, "name=a").await;
    world.restart_with(&[("access_url", "https://app.test:8443")]).await;
    let ann = ann.at(world.address()).on_host("app.test:8443");
    assert!(ann.fetch("/api").await.is_upstreams());
    let refused = call(&ann.without_cookies(), "/api", &before).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.text());
}
