//! Settings in the forms that Coder takes, and what is said of those that are Coder's alone.

use evergate::telemetry::{LogFilter, LogOutput};

use super::{WHOLE, checked, environment, file, with};

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
fn a_map_is_json_or_yaml_and_names_of_groups_need_a_claim_and_a_pattern() {
    for given in [r#"{"prompt":"consent"}"#, "{prompt: consent}", "{ 'prompt': \"consent\", }"] {
        let settings = with(&[("CODER_OIDC_AUTH_URL_PARAMS", given), ("CODER_OIDC_GROUP_MAPPING", given)]).unwrap();
        assert_eq!(settings.provider.oidc.auth_params["prompt"], "consent", "{given}");
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
      CODER_OIDC_GROUP_REGEX_FILTER: is no regular expression of RE2's syntax, without \Q, and with \{ and, in a class, \[, \&, \- and \~ for those characters
    "#);
}

#[test]
fn roles_are_a_map_of_lists_wherever_it_stands_and_need_a_claim() {
    let (_file, path) = file("oidc_user_role_field = \"groups\"\n[oidc_user_role_mapping]\nadmins = [\"owner\", \"a, b\"]\n");
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    let roles = checked(&given).unwrap().provider.oidc.mapping.roles.unwrap();
    assert_eq!((roles.field.as_str(), &roles.mapping["admins"]), ("groups", &vec!["owner".to_owned(), "a, b".to_owned()]));
    for mapping in [r#"{"admins":["owner"]}"#, "{admins: [owner]}"] {
        given.variables.insert("CODER_OIDC_USER_ROLE_MAPPING".to_owned(), mapping.to_owned());
        assert_eq!(checked(&given).unwrap().provider.oidc.mapping.roles.unwrap().mapping["admins"], ["owner"]);
    }
    given.variables.insert("CODER_OIDC_USER_ROLE_MAPPING".to_owned(), "{admins: owner}".to_owned());
    insta::assert_snapshot!(checked(&given).unwrap_err(), @r#"
    there is a problem with the settings:
      CODER_OIDC_USER_ROLE_MAPPING: must be a map of lists like {"admins":["owner"]} or {admins: [owner]}, each key once
    "#);
    let settings = with(&[("CODER_OIDC_USER_ROLE_DEFAULT", "member")]).unwrap();
    assert!(settings.provider.oidc.mapping.roles.is_none());
    let said: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"), @"CODER_OIDC_USER_ROLE_DEFAULT: has no effect without CODER_OIDC_USER_ROLE_FIELD, which says which claim holds the roles");
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
    assert_eq!(settings.provider.trust.ca_file, None);
    let outgoing = and(&[
        ("CODER_TLS_CLIENT_CA_FILE", "ca.pem"),
        ("CODER_TLS_CLIENT_CERT_FILE", "client.pem"),
        ("CODER_TLS_CLIENT_KEY_FILE", "client.key"),
    ]);
    let trusted = |more: &[(&'static str, &'static str)]| with(&[&outgoing[..], more].concat()).unwrap().provider.trust.ca_file;
    assert_eq!(trusted(&[]), Some("ca.pem".into()), "as in Coder");
    assert_eq!(trusted(&[("CODER_OIDC_CA_FILE", "own.pem")]), Some("own.pem".into()));
}

#[test]
fn a_rule_that_is_misspelt_starts_nothing_and_what_kubernetes_or_coder_writes_does() {
    for name in [
        "CODER_OIDC_GROUP_ALLOWED",
        "CODER_OIDC_GROUPS_ALLOWED",
        "CODER_OIDC_REQUIRED_GROUPS",
        "CODER_OIDC_ALLOWED_EMAIL_DOMAIN",
        "CODER_OIDC_ALLOWED_EMAIL_DOMAINS",
        "CODER_OIDC_ALLOWED_USERS",
        "CODER_OIDC_ALLOWED_TENANTS",
        "CODER_DANGEROUS_OIDC_ALLOW_ALL",
        "CODER_OIDC_PORT",
        "CODER_EMAIL_DOMAIN",
        "CODER_EMAIL_DOMAINS",
        "CODER_ALLOWED_EMAIL_DOMAINS",
        "CODER_GROUP_ALLOWED",
    ] {
        let said = with(&[(name, "admins")]).unwrap_err().to_string();
        assert!(said.contains(&format!("{name}: there is no such setting")), "{said}");
    }
    for (name, value) in [
        ("CODER_OIDC_SERVICE_HOST", "10.96.0.7"),
        ("CODER_OIDC_PORT", "tcp://10.96.0.7:80"),
        ("CODER_OIDC_PORT_80_TCP_ADDR", "10.96.0.7"),
        ("CODER_OIDC_SERVICE_PORT_HTTP", "80"),
        ("CODER_EMAIL_FROM", "coder@example.com"),
        ("CODER_EMAIL_AUTH_USERNAME", "coder"),
        ("CODER_OIDC_REPAIR_LINKS", "true"),
        ("CODER_DANGEROUS_OIDC_EMAIL_FALLBACK", "true"),
        ("CODER_OAUTH2_GITHUB_ALLOWED_TEAMS", "a/b"),
    ] {
        assert_eq!(with(&[(name, value)]).unwrap().warnings.len(), 1, "{name}");
    }
}

#[test]
fn scopes_stand_between_commas_or_blanks_and_each_counts_once() {
    for given in
        ["openid profile groups", "openid,profile,groups", " openid,  profile openid,groups\n", "openid\tprofile\ngroups"]
    {
        let oidc = with(&[("CODER_OIDC_SCOPES", given)]).unwrap().provider.oidc;
        assert_eq!(oidc.scopes.unwrap(), ["openid", "profile", "groups"], "{given:?}");
        assert_eq!(oidc.mapping.groups.as_deref(), Some("groups"), "{given:?}");
    }
}

#[test]
fn a_domain_of_addresses_is_one_and_stands_in_its_one_form() {
    let domains = with(&[("CODER_OIDC_EMAIL_DOMAIN", "@Example.COM, BÜCHER.example,example.org.")]).unwrap();
    assert_eq!(domains.provider.policy.email_domains, ["example.com", "xn--bcher-kva.example", "example.org"]);
    for wrong in ["'example.com'", "*", "*.example.com", "ann@example.com", "https://example.com", "@", "a.example,*"] {
        let said = with(&[("CODER_OIDC_EMAIL_DOMAIN", wrong)]).unwrap_err().to_string();
        assert!(said.contains("CODER_OIDC_EMAIL_DOMAIN: must be domains like example.com"), "{wrong}: {said}");
        let (_file, path) = file(&format!("[[route]]\npath = \"/a\"\nemail_domains = [\"{wrong}\"]\n"));
        let mut given = environment(&WHOLE);
        given.config_path = Some(path);
        let said = checked(&given).unwrap_err().to_string();
        assert!(said.contains("route[1].email_domains: must be domains like example.com"), "{wrong}: {said}");
    }
}

#[test]
fn a_group_may_have_commas_in_it_wherever_it_is_given() {
    let groups = ["CN=admins,OU=Groups,DC=x", "ops"];
    let field = ("CODER_OIDC_GROUP_FIELD", "groups");
    let variable = [field, ("CODER_OIDC_ALLOWED_GROUPS", "\"CN=admins,OU=Groups,DC=x\",ops")];
    assert_eq!(with(&variable).unwrap().provider.policy.allowed_groups, groups);
    let list = "[\"CN=admins,OU=Groups,DC=x\", \"ops\"]";
    let (_file, path) = file(&format!("oidc_group_field = \"groups\"\noidc_allowed_groups = {list}\n"));
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    assert_eq!(checked(&given).unwrap().provider.policy.allowed_groups, groups);
    for wrong in ["[\"admins\",\"ops\"]", "admins\"", "\"admins,ops", "\"a\"b"] {
        let said = with(&[field, ("CODER_OIDC_ALLOWED_GROUPS", wrong)]).unwrap_err().to_string();
        assert!(said.contains("CODER_OIDC_ALLOWED_GROUPS: must be texts separated by commas"), "{wrong}: {said}");
    }
}

#[test]
fn blanks_around_what_is_no_secret_are_left_out_and_an_issuer_has_neither_blanks_nor_a_password() {
    let settings = with(&[
        ("CODER_OIDC_ISSUER_URL", " https://idp.example\n"),
        ("CODER_OIDC_CLIENT_ID", "app\n"),
        ("CODER_OIDC_GROUP_FIELD", " groups "),
    ]);
    let oidc = settings.unwrap().provider.oidc;
    assert_eq!((oidc.issuer.as_str(), oidc.client_id.as_str()), ("https://idp.example", "app"));
    assert_eq!(oidc.mapping.groups.as_deref(), Some("groups"));
    for wrong in ["https://idp.exa\nmple", "https://idp.example/a b", "https://ann:hunter2@idp.example"] {
        let said = with(&[("CODER_OIDC_ISSUER_URL", wrong)]).unwrap_err().to_string();
        assert!(said.contains("CODER_OIDC_ISSUER_URL: must not have") && !said.contains("hunter2"), "{said}");
    }
    assert!(with(&[("CODER_OIDC_CLIENT_ID", " ")]).is_err());
}
