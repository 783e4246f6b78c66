//! Backup and restore, by the commands of docs/operations.md as they stand there: the backup is of an earlier release, one role owns the
//! schema, and another one serves. `tests/interop/run operations` does the same in front of somebody who is logged in.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use evergate::{
    seal::KeyRing,
    store::{Settings, Store},
    telemetry::{logs::causes, metrics::Metrics},
};

use crate::harness::postgres::{self, Cluster, read, run};

const PAGE: &str = include_str!("../../docs/operations.md");

/// systemd is none of a test's. What it does here: it gives a command the settings in the file, and no more than those.
const SYSTEMD_RUN: &str = r#"#!/bin/bash
while [[ $1 == --* ]]; do
  case $1 in --property=EnvironmentFile=*) settings+=($(<"${1##*=}")) ;; esac
  shift
done
exec env -i PATH="$PATH" "${settings[@]}" "$@"
"#;
const SYSTEMCTL: &str = "#!/bin/sh\necho \"$@\" >>systemctl.log\n";

fn section(name: &str) -> &'static str {
    let (_, after) = PAGE.split_once(&format!("\n## {name}\n")).unwrap();
    after.split("\n## ").next().unwrap()
}

/// The block of a section that is for a shell with the deployment's environment.
fn shell_block(name: &str) -> String {
    section(name).split("```sh\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// The block of a section that is for Debian.
fn debian_block(name: &str) -> String {
    let (_, after) = section(name).split_once("\nOn Debian").unwrap();
    let lines = after.lines().skip_while(|line| !line.starts_with("    ")).take_while(|line| line.starts_with("    "));
    lines.map(|line| format!("{}\n", line.trim_start())).collect()
}

/// A database as the migrations before the last six leave it, its owner's URL, and the URL of the role that serves.
async fn of_an_earlier_release(cluster: &Cluster) -> (String, String) {
    let url = cluster.empty_database().await;
    let name = url.rsplit('/').next().unwrap();
    run(&url, "CREATE ROLE evergate_owner LOGIN; CREATE ROLE evergate LOGIN").await;
    run(&url, &format!("ALTER DATABASE {name} OWNER TO evergate_owner")).await;
    let (owner, serving) = (url.replace("postgres@", "evergate_owner@"), url.replace("postgres@", "evergate@"));
    // As docs/postgres.md has it.
    run(
        &owner,
        "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO evergate; GRANT USAGE ON SCHEMA public TO evergate",
    )
    .await;
    postgres::migrate_before(&owner, 13).await;
    (owner, serving)
}

fn open(url: &str) -> Store {
    let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
    Store::open(&Settings::Postgres(postgres::settings(url, 2)), keys, Metrics::default()).unwrap()
}

const EVENT: &str = "INSERT INTO events (at, kind, grant_id, subject, who, outcome, reason, replica) \
                     VALUES (1, 'login', 'x', 'ann', 'ann', 'ok', 'ok', 'one')";
const EVENTS: &str = "SELECT COUNT(*) FROM events";

fn program(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a block of the page in `folder`, whose programs are found first, and returns its exit code and what it said.
fn shell(folder: &Path, block: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let own = |text: &str| text.replace("/tmp/", &format!("{}/", folder.display()));
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &own(block).replace("/etc/evergate/", &own("/tmp/"))])
        .current_dir(folder)
        .env_clear();
    command
        .env("PATH", format!("{}:{}", folder.display(), std::env::var_os("PATH").unwrap().display()))
        .envs(environment.iter().copied());
    let done = command.output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
}

/// Makes a backup at an earlier release, upgrades, restores it, and sees whether this release starts on it.
async fn goes_back_to_a_backup_of_before(blocks: fn(&str) -> String) -> tempfile::TempDir {
    let cluster = Cluster::start_own().await;
    let (owner, serving) = of_an_earlier_release(&cluster).await;
    run(&serving, EVENT).await;
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_evergate"), folder.path().join("evergate")).unwrap();
    program(folder.path(), "systemd-run", SYSTEMD_RUN);
    program(folder.path(), "systemctl", SYSTEMCTL);
    let keys = KeyRing::generate();
    let environment = [
        ("CODER_PG_CONNECTION_URL", owner.as_str()),
        ("CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS", keys.as_str()),
        ("CODER_ACCESS_URL", "https://app.test"),
        ("CODER_UPSTREAM_URL", "http://127.0.0.1:9"),
        ("CODER_OIDC_ISSUER_URL", "https://idp.test"),
        ("CODER_OIDC_CLIENT_ID", "app"),
    ];
    let lines: String = environment.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    fs::write(folder.path().join("evergate.env"), lines).unwrap();
    let (block, is_for_debian) = (blocks("Restore"), blocks("Restore").contains("systemctl"));
    // Where systemd gives the settings, the shell has none.
    let own: &[(&str, &str)] = if is_for_debian { &[] } else { &environment };
    let (code, said) = shell(folder.path(), &blocks("Backup"), own);
    assert_eq!(code, Some(0), "{said}");

    open(&owner).migrate().await.unwrap();
    run(&serving, EVENT).await;
    run(&serving, "INSERT INTO ended_users (name, ended_at, expires_at) VALUES ('ann', 1, 2)").await;

    let whole = fs::read(folder.path().join("evergate.dump")).unwrap();
    fs::write(folder.path().join("evergate.dump"), &whole[..whole.len() / 2]).unwrap();
    let (code, said) = shell(folder.path(), &block, own);
    assert!(code != Some(0) && read::<i64>(&serving, EVENTS).await == 2, "a backup that is cut off changes nothing: {said}");
    fs::write(folder.path().join("evergate.dump"), &whole).unwrap();
    let (code, said) = shell(folder.path(), &block, own);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the store is up to date"), "{said}");

    open(&serving).migrate().await.expect("it starts, as the role that serves");
    assert_eq!(read::<i64>(&serving, EVENTS).await, 1);
    assert_eq!(read::<i64>(&serving, "SELECT COUNT(*) FROM ended_users").await, 0);
    run(&serving, EVENT).await;
    // A backup of what was restored is one, too.
    let (code, said) = shell(folder.path(), &(blocks("Backup") + &block), own);
    assert_eq!((code, read::<i64>(&serving, EVENTS).await), (Some(0), 2), "{said}");
    folder
}

#[tokio::test]
async fn a_backup_of_an_earlier_release_is_restored_over_a_newer_schema_and_evergate_starts() {
    goes_back_to_a_backup_of_before(shell_block).await;
}

#[tokio::test]
async fn the_commands_for_debian_find_the_service_s_settings_and_stop_its_sockets() {
    let folder = goes_back_to_a_backup_of_before(debian_block).await;
    let log = fs::read_to_string(folder.path().join("systemctl.log")).unwrap();
    let units = "evergate.socket evergate-https.socket evergate.service";
    // Of a restore that failed nothing is started again, because whoever sees that restores once more.
    assert_eq!(
        log.lines().collect::<Vec<_>>(),
        [
            format!("stop {units}"),
            format!("stop {units}"),
            format!("start {units}"),
            format!("stop {units}"),
            format!("start {units}")
        ]
    );
}

#[tokio::test]
async fn a_backup_that_was_restored_beside_newer_tables_is_named_as_what_is_wrong() {
    let cluster = Cluster::start_own().await;
    let url = cluster.fresh_database().await.0;
    run(&url, "DELETE FROM _sqlx_migrations WHERE version >= 13").await;
    let told = causes(&open(&url).migrate().await.unwrap_err());
    assert!(
        told.contains("tables of a newer schema") && told.contains("(ended_users, kept_posts, provider_hours, scim_names"),
        "{told}"
    );
    let facts = open(&url).examine().await.unwrap().unwrap();
    assert!(facts.leftover_tables.contains(&"ended_users".to_owned()), "{facts:?}");
}
