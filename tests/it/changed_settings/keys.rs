//! `CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS`, and where everything is kept.

use std::time::Duration;

use evergate::seal::KeyRing;

use crate::harness::{Database, World, idp::Endpoint, postgres};

const EXPIRED: Duration = Duration::from_secs(301);

#[tokio::test]
async fn keys_that_are_set_beside_a_key_file_encrypt_from_now_on_and_what_the_file_encrypted_is_read() {
    let mut world = World::build().timed(|timings| timings.blocking_refresh_wait = Duration::from_secs(60)).start().await;
    let visitor = world.signed_in().await;
    let key = KeyRing::generate();
    world.restart_with(&[("external_token_encryption_keys", key.as_str())]).await;
    let visitor = visitor.at(world.address());
    world.clock.advance(EXPIRED);
    assert!(visitor.fetch("/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "by a refresh token that the file's key has encrypted");
    let Database::Sqlite { directory } = &world.database else { panic!("SQLite is the default") };
    std::fs::remove_file(directory.path().join("token.key")).unwrap();
    world.restart_with(&[]).await;
    let visitor = visitor.at(world.address());
    world.clock.advance(EXPIRED);
    assert!(visitor.fetch("/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2, "the refresh has encrypted the new ones with the key that was set");
}

#[tokio::test]
async fn a_start_with_postgres_says_that_a_file_lies_there_whose_sessions_it_does_not_have() {
    let mut world = World::start().await;
    let Database::Sqlite { directory } = &world.database else { panic!("SQLite is the default") };
    let directory = directory.path().display().to_string();
    assert!(!world.command(&["config"]).await.1.contains("lies in CODER_DATA_DIR"));
    let (url, _) = postgres::fresh_database().await;
    let key = KeyRing::generate();
    world.change(&[("data_dir", &directory), ("pg_connection_url", &url), ("external_token_encryption_keys", key.as_str())]);
    let (code, said) = world.command(&["config"]).await;
    assert!(code == 0 && said.contains("evergate.sqlite, which lies in CODER_DATA_DIR"), "{said}");
}
