//! The command: what it prints, what it writes, and its exit codes.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use super::{read, variables};
use evergate::config::Environment;

const FLAGS: [&str; 6] = [
    "--provider=oidc",
    "--oidc-issuer-url=https://idp.example.org",
    "--client-id=app",
    "--email-domain=*",
    "--redirect-url=https://app.example.org/oauth2/callback",
    "--upstream=http://127.0.0.1:8080/",
];

/// Runs the command; its exit code, standard output and standard error.
fn run(arguments: &[&str], flags: &[&str], set: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergate"));
    command.args(["config", "translate"]).args(arguments).arg("--").args(FLAGS).args(flags);
    let output = command.env_clear().envs(set.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn its_exit_code_says_whether_somebody_must_look_at_the_result() {
    for (flags, code, said) in [
        (&[][..], 0, ""),
        (&["--cookie-path=/app"], 1, "warning: --cookie-path: has no equivalent"),
        (&["--google-group=a"], 2, "error: --google-group: restricts who may enter"),
        (&["--config=/nowhere.cfg"], 64, "names /nowhere.cfg, which is not here"),
    ] {
        let (status, _, stderr) = run(&[], flags, &[]);
        assert_eq!((status, stderr.contains(said)), (code, true), "{flags:?}: {stderr}");
        assert!(!said.is_empty() || stderr.is_empty(), "{stderr}");
    }
}

#[test]
fn secrets_are_printed_only_where_that_is_asked_for() {
    let secret = [
        ("OAUTH2_PROXY_CLIENT_SECRET", "hush-hush"),
        ("OAUTH2_PROXY_COOKIE_SECRET", "crumbs"),
        ("OAUTH2_PROXY_BASIC_AUTH_PASSWORD", "pass"),
    ];
    let (status, stdout, stderr) = run(&[], &[], &secret);
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("CODER_OIDC_CLIENT_SECRET_FILE=/run/secrets/oidc_client_secret\n"), "{stdout}");
    for text in [&stdout, &stderr] {
        assert!(["hush-hush", "crumbs", "=pass"].iter().all(|secret| !text.contains(secret)), "{text}");
    }
    let (_, shown, _) = run(&["--show-secrets"], &[], &secret);
    assert!(
        shown.contains("CODER_OIDC_CLIENT_SECRET=hush-hush\n") && !shown.contains("crumbs"),
        "only what is needed here: {shown}"
    );
}

#[test]
fn it_writes_a_folder_for_its_owner_alone_that_evergate_starts_from_and_overwrites_nothing() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path().join("evergate");
    let output = ["--output", folder.to_str().unwrap()];
    let flags = ["--skip-auth-route=^/public(/|$)", "--client-secret=hush-hush"];
    let (status, stdout, stderr) = run(&output, &flags, &[]);
    assert_eq!((status, stdout.as_str()), (0, ""), "{stderr}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for (name, text) in
        [("evergate.env", "CODER_ACCESS_URL="), ("evergate.toml", "[[route]]"), ("secrets/oidc_client_secret", "hush-hush")]
    {
        let path = folder.join(name);
        assert!(std::fs::read_to_string(&path).unwrap().contains(text), "{name}");
        assert_eq!(mode(&path), 0o600, "{name}");
    }
    let environment = std::fs::read_to_string(folder.join("evergate.env")).unwrap();
    let environment = Environment { variables: variables(&environment), ..Environment::default() };
    let checked = read(&environment).unwrap();
    assert_eq!(checked.gateway.routes.names().count(), 2);
    let (status, _, stderr) = run(&output, &["--client-id=other"], &[]);
    assert!(status == 69 && stderr.contains("cannot be created"), "{status} {stderr}");
}

#[test]
fn evergate_s_own_flags_fill_in_what_it_cannot_know() {
    let (status, stdout, stderr) = run(&["--proxy-trusted-origins", "10.0.0.0/8"], &["--reverse-proxy"], &[]);
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("# --proxy-trusted-origins\nCODER_PROXY_TRUSTED_ORIGINS=10.0.0.0/8\n"), "{stdout}");
    let secrets = ["--pg-connection-url-file", "/run/secrets/pg", "--external-token-encryption-keys-file", "/run/secrets/keys"];
    let (status, stdout, stderr) = run(&secrets, &["--session-store-type=redis"], &[]);
    assert_eq!(status, 0, "{stderr}");
    for line in ["CODER_PG_CONNECTION_URL_FILE=/run/secrets/pg", "CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS_FILE=/run/secrets/keys"] {
        assert!(stdout.contains(&format!("\n{line}\n")), "{stdout}");
    }
}

#[test]
fn the_table_of_options_is_the_document_s() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/oauth2-proxy-options.md");
    let (_, printed, _) = run(&["--options"], &[], &[]);
    assert!(
        std::fs::read_to_string(path).unwrap() == printed,
        "run: cargo run -- config translate --options > docs/oauth2-proxy-options.md"
    );
}
