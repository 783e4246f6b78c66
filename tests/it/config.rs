//! Settings: where they come from, and what is said of wrong ones.

mod app_tokens;
mod client_auth;
mod coder;
mod cors;
mod file;
mod hosts;
mod pattern_traps;
mod providers;
mod secrets;
mod upstream_traps;

use std::collections::BTreeMap;

use evergate::config::{Checked, Environment, Problems, check, print};

const WHOLE: [(&str, &str); 4] = [
    ("CODER_ACCESS_URL", "https://app.example"),
    ("CODER_UPSTREAM_URL", "http://127.0.0.1:8080"),
    ("CODER_OIDC_ISSUER_URL", "https://idp.example"),
    ("CODER_OIDC_CLIENT_ID", "app"),
];

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment { variables, ..Environment::default() }
}

fn checked(environment: &Environment) -> Result<Checked, Problems> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    check(&raw, problems)
}

fn problems(variables: &[(&str, &str)]) -> String {
    checked(&environment(variables)).unwrap_err().to_string()
}

fn whole_and(more: &[(&str, &str)]) -> Vec<(String, String)> {
    WHOLE
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect()
}

fn with(more: &[(&str, &str)]) -> Result<Checked, Problems> {
    let all = whole_and(more);
    checked(&Environment { variables: all.into_iter().collect(), ..Environment::default() })
}

fn file(text: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().display().to_string();
    (file, path)
}

#[test]
fn the_proxy_of_the_environment_is_a_problem_where_it_cannot_be_used() {
    let read = |variables: &[(&str, &str)]| with(variables).map(drop).map_err(|problems| problems.to_string());
    for good in ["http://proxy.example:3128", "proxy.example:3128", "http://ann:secret@proxy.example", ""] {
        assert_eq!(read(&[("HTTPS_PROXY", good), ("NO_PROXY", "*.example,10.0.0.0/8,,:")]), Ok(()), "{good}");
    }
    for bad in [("HTTPS_PROXY", "socks5://ann:secret@proxy.example"), ("https_proxy", "ftp://ann:secret@proxy.example")] {
        let problems = read(&[bad]).unwrap_err();
        assert!(problems.contains("HTTPS_PROXY: is ") && !problems.contains("secret"), "{problems}");
    }
    assert_eq!(read(&[("HTTPS_PROXY", "proxy.example"), ("https_proxy", "ftp://proxy.example")]), Ok(()), "capitals go first");
}

#[test]
fn an_address_is_read_and_written_in_no_header_that_means_something_else() {
    let read = |names: &str| with(&[("CODER_PROXY_TRUSTED_HEADERS", names)]).map(drop).map_err(|problems| problems.to_string());
    for good in ["Cf-Connecting-Ip,X-Forwarded-For", "True-Client-Ip", "X-Real-Ip"] {
        assert_eq!(read(good), Ok(()), "{good}");
    }
    for bad in ["Host", "Content-Length", "X-Forwarded-For,Transfer-Encoding", "Connection", "Cookie", "Authorization"] {
        let problems = read(bad).unwrap_err();
        assert!(problems.contains("names a header in which no proxy writes an address"), "{bad}: {problems}");
    }
}

#[test]
fn addresses_that_any_tenant_s_administrator_can_write_are_warned_of() {
    const MANY: (&str, &str) = ("CODER_OIDC_ISSUER_URL", "https://login.microsoftonline.com/common/v2.0");
    const ONE: (&str, &str) =
        ("CODER_OIDC_ISSUER_URL", "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0");
    const BELIEVED: (&str, &str) = ("CODER_OIDC_IGNORE_EMAIL_VERIFIED", "true");
    const RULE: (&str, &str) = ("CODER_OIDC_EMAIL_DOMAIN", "example.com");
    const ADDRESS: (&str, &str) = ("CODER_OIDC_ALLOWED_EMAILS", "ann@example.com");
    for (settings, expected) in [
        (&[MANY, BELIEVED, RULE][..], true),
        (&[MANY, BELIEVED, ADDRESS], true),
        (&[ONE, BELIEVED, RULE], false),
        (&[MANY, RULE], false),
        (&[MANY, BELIEVED], false),
    ] {
        let warnings: Vec<_> = with(settings).unwrap().warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.iter().any(|warning| warning.contains("(nOAuth)")), expected, "{settings:?}: {warnings:?}");
    }
}

#[test]
fn without_any_setting_all_that_is_required_is_said_at_once() {
    insta::assert_snapshot!(problems(&[]), @r"
    there are 4 problems with the settings:
      CODER_UPSTREAM_URL: is required, as in http://127.0.0.1:8080
      CODER_ACCESS_URL: is required, as in https://app.example.com
      CODER_OIDC_ISSUER_URL: is required, as in https://idp.example.com
      CODER_OIDC_CLIENT_ID: is required, as in my-app
    ");
}

#[test]
fn every_problem_is_reported_with_its_key_and_what_would_be_right() {
    let wrong = [
        ("CODER_ACCESS_URL", "app.example"),
        ("CODER_UPSTREAM_URL", "ftp://x"),
        ("CODER_OIDC_ISSUER_URL", "http://idp.example"),
        ("CODER_OIDC_CLIENT_ID", "app"),
        ("CODER_HTTP_ADDRESS", "localhost"),
        ("CODER_PATH_PREFIX", "oauth2"),
        ("CODER_PROXY_TRUSTED_ORIGINS", "10.0.0.0/8,0.0.0.0/0"),
        ("CODER_SESSION_DURATION", "soon"),
        ("CODER_OIDC_ALLOWED_GROUPS", "admins"),
        ("CODER_OIDC_AUTH_URL_PARAMS", "prompt=consent"),
        ("CODER_OIDC_EMAIL_DOMAIN", ","),
        ("CODER_PG_CONNECTION_URL", "mysql://u:hunter2@h/d"),
        ("CODER_OIDC_SCOPE", "openid"),
        ("CODER_OIDC_CLIENT_SECRETS", "hunter2"),
        ("CODER_PROMETHEUS_ENABLE", "yes"),
        ("CODER_LOG_FILTER", "evergate=loud=quiet"),
    ];
    let said = problems(&wrong);
    assert!(!said.contains("hunter2"), "no secret is printed: {said}");
    insta::assert_snapshot!(said, @r#"
    there are 16 problems with the settings:
      CODER_OIDC_CLIENT_SECRETS: there is no such setting; did you mean CODER_OIDC_CLIENT_SECRET?
      CODER_OIDC_SCOPE: there is no such setting; did you mean CODER_OIDC_SCOPES?
      CODER_HTTP_ADDRESS: must be an IP address and a port like 0.0.0.0:3000, or a port like :3000
      CODER_UPSTREAM_URL: must begin with http://, https:// or unix:
      CODER_ACCESS_URL: is not a URL
      CODER_PATH_PREFIX: must be a path like /oauth2
      CODER_PROXY_TRUSTED_ORIGINS: must not trust every address: any client could then choose its own
      CODER_OIDC_ISSUER_URL: must begin with https:// (http:// is for a provider on loopback only)
      CODER_OIDC_AUTH_URL_PARAMS: must be a map of texts like {"prompt":"consent"} or {prompt: consent}, each key once
      CODER_OIDC_EMAIL_DOMAIN: is set and names nothing; leave it out to allow all
      CODER_OIDC_ALLOWED_GROUPS: needs CODER_OIDC_GROUP_FIELD to say which claim holds the groups
      CODER_SESSION_DURATION: must be a duration like 45s, 15m, 24h or 30d
      CODER_PG_CONNECTION_URL: must begin with postgres://
      CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS: is required with Postgres, where tokens are sealed for all replicas; make a key with: evergate keys generate
      CODER_LOG_FILTER: must be a filter like info,evergate=debug, or regular expressions like .*renew.*
      CODER_PROMETHEUS_ENABLE: must be true or false
    "#);
}

#[test]
fn what_is_set_and_leads_nowhere_is_a_warning() {
    let (_file, path) = file("[[route]]\npath = \"/admin\"\ngroups = [\"admins\"]\n");
    let said = |more: &[(&str, &str)]| {
        let variables = whole_and(more).into_iter().collect();
        let given = Environment { variables, config_path: Some(path.clone()), ..Environment::default() };
        checked(&given).unwrap().warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let no_claim = "CODER_OIDC_GROUP_FIELD: is not set, so that nobody may take the routes that ask for groups";
    assert_eq!(said(&[]), [no_claim]);
    assert!(said(&[("CODER_OIDC_GROUP_FIELD", "roles")]).is_empty());
    assert!(said(&[("CODER_OIDC_SCOPES", "openid,groups")]).is_empty());
    let tls = [
        ("CODER_OIDC_GROUP_FIELD", "roles"),
        ("CODER_ACCESS_URL", "http://app.example"),
        ("CODER_TLS_CERT_FILE", "cert.pem"),
        ("CODER_TLS_KEY_FILE", "key.pem"),
    ];
    assert_eq!(said(&tls), ["CODER_TLS_CERT_FILE: is not served, because CODER_TLS_ENABLE is not set"]);
    let enabled = [&tls[..], &[("CODER_TLS_ENABLE", "true")]].concat();
    assert_eq!(
        said(&enabled),
        ["CODER_TLS_ENABLE: is set, and CODER_ACCESS_URL is http: browsers are sent there, to plain text"]
    );
}

#[test]
fn pings_that_grpc_servers_punish_are_a_problem() {
    for (given, expected) in [("0", None), ("5m", Some(300)), ("1h", Some(3600))] {
        let target = &with(&[("CODER_UPSTREAM_HTTP2_PING", given)]).unwrap().targets[0].0;
        assert_eq!(target.timeouts.ping.map(|ping| ping.as_secs()), expected);
    }
    assert_eq!(with(&[]).unwrap().targets[0].0.timeouts.ping, None);
    let said = with(&[("CODER_UPSTREAM_HTTP2_PING", "20s")]).unwrap_err().to_string();
    assert!(said.contains("CODER_UPSTREAM_HTTP2_PING: must be 0, or 5m or more"), "{said}");
}

#[test]
fn a_flag_goes_before_the_environment_that_before_the_file_and_that_before_the_default() {
    let (_file, path) = file("session_duration = \"1h\"\nsession_max_duration = \"2h\"\noidc_renew_before = \"10s\"\n");
    let mut given = environment(&WHOLE);
    given.variables.extend([
        ("CODER_CONFIG_PATH".to_owned(), path),
        ("CODER_SESSION_MAX_DURATION".to_owned(), "3h".to_owned()),
        ("CODER_SESSION_DURATION".to_owned(), "4h".to_owned()),
    ]);
    given.flags.insert("session_duration".to_owned(), "5h".to_owned());
    let checked = checked(&given).unwrap();
    let hours = |duration: std::time::Duration| duration.as_secs() / 3600;
    assert_eq!((hours(checked.session.idle), hours(checked.session.absolute)), (5, 3));
    assert_eq!((checked.renewal.renew_before.as_secs(), hours(checked.renewal.outage_grace)), (10, 1));
}

#[test]
fn what_is_about_postgres_does_not_start_a_gateway_with_a_file() {
    for name in ["CODER_PG_LISTEN_URL", "CODER_PG_PASSWORD_FILE"] {
        let problem = with(&[(name, "postgres://h/d")]).unwrap_err().to_string();
        assert!(problem.contains(&format!("{name}: needs CODER_PG_CONNECTION_URL")), "{problem}");
    }
}

#[test]
fn claims_of_the_access_token_are_taken_only_without_user_info() {
    let said = with(&[("CODER_OIDC_ACCESS_TOKEN_CLAIMS", "true")]).unwrap_err().to_string();
    assert!(said.contains("CODER_OIDC_ACCESS_TOKEN_CLAIMS: needs CODER_OIDC_IGNORE_USERINFO to be true"), "{said}");
    let both = [("CODER_OIDC_ACCESS_TOKEN_CLAIMS", "true"), ("CODER_OIDC_IGNORE_USERINFO", "true")];
    assert!(with(&both).unwrap().provider.oidc.access_token_claims);
}

#[test]
fn an_empty_variable_is_not_set() {
    let settings = with(&[("CODER_OIDC_SCOPES", ""), ("CODER_PG_CONNECTION_URL", ""), ("CODER_OIDC_EMAIL_DOMAIN", "")]).unwrap();
    assert!(settings.provider.oidc.scopes.is_none() && settings.provider.policy.email_domains.is_empty());
}

#[test]
fn the_example_file_and_the_reference_are_those_of_the_table() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap_or_default();
    assert!(read("config/example.toml") == print::example(), "run: cargo run -- config example > config/example.toml");
    assert!(read("docs/settings.md") == print::reference(), "run: cargo run -- config reference > docs/settings.md");
}

#[test]
fn the_reference_names_every_preset() {
    let reference = print::reference();
    for preset in evergate::oidc::PRESETS {
        assert!(reference.contains(&format!("`{}`", preset.name)), "{}", preset.name);
    }
}

#[test]
fn the_names_of_variables_are_read_in_any_case_so_that_no_rule_is_passed_over_in_silence() {
    for name in ["coder_oidc_email_domain", "Coder_Oidc_Email_Domain", "CODER_oidc_email_domain"] {
        let settings = with(&[(name, "example.com")]).unwrap();
        let rules = format!("{settings:?}");
        assert!(rules.contains("example.com"), "{name}");
    }
    assert!(with(&[("coder_oidc_email_domian", "example.com")]).unwrap_err().to_string().contains("there is no such setting"));
    let paths = with(&[("CODER_CONFIG_PATH", "/nope"), ("coder_config_path", "/elsewhere")]).unwrap_err().to_string();
    assert!(paths.contains("coder_config_path: is set together with CODER_CONFIG_PATH"), "{paths}");
    let empty = with(&[("CODER_CONFIG_PATH", ""), ("coder_config_path", "/nope")]).unwrap_err().to_string();
    assert!(empty.contains("/nope"), "{empty}");
    let twice = with(&[("CODER_OIDC_EMAIL_DOMAIN", "one.example"), ("coder_oidc_email_domain", "two.example")]).unwrap_err();
    let said = "coder_oidc_email_domain: is set together with CODER_OIDC_EMAIL_DOMAIN; one of them must go";
    assert!(twice.to_string().contains(said), "{twice}");
}

#[test]
fn what_is_certainly_not_meant_is_a_warning() {
    for (variable, value, said) in [
        ("CODER_OIDC_SCOPES", "'openid,profile'", "is in quotes"),
        ("CODER_OIDC_ALLOWED_GROUPS", "'admins'", "is in quotes"),
        ("CODER_APPLICATION_NAME", "\"Acme\"", "is in quotes"),
        ("CODER_SESSION_DURATION", "2160h", "is longer than CODER_SESSION_MAX_DURATION"),
        ("CODER_DEFAULT_TOKEN_LIFETIME", "365d", "is longer than CODER_MAX_TOKEN_LIFETIME"),
    ] {
        let settings = with(&[("CODER_OIDC_GROUP_FIELD", "groups"), (variable, value)]).unwrap();
        let told = settings.warnings.iter().find(|warning| warning.key == variable);
        assert!(told.is_some_and(|warning| warning.message.contains(said)), "{variable}: {:?}", settings.warnings);
    }
    let hardened = with(&[("CODER_SESSION_MAX_DURATION", "12h"), ("CODER_MAX_TOKEN_LIFETIME", "24h")]).unwrap();
    assert!(hardened.warnings.iter().all(|warning| !warning.message.contains("is longer")), "defaults are nobody's mistake");
    let settings = with(&[
        ("CODER_OIDC_GROUP_FIELD", "groups"),
        ("CODER_OIDC_ALLOWED_GROUPS", "\"CN=a,DC=x\",b"),
        ("CODER_SESSION_DURATION", "24h"),
    ])
    .unwrap();
    assert!(settings.warnings.iter().all(|warning| !warning.message.contains("quotes")), "{:?}", settings.warnings);
}

#[test]
fn directives_of_hsts_have_no_case() {
    for given in ["includesubdomains", "IncludeSubDomains,PRELOAD"] {
        let more = [("CODER_STRICT_TRANSPORT_SECURITY", "300"), ("CODER_STRICT_TRANSPORT_SECURITY_OPTIONS", given)];
        let value = with(&more).unwrap().gateway.strict_transport_security.unwrap();
        assert!(value.to_str().unwrap().starts_with("max-age=300; includeSubDomains"), "{value:?}");
    }
}
