use std::collections::BTreeMap;

use super::*;

mod closed_door;
mod public;

use crate::config::{self, Environment};

fn sources(arguments: &[&str]) -> Sources {
    Sources { arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(), ..Sources::default() }
}

fn translated(sources: &Sources, files: &[(&str, &str)]) -> Translation {
    let open = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    translate(sources, &BTreeMap::new(), &open).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems of files that cannot be translated.
fn problems(files: &[(&str, &str)]) -> String {
    let given = Sources { files: files.iter().map(|(name, _)| (*name).to_owned()).collect(), ..sources(&BASE) };
    let open = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    match translate(&given, &BTreeMap::new(), &open) {
        Ok(translation) => panic!("{translation:?}"),
        Err(problems) => problems.to_string(),
    }
}

/// The setting's value or the route's table, all in one text.
fn written(arguments: &[&str]) -> String {
    let output = translated(&sources(arguments), &[]).output(&Secrets::Shown, "evergate.toml");
    output.environment + output.file.as_deref().unwrap_or_default()
}

fn notes(arguments: &[&str], severity: Severity) -> String {
    let translation = translated(&sources(arguments), &[]);
    translation.notes().iter().filter(|note| note.severity == severity).map(|note| format!("{note}\n")).collect()
}

const BASE: [&str; 7] = [
    "oauth2-proxy",
    "--provider=oidc",
    "--oidc-issuer-url=https://idp.example",
    "--client-id=app",
    "--email-domain=*",
    "--redirect-url=https://app.example/oauth2/callback",
    "--upstream=http://127.0.0.1:8080/",
];

/// A configuration with these flags after the usual ones.
fn with(more: &[&'static str]) -> Vec<&'static str> {
    BASE.iter().chain(more).copied().collect()
}

/// What the settings' own reader says of a translation.
fn check(translation: &Translation) -> Result<config::Checked, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let output = translation.output(&Secrets::In(folder.path().display().to_string()), &path("evergate.toml"));
    for (name, value) in &output.secrets {
        std::fs::write(path(name), value).unwrap();
    }
    if let Some(text) = &output.file {
        std::fs::write(path("evergate.toml"), text).unwrap();
    }
    let lines = output.environment.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let variables = lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = Environment { variables: variables.collect(), ..Environment::default() };
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    config::check(&raw, problems)
        .map_err(|problems| format!("{problems}\n{}\n{}", output.environment, output.file.unwrap_or_default()))
}

/// Options that may be no more than listed: they ask for what Evergate does, or only say more about others.
const MAY_CHANGE_NOTHING: &[&str] = &[
    // As Evergate does it, with the value that the test gives them.
    "use-system-trust-store",
    "pass-user-headers",
    "pass-basic-auth",
    "cookie-samesite",
    "pass-host-header",
    // Nothing listens for TLS without a certificate and its key.
    "https-address",
    "tls-key-file",
    "tls-min-version",
    // No header of a proxy counts without --reverse-proxy.
    "trusted-proxy-ip",
    "real-client-ip-header",
    // As Evergate does it.
    "request-logging",
];

#[test]
fn of_every_option_something_is_said_besides_that_it_changes_nothing() {
    let mut silent = Vec::new();
    for option in options::SECTIONS.iter().flat_map(|(_, options)| options.iter()) {
        if matches!(option.flag, "config" | "alpha-config") {
            continue;
        }
        let value = match (option.flag, option.form) {
            ("upstream", _) => "http://127.0.0.1:9000/more/",
            ("provider", _) => "github",
            ("http-address", _) => "0.0.0.0:4000",
            ("email-domain", _) => "b.example",
            (_, Form::Switch) => "true",
            (_, Form::Text | Form::List | Form::Secret) => "^/some.value",
        };
        let flag = format!("--{}={value}", option.flag);
        let base: Vec<_> = BASE.iter().copied().filter(|other| !other.starts_with(&format!("--{}=", option.flag))).collect();
        let translation = translated(&sources(&[base, vec![&flag]].concat()), &[]);
        let name = format!("--{}", option.flag);
        assert!(translation.comments().any(|comment| comment.contains(&name)), "{flag}: {translation:?}");
        let changes_nothing = translation.notes().iter().any(|note| note.subject == name && note.message == CHANGES_NOTHING);
        if changes_nothing {
            silent.push(option.flag);
        }
    }
    assert_eq!(silent, MAY_CHANGE_NOTHING, "which of the options nothing else is said of");
}

#[test]
fn a_public_path_leads_to_the_app_that_it_led_to() {
    let text = written(&with(&["--upstream=http://127.0.0.1:9000/api/", "--skip-auth-route=GET=^/api/docs/"]));
    let table = text.split("[[route]]").find(|table| table.contains("path = \"/api/docs\"")).unwrap();
    assert!(table.contains("upstream = \"http://127.0.0.1:9000\"") && table.contains("methods = [\"GET\"]"), "{text}");
}

#[test]
fn subdomains_are_matched_and_nothing_else() {
    let translation =
        translated(&sources(&[&BASE[..4], &BASE[5..], &["--email-domain=.a.example", "--email-domain=b.example"]].concat()), &[]);
    let pattern = translation.routes.iter().find_map(|route| route.claims_match.get("email")).unwrap();
    let pattern = crate::policy::Pattern::new(pattern).unwrap();
    let rule = crate::policy::ClaimRule { path: "email".into(), test: crate::policy::ClaimTest::Matches(pattern) };
    let admits = |email: &str| {
        let mut identity = crate::identity::Identity::default();
        identity.claims.record("email", Some(serde_json::json!(email)));
        let policy = crate::policy::Policy { claims: vec![rule.clone()], ..Default::default() };
        policy.admit(&identity).is_ok()
    };
    for email in ["x@c.a.example", "x@d.c.a.example", "X@B.Example"] {
        assert!(admits(email), "{email}");
    }
    for email in
        ["x@a.example", "x@xa.example", "x@c.b.example", "x@c.a.example.evil", "x@evil@b.example", "@b.example", "x@bxexample"]
    {
        assert!(!admits(email), "{email}");
    }
}

#[test]
fn flags_come_before_the_environment_and_that_before_the_file() {
    let read = |arguments: &[&str], variables: &[(&str, &str)]| {
        let given = Sources {
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            files: vec!["proxy.cfg".to_owned()],
            ..sources(arguments)
        };
        let file = "client_id = \"of-file\"\nemail_domains = [\"a.example\", \"b.example\"]\ncookie_secure = false\n";
        translated(&given, &[("proxy.cfg", file)]).value("oidc_client_id").unwrap().to_owned()
    };
    assert_eq!(read(&[], &[]), "of-file");
    assert_eq!(read(&[], &[("OAUTH2_PROXY_CLIENT_ID", "of-environment"), ("OAUTH2_PROXY_EMAIL_DOMAINS", "")]), "of-environment");
    assert_eq!(read(&["--client-id", "of-flag"], &[("OAUTH2_PROXY_CLIENT_ID", "of-environment")]), "of-flag");
}

#[test]
fn an_unknown_option_is_for_an_administrator_to_decide() {
    let said = notes(&with(&["--only-the-king=true"]), Severity::Error);
    assert!(said.contains("--only-the-king"), "{said}");
    let missing =
        translate(&sources(&["--config=/etc/oauth2-proxy.cfg"]), &BTreeMap::new(), &|_| Err(std::io::ErrorKind::NotFound.into()));
    assert!(missing.unwrap_err().to_string().contains("names /etc/oauth2-proxy.cfg, which is not here"));
}

#[test]
fn settings_that_an_administrator_has_set_fill_in_what_was_asked_for() {
    let given = sources(&with(&["--reverse-proxy"]));
    let settings = BTreeMap::from([("proxy_trusted_origins".to_owned(), "10.0.0.0/8".to_owned())]);
    let translation = translate(&given, &settings, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    assert_eq!((translation.severity(), translation.value("proxy_trusted_origins")), (Severity::Info, Some("10.0.0.0/8")));
    check(&translation).unwrap();
}

#[test]
fn secrets_that_an_administrator_has_set_are_the_paths_of_their_files_and_nobody_is_asked_for_them() {
    let given = sources(&with(&["--session-store-type=redis", "--client-secret=hush"]));
    let translated = |names: &[&str]| {
        let settings = names.iter().map(|name| ((*name).to_owned(), format!("/mine/{name}"))).collect();
        translate(&given, &settings, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
    };
    let one = translated(&["pg_connection_url_file"]);
    assert_eq!(one.severity(), Severity::Warning, "the keys are still to be set: {:?}", one.notes());
    let all = translated(&["pg_connection_url_file", "external_token_encryption_keys_file", "oidc_client_secret_file"]);
    assert_eq!(all.severity(), Severity::Info, "{:?}", all.notes());
    let text = all.output(&Secrets::In("/run/secrets".to_owned()), "evergate.toml");
    for name in ["PG_CONNECTION_URL_FILE", "EXTERNAL_TOKEN_ENCRYPTION_KEYS_FILE", "OIDC_CLIENT_SECRET_FILE"] {
        assert_eq!(text.environment.matches(&format!("CODER_{name}")).count(), 1, "{}", text.environment);
    }
    assert!(text.environment.contains("\nCODER_OIDC_CLIENT_SECRET_FILE=/mine/oidc_client_secret_file\n"), "{}", text.environment);
    assert!(text.secrets.is_empty());
}

#[test]
fn a_second_app_for_a_path_is_for_an_administrator_to_decide() {
    let said = notes(&with(&["--upstream=unix:///run/app.sock"]), Severity::Error);
    assert!(said.contains("two apps for /"), "{said}");
    check(&translated(&sources(&[&BASE[..6], &["--upstream=unix:///run/app.sock"]].concat()), &[])).unwrap();
}

#[test]
fn what_is_written_is_read_whatever_stands_in_it() {
    let strange = "a\"b\\c'd $e#f\u{7f}{}";
    let name = format!("--provider-display-name={strange}");
    let prompt = format!("--acr-values={strange}");
    let translation = translated(&sources(&[&BASE[..], &[&name, &prompt, "--client-secret=a b\"c"]].concat()), &[]);
    let checked = check(&translation).unwrap();
    assert_eq!(checked.provider.oidc.auth_params["acr_values"], strange);
}

#[test]
fn every_combination_that_is_usual_is_accepted_by_the_reader_of_settings() {
    for more in [
        &[][..],
        &["--pass-access-token", "--set-xauthrequest", "--reverse-proxy", "--trusted-proxy-ip=10.0.0.0/8"],
        &["--pass-authorization-header", "--cookie-samesite=none", "--cookie-name=__Host-mine", "--cookie-refresh=1h"],
        &["--pass-basic-auth=false", "--pass-user-headers=false", "--request-logging=false"],
        &["--prefer-email-to-user", "--basic-auth-password=secret", "--metrics-address=:9100"],
        &["--basic-auth-password=secret", "--pass-authorization-header"],
        &["--allowed-role=admin", "--entra-id-allowed-tenant=t-1", "--email-domain=.sub.example"],
        &["--whitelist-domain=.example.com", "--cookie-domain=example.com", "--whitelist-domain=other.example:8443"],
        &["--upstream=http://127.0.0.1:9000/api/", "--pass-host-header=false"],
        &["--scope=openid groups", "--prompt=consent", "--oidc-groups-claim=roles", "--skip-auth-route=^/public/"],
        &["--session-store-type=redis", "--redis-connection-url=redis://secret@redis"],
        &["--force-https", "--proxy-prefix=/auth", "--upstream-timeout=90s", "--cookie-expire=12h30m0s"],
    ] {
        check(&translated(&sources(&with(more)), &[])).unwrap_or_else(|problems| panic!("{more:?}: {problems}"));
    }
}

#[test]
fn a_redirect_to_https_is_the_proxy_s_where_it_terminates_tls() {
    let behind = notes(&with(&["--force-https"]), Severity::Warning);
    assert!(behind.contains("--force-https: redirects only where Evergate terminates TLS"), "{behind}");
    let own = notes(&with(&["--force-https", "--tls-cert-file=cert.pem", "--tls-key-file=key.pem"]), Severity::Warning);
    assert!(!own.contains("--force-https"), "{own}");
}
