//! The SQLite file among other processes that use it.

use http::{Method, StatusCode};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::harness::{Database, Kind, World};

async fn file(world: &World) -> (SqliteConnection, std::path::PathBuf) {
    let Database::Sqlite { directory } = &world.database else { panic!("a world on SQLite") };
    let path = directory.path().join("evergate.sqlite");
    (SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap(), directory.path().to_owned())
}

#[tokio::test]
async fn a_process_that_writes_to_the_file_for_a_while_is_waited_for() {
    let world = World::build().on(Kind::Sqlite).start().await;
    let (leaving, staying) = (world.signed_in().await, world.signed_in().await);
    let (mut other, _) = file(&world).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let signing_out = tokio::spawn(async move { leaving.send(Method::POST, "/oauth2/sign_out", &[], "").await });
    for _ in 0..3 {
        assert!(staying.get("/").await.is_upstreams(), "whoever reads does not wait");
    }
    assert!(!signing_out.is_finished(), "nothing can be written");
    other.execute("COMMIT").await.unwrap();
    assert!(signing_out.await.unwrap().status.is_redirection());
    // Whoever reads for long holds up nobody.
    other.execute("BEGIN").await.unwrap();
    other.execute("SELECT COUNT(*) FROM sessions").await.unwrap();
    world.signed_in().await;
}

#[tokio::test]
async fn a_copy_that_sqlite_makes_of_the_file_in_use_is_whole_and_serves() {
    let mut world = World::build().on(Kind::Sqlite).start().await;
    let early = world.signed_in().await;
    let copy = tempfile::tempdir().unwrap();
    let (mut other, directory) = file(&world).await;
    let target = copy.path().join("evergate.sqlite");
    let during = async {
        for _ in 0..5 {
            world.signed_in().await;
        }
    };
    let copying = sqlx::AssertSqlSafe(format!("VACUUM INTO '{}'", target.display()));
    let ((), copied) = tokio::join!(during, other.execute(copying));
    copied.unwrap();
    std::fs::copy(directory.join("token.key"), copy.path().join("token.key")).unwrap();
    drop(other);
    world.restart_with(&[("data_dir", &copy.path().display().to_string())]).await;
    let early = early.at(world.address());
    assert_eq!(early.fetch("/").await.status, StatusCode::OK);
    assert!(world.signed_in().await.get("/").await.is_upstreams());
}

#[test]
fn commands_that_ask_the_store_create_none_that_the_gateway_s_own_user_could_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for arguments in [["sessions", "list"], ["sessions", "audit"], ["keys", "status"], ["keys", "reseal"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_evergate"))
            .args(arguments)
            .env_clear()
            .env("CODER_DATA_DIR", &data)
            .env("CODER_ACCESS_URL", "http://127.0.0.1:1")
            .env("CODER_UPSTREAM_URL", "http://127.0.0.1:1")
            .env("CODER_OIDC_ISSUER_URL", "http://127.0.0.1:1")
            .env("CODER_OIDC_CLIENT_ID", "app")
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{arguments:?}: {error}");
        assert!(error.contains("there is no store yet") && error.contains("evergate.sqlite"), "{arguments:?}: {error}");
        assert!(!data.exists(), "{arguments:?}");
    }
}
