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

/// Service managers are none of a test's. What stands in for them runs a command where they would: with the settings in the file and no
/// more than those, where Postgres is on this machine, and with nothing but its standard input.
const STAND_INS: [(&str, &str); 5] = [
    (
        "systemd-run",
        r#"while [[ $1 == --* ]]; do
  case $1 in --property=EnvironmentFile=*) settings+=($(<"${1##*=}")) ;; esac
  shift
done
exec env -i PATH="$PATH" "${settings[@]}" "$@""#,
    ),
    ("systemctl", r#"if [[ $* == *is-enabled* ]]; then exit 1; fi; echo "$@" >>systemctl.log"#),
    (
        "docker",
        r#"did=$2; shift 4
case $did in exec) exec env -i PATH="$PATH" PGHOST=127.0.0.1 PGPORT="$PORT" "$@" ;; run) exec evergate "$@" ;; esac"#,
    ),
    (
        "kubectl",
        r#"case $1 in
  get) echo "$CODER_PG_CONNECTION_URL" ;;
  run) while [[ $1 != -- ]]; do shift; done; shift; exec env -i PATH="$PATH" "$@" ;;
  create) cat ;;
esac"#,
    ),
    (
        "helm",
        r#"job=$(grep --only-matching --perl-regexp '(?<= --set job=\{)[a-z,]+(?=\} )' <<<" $* ") && exec evergate ${job//,/ }"#,
    ),
];

fn section(name: &str) -> &'static str {
    let (_, after) = PAGE.split_once(&format!("\n## {name}\n")).unwrap();
    after.split("\n## ").next().unwrap()
}

/// The block of a section that is for a shell with the deployment's environment.
fn shell_block(name: &str) -> String {
    section(name).split("```sh\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// The block of a section that begins with a call of `program`.
fn block_with(program: &str, name: &str) -> String {
    let is_code = |line: &&str| line.starts_with("    ");
    let lines: Vec<_> = section(name).lines().collect();
    let mut blocks = lines.chunk_by(|one, next| is_code(one) == is_code(next));
    let block = blocks.find(|block| is_code(&block[0]) && block[0].trim_start().starts_with(program)).unwrap();
    block.iter().map(|line| format!("{}\n", line.trim_start())).collect()
}

fn debian_block(name: &str) -> String {
    block_with("system", name)
}

fn compose_block(name: &str) -> String {
    block_with("docker ", name)
}

fn kubernetes_block(name: &str) -> String {
    block_with("kubectl ", name)
}

/// A database as the migrations before the last six leave it: the URL of its owner, who has Compose's name, and of the role that serves.
async fn of_an_earlier_release(cluster: &Cluster) -> (String, String) {
    let other = cluster.empty_database().await;
    run(&other, "CREATE ROLE evergate LOGIN; CREATE ROLE serving LOGIN").await;
    run(&other, "CREATE DATABASE evergate OWNER evergate").await;
    let url = format!("{}/evergate", other.rsplit_once('/').unwrap().0);
    let (owner, serving) = (url.replace("postgres@", "evergate@"), url.replace("postgres@", "serving@"));
    // As docs/postgres.md has it.
    run(
        &owner,
        "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO serving; GRANT USAGE ON SCHEMA public TO serving",
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
const EVENTS: &str = "SELECT COUNT(*) FROM events WHERE kind = 'login'";
/// The restore itself, which is audited.
const RESTORES: &str = "SELECT COUNT(*) FROM events WHERE kind = 'administration' AND reason = 'restored' AND outcome = 'ok'";

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
    STAND_INS.iter().for_each(|(name, text)| program(folder.path(), name, &format!("#!/bin/bash\n{text}\n")));
    let port = postgres::address(&owner).port().to_string();
    let keys = KeyRing::generate();
    let environment = [
        ("CODER_PG_CONNECTION_URL", owner.as_str()),
        ("CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS", keys.as_str()),
        ("CODER_ACCESS_URL", "https://app.test"),
        ("CODER_UPSTREAM_URL", "http://127.0.0.1:9"),
        ("CODER_OIDC_ISSUER_URL", "https://idp.test"),
        ("CODER_OIDC_CLIENT_ID", "app"),
        ("PORT", port.as_str()),
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
    assert!(said.contains("possibly used since the backup"), "{said}");

    assert_eq!(read::<i64>(&serving, RESTORES).await, 1);
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
    let stop = "stop evergate.socket evergate-https.socket evergate.service";
    // Of a restore that failed nothing is started again, because whoever sees that restores once more; nor ever a socket that is not enabled.
    let start = "start evergate.service";
    assert_eq!(log.lines().collect::<Vec<_>>(), [stop, stop, start, stop, start]);
}

#[tokio::test]
async fn the_commands_for_compose_and_for_kubernetes_do_the_same_in_their_containers() {
    goes_back_to_a_backup_of_before(compose_block).await;
    goes_back_to_a_backup_of_before(kubernetes_block).await;
}

#[tokio::test]
async fn a_schema_of_another_name_and_a_public_of_another_role_s_are_restored_by_the_commands_for_them() {
    let cluster = Cluster::start_own().await;
    let block = section("Restore").split("```sh\n").nth(2).unwrap().split("```").next().unwrap();
    let foreign = "ALTER SCHEMA public OWNER TO postgres; REVOKE ALL ON SCHEMA public FROM PUBLIC; \
                   GRANT CREATE, USAGE ON SCHEMA public TO evergate; COMMENT ON SCHEMA public IS 'ours'";
    run(&cluster.empty_database().await, "CREATE ROLE evergate LOGIN").await;
    for (schema, prepared) in [("\"Ever gate\"", "CREATE SCHEMA \"Ever gate\" AUTHORIZATION evergate"), ("public", foreign)] {
        let admin = cluster.empty_database().await;
        run(&admin, prepared).await;
        let path = schema.replace(' ', "\\ ");
        let mut owner = url::Url::parse(&admin.replace("postgres@", "evergate@")).unwrap();
        owner.query_pairs_mut().append_pair("options", &format!("-c search_path={path}"));
        let owner = owner.as_str().replace('+', "%20");
        open(&owner).migrate().await.unwrap();
        run(&owner, EVENT).await;
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_evergate"), folder.path().join("evergate")).unwrap();
        let keys = KeyRing::generate();
        let environment = [
            ("CODER_PG_CONNECTION_URL", owner.as_str()),
            ("CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS", keys.as_str()),
            ("CODER_ACCESS_URL", "https://app.test"),
            ("CODER_UPSTREAM_URL", "http://127.0.0.1:9"),
            ("CODER_OIDC_ISSUER_URL", "https://idp.test"),
            ("CODER_OIDC_CLIENT_ID", "app"),
        ];
        let (code, said) = shell(folder.path(), &shell_block("Backup"), &environment);
        assert_eq!(code, Some(0), "{schema}: {said}");
        run(&owner, EVENT).await;
        let (code, _) = shell(folder.path(), &shell_block("Restore"), &environment);
        assert!(code != Some(0), "{schema}: the other commands are not for it");
        assert_eq!(read::<i64>(&owner, EVENTS).await, 2, "{schema}: and have changed nothing");
        for _ in 0..2 {
            let (code, said) = shell(folder.path(), block, &environment);
            assert_eq!(code, Some(0), "{schema}: {said}");
            assert_eq!(read::<i64>(&owner, EVENTS).await, 1, "{schema}");
            assert_eq!(read::<i64>(&owner, RESTORES).await, 1, "{schema}");
        }
        let triggers =
            format!("SELECT COUNT(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = '{schema}.sessions'::regclass");
        assert!(read::<i64>(&admin, &triggers).await > 0, "{schema}: and what announces changes is there, too");
    }
}

#[tokio::test]
async fn a_backup_that_was_restored_beside_newer_tables_is_named_as_what_is_wrong() {
    let cluster = Cluster::start_own().await;
    let url = cluster.fresh_database().await.0;
    run(&url, "DELETE FROM _sqlx_migrations WHERE version >= 13").await;
    let told = causes(&open(&url).migrate().await.unwrap_err());
    assert!(
        told.contains("tables of a newer schema")
            && told.contains("(clients, ended_users, kept_posts, provider_hours, scim_names"),
        "{told}"
    );
    let facts = open(&url).examine().await.unwrap().unwrap();
    assert!(facts.leftover_tables.contains(&"ended_users".to_owned()), "{facts:?}");
}
