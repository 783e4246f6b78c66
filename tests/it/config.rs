//! Settings: where they come from, and what is said of wrong ones.

use std::collections::BTreeMap;

use evergate::{
    config::{Checked, Environment, Problems, ValueType, check, print, table},
    telemetry::{LogFilter, LogOutput},
};

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
fn variables_that_others_write_are_named_in_one_warning_and_those_that_are_meant_for_us_are_problems() {
    let others = [
        ("CODER_AGENT_TOKEN", "hunter2"),
        ("CODER_PG_PORT_5432_TCP", "tcp://10.96.0.8:5432"),
        ("CODER_PG_SERVICE_HOST", "10.96.0.8"),
        ("CODER_PORT", "tcp://10.96.0.7:80"),
        ("CODER_PORT_80_TCP_ADDR", "10.96.0.7"),
        ("CODER_SERVICE_HOST", "10.96.0.7"),
        ("CODER_SERVICE_PORT_HTTP", "80"),
        ("CODER_UPSTREAM_PORT", "tcp://10.96.0.9:80"),
        ("CODER_USERNAME", "ann"),
        ("CODER_WORKSPACE_NAME", "dev"),
    ];
    let said: Vec<_> = with(&others).unwrap().warnings.iter().map(ToString::to_string).collect();
    let names = others.map(|(name, _)| name).join(", ");
    assert_eq!(said, [format!("CODER_*: variables that are no settings of Evergate's are ignored: {names}")]);
    assert!(with(&[]).unwrap().warnings.is_empty());

    let coders = [
        ("CODER_AI_GATEWAY_ENABLED", "true"),
        ("CODER_AI_GATEWAY_OPENAI_KEY", "hunter2"),
        ("CODER_DERP_SERVER_RELAY_URL", "http://10.0.0.1"),
        ("CODER_OIDC_ALLOW_SIGNUPS", "false"),
        ("CODER_TELEMETRY_ENABLE", "true"),
    ];
    let said: Vec<_> = with(&coders).unwrap().warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"), @"
    CODER_AI_*: has no effect: Evergate has no part in AI features
    CODER_DERP_*: has no effect: it is about workspaces, which are Coder's
    CODER_OIDC_ALLOW_SIGNUPS: has no effect: Evergate has no accounts: whoever the provider and the rules let in may enter (CODER_OIDC_ALLOWED_GROUPS, CODER_OIDC_EMAIL_DOMAIN)
    CODER_TELEMETRY_*: has no effect: Evergate sends nothing to its makers and asks them nothing
    ");

    let mistakes = [("CODER_ALLOWED_GROUPS", "admins"), ("CODER_UPSTREAM_URLS", "http://x"), ("CODER_USERNAME", "ann")];
    insta::assert_snapshot!(with(&mistakes).unwrap_err(), @r"
    there are 2 problems with the settings:
      CODER_ALLOWED_GROUPS: there is no such setting; did you mean CODER_OIDC_ALLOWED_GROUPS?
      CODER_UPSTREAM_URLS: there is no such setting; did you mean CODER_UPSTREAM_URL?
    ");
}

#[test]
fn an_unknown_name_in_the_file_or_among_the_flags_is_a_problem_whatever_it_is_like() {
    let (_file, path) = file("workspace_name = \"dev\"\nport_80_tcp_addr = \"10.96.0.7\"\n");
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    // The same name elsewhere does not hide it.
    given.variables.insert("CODER_WORKSPACE_NAME".to_owned(), "dev".to_owned());
    given.flags.insert("agent_token".to_owned(), "hunter2".to_owned());
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r"
    there are 3 problems with the settings:
      port_80_tcp_addr: there is no such setting
      workspace_name: there is no such setting
      --agent-token: there is no such setting
    ");
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
fn the_file_may_use_its_own_types_and_is_read_strictly() {
    let (_file, path) = file(
        "oidc_scopes = [\"openid\", \"groups\"]\npass_access_token = true\npg_conn_max_open = 3\n[oidc_auth_url_params]\nprompt = \"consent\"\n",
    );
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    let settings = checked(&given).unwrap();
    assert_eq!(settings.oidc.scopes.unwrap(), ["openid", "groups"]);
    assert_eq!(settings.oidc.mapping.groups.as_deref(), Some("groups"), "as Coder has it");
    assert!(settings.targets[0].0.pass_access_token);
    assert_eq!(settings.oidc.auth_params["prompt"], "consent");

    let (_file, path) = file("oidc_client_secret = \"hunter2\noidc_scopes = 3");
    given.config_path = Some(path);
    let said = checked(&given).unwrap_err().to_string();
    assert!(said.contains("is not valid TOML") && !said.contains("hunter2"), "{said}");
    let (_file, path) = file("oidc_scope = \"openid\"\n");
    given.config_path = Some(path);
    assert!(checked(&given).unwrap_err().to_string().contains("oidc_scope: there is no such setting; did you mean oidc_scopes?"));
    given.config_path = Some("/nowhere/evergate.toml".to_owned());
    assert!(checked(&given).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn a_map_is_json_or_yaml_and_names_of_groups_need_a_claim_and_a_pattern() {
    for given in [r#"{"prompt":"consent"}"#, "{prompt: consent}", "{ 'prompt': \"consent\", }"] {
        let settings = with(&[("CODER_OIDC_AUTH_URL_PARAMS", given), ("CODER_OIDC_GROUP_MAPPING", given)]).unwrap();
        assert_eq!(settings.oidc.auth_params["prompt"], "consent", "{given}");
        let said: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            ["CODER_OIDC_GROUP_MAPPING: has no effect without CODER_OIDC_GROUP_FIELD, which says which claim holds the groups"]
        );
    }
    for scopes in ["openid,groups", "groups"] {
        let settings = with(&[("CODER_OIDC_SCOPES", scopes), ("CODER_OIDC_GROUP_MAPPING", "{a: b}")]).unwrap();
        assert!(settings.warnings.is_empty());
    }
    let wrong = [
        ("CODER_OIDC_GROUP_FIELD", "groups"),
        ("CODER_OIDC_GROUP_MAPPING", "{a: [b]}"),
        ("CODER_OIDC_GROUP_REGEX_FILTER", "(?=a)"),
        ("CODER_OIDC_AUTH_URL_PARAMS", "{prompt: login, prompt: consent}"),
    ];
    insta::assert_snapshot!(with(&wrong).unwrap_err(), @r#"
    there are 3 problems with the settings:
      CODER_OIDC_AUTH_URL_PARAMS: must be a map of texts like {"prompt":"consent"} or {prompt: consent}, each key once
      CODER_OIDC_GROUP_MAPPING: must be a map of texts like {"prompt":"consent"} or {prompt: consent}, each key once
      CODER_OIDC_GROUP_REGEX_FILTER: is no regular expression of RE2's syntax
    "#);
}

#[test]
fn roles_are_a_map_of_lists_wherever_it_stands_and_need_a_claim() {
    let (_file, path) = file("oidc_user_role_field = \"groups\"\n[oidc_user_role_mapping]\nadmins = [\"owner\", \"a, b\"]\n");
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    let roles = checked(&given).unwrap().oidc.mapping.roles.unwrap();
    assert_eq!((roles.field.as_str(), &roles.mapping["admins"]), ("groups", &vec!["owner".to_owned(), "a, b".to_owned()]));
    for mapping in [r#"{"admins":["owner"]}"#, "{admins: [owner]}"] {
        given.variables.insert("CODER_OIDC_USER_ROLE_MAPPING".to_owned(), mapping.to_owned());
        assert_eq!(checked(&given).unwrap().oidc.mapping.roles.unwrap().mapping["admins"], ["owner"]);
    }
    given.variables.insert("CODER_OIDC_USER_ROLE_MAPPING".to_owned(), "{admins: owner}".to_owned());
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there is a problem with the settings:
      CODER_OIDC_USER_ROLE_MAPPING: must be a map of lists like {"admins":["owner"]} or {admins: [owner]}, each key once
    "#);
    let settings = with(&[("CODER_OIDC_USER_ROLE_DEFAULT", "member")]).unwrap();
    assert!(settings.oidc.mapping.roles.is_none());
    let said: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"), @"CODER_OIDC_USER_ROLE_DEFAULT: has no effect without CODER_OIDC_USER_ROLE_FIELD, which says which claim holds the roles");
}

#[test]
fn claims_of_the_access_token_are_taken_only_without_user_info() {
    let said = with(&[("CODER_OIDC_ACCESS_TOKEN_CLAIMS", "true")]).unwrap_err().to_string();
    assert!(said.contains("CODER_OIDC_ACCESS_TOKEN_CLAIMS: needs CODER_OIDC_IGNORE_USERINFO to be true"), "{said}");
    let both = [("CODER_OIDC_ACCESS_TOKEN_CLAIMS", "true"), ("CODER_OIDC_IGNORE_USERINFO", "true")];
    assert!(with(&both).unwrap().oidc.access_token_claims);
}

#[test]
fn what_coder_writes_otherwise_is_taken_in_both_forms() {
    let coders = [
        ("CODER_HTTP_ADDRESS", ":3000"),
        ("CODER_LOG_FILTER", ".*got oidc claims.*"),
        ("CODER_LOGGING_JSON", "/dev/stdout"),
        ("CODER_OIDC_AUTH_URL_PARAMS", "{access_type: offline}"),
    ];
    let settings = with(&coders).unwrap();
    assert_eq!(settings.server.address, "[::]:3000".parse().unwrap());
    assert!(matches!(settings.telemetry.filter, LogFilter::DebugLines(_)));
    assert_eq!((settings.telemetry.json, settings.telemetry.output), (Some(true), LogOutput::Stdout));
    for (given, json, output) in [
        ("true", true, LogOutput::Stderr),
        ("false", false, LogOutput::Stderr),
        ("/dev/stderr", true, LogOutput::Stderr),
        ("/var/log/evergate.log", true, LogOutput::File("/var/log/evergate.log".into())),
    ] {
        let telemetry = with(&[("CODER_LOGGING_JSON", given)]).unwrap().telemetry;
        assert_eq!((telemetry.json, telemetry.output), (Some(json), output), "{given}");
    }
    let settings = with(&[("CODER_HTTP_ADDRESS", "")]).unwrap();
    assert_eq!((settings.server.address, settings.telemetry.json), ("127.0.0.1:3000".parse().unwrap(), None));
    let said = with(&[("CODER_LOGGING_JSON", "yes")]).unwrap_err().to_string();
    assert!(said.contains("CODER_LOGGING_JSON: must be true, false, or a path like /dev/stderr"), "{said}");
}

#[test]
fn client_certificates_that_nobody_verifies_are_not_required() {
    let said = |more: &[(&str, &str)]| with(more).unwrap_err().0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let tls = [("CODER_TLS_ENABLE", "true"), ("CODER_TLS_CERT_FILE", "c.pem"), ("CODER_TLS_KEY_FILE", "k.pem")];
    let and = |more: &[(&'static str, &'static str)]| [&tls[..], more].concat();
    insta::assert_snapshot!(said(&and(&[("CODER_TLS_CLIENT_AUTH", "require-any")])), @"CODER_TLS_CLIENT_AUTH: must not be require-any: anybody can make such a certificate; require-and-verify asks for one of CODER_TLS_CLIENT_CA_FILE");
    insta::assert_snapshot!(said(&and(&[("CODER_TLS_CLIENT_AUTH", "always")])), @"CODER_TLS_CLIENT_AUTH: must be none, request, verify-if-given or require-and-verify");
    insta::assert_snapshot!(said(&[("CODER_TLS_CLIENT_AUTH", "require-and-verify")]), @"
    CODER_TLS_CLIENT_AUTH: needs CODER_TLS_ENABLE: without it no client is asked for a certificate
    CODER_TLS_CLIENT_AUTH: needs CODER_TLS_CLIENT_CA_FILE to verify certificates with
    ");
    let required = [
        ("CODER_TLS_CLIENT_AUTH", "require-and-verify"),
        ("CODER_TLS_CLIENT_CA_FILE", "ca.pem"),
        ("CODER_HTTP_ADDRESS", ":3000"),
    ];
    let settings = with(&and(&required)).unwrap();
    let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"), @"CODER_HTTP_ADDRESS: is not on loopback, and asks no client for the certificate that CODER_TLS_CLIENT_AUTH requires");
    assert_eq!(settings.provider_trust.ca_file, None);
    let outgoing = and(&[
        ("CODER_TLS_CLIENT_CA_FILE", "ca.pem"),
        ("CODER_TLS_CLIENT_CERT_FILE", "client.pem"),
        ("CODER_TLS_CLIENT_KEY_FILE", "client.key"),
    ]);
    let trusted = |more: &[(&'static str, &'static str)]| with(&[&outgoing[..], more].concat()).unwrap().provider_trust.ca_file;
    assert_eq!(trusted(&[]), Some("ca.pem".into()), "as in Coder");
    assert_eq!(trusted(&[("CODER_OIDC_CA_FILE", "own.pem")]), Some("own.pem".into()));
}

#[test]
fn a_secret_is_kept_to_the_letter_from_wherever_it_comes() {
    for secret in ["0042", "true", "[x", "\"q\"", "1e5", " blank ", "a,b", "{}"] {
        let settings = with(&[("CODER_OIDC_CLIENT_SECRET", secret)]).unwrap();
        assert_eq!(settings.oidc.client_secret.unwrap().expose(), secret);
        let (_file, path) = file(&format!("{secret}\n"));
        let settings = with(&[("CODER_OIDC_CLIENT_SECRET_FILE", &path)]).unwrap();
        assert_eq!(settings.oidc.client_secret.unwrap().expose(), secret);
    }
    let said =
        with(&[("CODER_OIDC_CLIENT_SECRET_FILE", "/nowhere"), ("CODER_OIDC_CLIENT_SECRET", "hunter2")]).unwrap_err().to_string();
    assert!(
        said.contains("CODER_OIDC_CLIENT_SECRET_FILE: is set together with CODER_OIDC_CLIENT_SECRET")
            && !said.contains("hunter2"),
        "{said}"
    );
    assert!(
        with(&[("CODER_OIDC_CLIENT_SECRET_FILE", "/nowhere")])
            .unwrap_err()
            .to_string()
            .contains("the file /nowhere cannot be read")
    );
}

#[test]
fn whatever_is_of_a_wrong_type_in_the_file_is_a_problem_in_every_setting() {
    for key in table::all() {
        let names = [key.name.to_owned(), format!("{}_file", key.name)];
        for name in names.iter().take(if key.is_secret() { 2 } else { 1 }) {
            for value in ["1.5", "nan", "1979-05-27", "[[\"a\"]]", "[1.5]", "{ a = [\"b\"] }", "[\"a,b\"]"] {
                if key.value_type == ValueType::MapOfLists && value == "{ a = [\"b\"] }" {
                    continue;
                }
                let (_file, path) = file(&format!("{name} = {value}\n"));
                let mut given = environment(&WHOLE);
                // It goes before the file.
                given.variables.retain(|variable, _| *variable != key.env());
                given.config_path = Some(path);
                let Err(said) = checked(&given) else { panic!("{name} = {value} is passed over") };
                let about: Vec<_> = said.0.iter().filter(|problem| problem.key == *name).collect();
                assert_eq!(about.len(), 1, "{name} = {value}: {said}");
                let missing = format!("{}: is required", key.env());
                assert!(!said.to_string().contains(&missing), "{name} = {value}: {said}");
            }
        }
    }
}

#[test]
fn whatever_is_of_a_wrong_type_in_a_route_is_a_problem() {
    let (_file, path) = file(
        "[[route]]\nhost = 1\nca_file = 1.5\nclient_cert_file = [\"a\"]\nclient_key_file = true\ngroups = [\"a,b\"]\n\
         strip_prefix = 1.5\nset_headers = [\"a\"]\nmax_requests = 1.0\n",
    );
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there are 8 problems with the settings:
      route[1].host: must be a text in quotes
      route[1].groups: has a member with a comma in it, which stands between members
      route[1].strip_prefix: must be true or false
      route[1].set_headers: must be a table of texts like { one = "two" }
      route[1].max_requests: must be a whole number
      route[1].ca_file: must be a text in quotes
      route[1].client_cert_file: must be a text in quotes
      route[1].client_key_file: must be a text in quotes
    "#);
}

#[test]
fn a_secret_that_cannot_be_had_is_a_problem_and_never_makes_a_client_a_public_one() {
    for (given, said) in [("", "holds nothing"), ("\n\n", "holds nothing"), ("\u{feff}\n", "holds nothing")] {
        let (_file, path) = file(given);
        let problems = with(&[("CODER_OIDC_CLIENT_SECRET_FILE", &path)]).unwrap_err().to_string();
        assert!(problems.contains(&format!("CODER_OIDC_CLIENT_SECRET_FILE: {said}")), "{problems}");
    }
    assert!(
        with(&[("CODER_OIDC_CLIENT_SECRET", " ")]).unwrap_err().to_string().contains("CODER_OIDC_CLIENT_SECRET: holds nothing")
    );
    let (_file, path) = file("oidc_client_secret = 1.5\noidc_client_secret_previous_file = 1.5\nsession_duration = 1.5\n");
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    given.not_utf8 = ["CODER_PG_CONNECTION_URL", "CODER_OIDC_CLIENT_ID", "CODER_WORKSPACE_NAME"].map(str::to_owned).into();
    given.variables.remove("CODER_OIDC_CLIENT_ID");
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there are 6 problems with the settings:
      CODER_OIDC_CLIENT_ID: is not UTF-8 text
      CODER_PG_CONNECTION_URL: is not UTF-8 text
      oidc_client_secret: must be a text in quotes
      oidc_client_secret_previous_file: must be a text in quotes
      session_duration: must be a duration in quotes like "45s"
      CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS: is required with Postgres, where tokens are sealed for all replicas; make a key with: evergate keys generate
    "#);
}

#[test]
fn what_looks_like_a_slip_in_a_secret_is_said_and_the_secret_is_not() {
    for (given, kept, said) in [
        ("\u{feff}hunter2\n", "hunter2", "begins with a byte order mark, which is left out"),
        ("\"hunter2\"\n", "\"hunter2\"", "is in quotes, which are taken for a part of it"),
        ("\nhunter2\n", "\nhunter2", "has blanks or empty lines around it, which are taken for a part of it"),
        ("hunter2\n\nhunter3\r\n", "hunter2\n\nhunter3", "has several lines, which are taken for one secret"),
    ] {
        let (_file, path) = file(given);
        let settings = with(&[("CODER_OIDC_CLIENT_SECRET_FILE", &path)]).unwrap();
        assert_eq!(settings.oidc.client_secret.unwrap().expose(), kept);
        let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [format!("CODER_OIDC_CLIENT_SECRET_FILE: {said}")]);
    }
    let settings = with(&[("CODER_OIDC_CLIENT_SECRET", "hunter2\n")]).unwrap();
    assert_eq!(settings.warnings.len(), 1, "no line's end belongs to a variable");
    let (_file, path) = file("hunter2\r\n");
    assert!(with(&[("CODER_OIDC_CLIENT_SECRET_FILE", &path)]).unwrap().warnings.is_empty());
}

#[test]
fn an_empty_variable_is_not_set() {
    let settings = with(&[("CODER_OIDC_SCOPES", ""), ("CODER_PG_CONNECTION_URL", ""), ("CODER_OIDC_EMAIL_DOMAIN", "")]).unwrap();
    assert!(settings.oidc.scopes.is_none() && settings.policy.email_domains.is_empty());
}

#[test]
fn a_bad_key_is_said_by_its_position_and_never_shown() {
    let said = with(&[("CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS", "aHVudGVyMg==")]).unwrap_err().to_string();
    assert!(
        said.contains("key 1 is not base64 of exactly 32 bytes; make one with: evergate keys generate")
            && !said.contains("aHVudGVyMg"),
        "{said}"
    );
}

#[test]
fn settings_are_shown_with_their_sources_and_secrets_masked() {
    let (_file, path) = file("oidc_scopes = [\"openid\"]\n");
    let mut given = environment(&WHOLE);
    given.variables.insert("CODER_OIDC_CLIENT_SECRET".to_owned(), "hunter2".to_owned());
    given.config_path = Some(path.clone());
    let shown = print::effective(&given.read(&mut Problems::default()));
    assert!(!shown.contains("hunter2"));
    for line in [
        "CODER_OIDC_CLIENT_SECRET=********  # environment",
        "CODER_HTTP_ADDRESS=127.0.0.1:3000  # default",
        &format!("CODER_OIDC_SCOPES=openid  # {path}"),
        "CODER_PG_CONNECTION_URL=  # not set",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
}

#[test]
fn the_example_file_and_the_reference_are_those_of_the_table() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap_or_default();
    assert!(read("config/example.toml") == print::example(), "run: cargo run -- config example > config/example.toml");
    assert!(read("docs/settings.md") == print::reference(), "run: cargo run -- config reference > docs/settings.md");
}

#[test]
fn the_example_file_is_read_without_a_problem_once_its_lines_are_taken_in() {
    let uncommented: String = print::example()
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| table::all().any(|key| line.starts_with(&format!("{} = ", key.name))))
        .filter(|line| !line.ends_with("= \"\"") && !line.ends_with("= []") && !line.ends_with("= {}"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(uncommented.lines().count() > 15, "{uncommented}");
    let (_file, path) = file(&uncommented);
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    checked(&given).unwrap();
}

#[test]
fn the_reference_names_every_preset() {
    let reference = print::reference();
    for preset in evergate::oidc::PRESETS {
        assert!(reference.contains(&format!("`{}`", preset.name)), "{}", preset.name);
    }
}

#[test]
fn every_problem_of_every_route_is_reported_and_routes_stand_in_the_file_alone() {
    let (_file, path) = file(
        r#"
        [[route]]
        path = "/a/../b"
        upstream = "ftp://x"
        rule = "public"
        groups = ["admins"]
        metods = ["GET"]

        [[route]]
        host = "https://other.example"
        path = "/ok/"
        protocol = "http3"
        outage = "maybe"
        set_headers = { "bad name" = "x" }
        set_answer_headers = { X-Forwarded-User = "x" }
        client_key_file = "key.pem"

        [[route]]
        path = "/twice"
        timeout = 3.5
        remove_headers = ["content-length"]
        set_headers = { Transfer-Encoding = "chunked" }
        max_requests = -1

        [[route]]
        path = "/twice/"

        [[route]]
        host = "other.example/"

        [[route]]
        host = "127.1"
        "#,
    );
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there are 17 problems with the settings:
      route[1].metods: there is no such setting of a route; did you mean methods?
      route[1].path: must be a path like /api, without escapes
      route[1].rule: is public, so that groups and email_domains would be asked of nobody
      route[1].upstream: must begin with http://, https:// or unix:
      route[2].host: must be scheme, host and port alone, without a path
      route[2].outage: must be grace or strict
      route[2].protocol: must be http1 or http2
      route[2].set_headers: must be a table of headers, as in { X-App = "one" }
      route[2].set_answer_headers: names a header that is Evergate's own to send
      route[2].client_cert_file: and client_key_file go together
      route[3].remove_headers: names a header that says how messages are sent, which is not for a route to change
      route[3].set_headers: names a header that says how messages are sent, which is not for a route to change
      route[3].max_requests: must be a whole number up to 1000000
      route[3].timeout: must be a duration in quotes like "45s"
      route[5].host: must be a host as browsers write it, as in app.example.com or app.example.com:8443
      route[6].host: must be a host as browsers write it, as in app.example.com or app.example.com:8443
      route[4]: has the host and path of a route before it
    "#);
    let (_file, path) = file("route = 3");
    given.config_path = Some(path);
    assert!(checked(&given).unwrap_err().to_string().contains("route: must be tables, each under [[route]]"));
    let said = problems(&[("CODER_ROUTE", "x")]);
    assert!(said.contains("CODER_ROUTE: there is no such setting"), "{said}");
}
