//! The environment of a Coder server starts Evergate as it is.

use evergate::{
    config::{Checked, Environment, Problems, check, table},
    oidc::ClientKeyFiles,
};

/// Every variable of Coder's server with a value as its documentation has it, by Coder's own sections.
const CODERS: &[(&str, &str)] = &[
    // OpenID Connect.
    ("CODER_OIDC_ISSUER_URL", "https://idp.example"),
    ("CODER_OIDC_CLIENT_ID", "coder"),
    ("CODER_OIDC_CLIENT_SECRET", "secret"),
    ("CODER_OIDC_SCOPES", "openid,profile,email,offline_access"),
    ("CODER_OIDC_AUTH_URL_PARAMS", r#"{"access_type": "offline"}"#),
    ("CODER_OIDC_EMAIL_DOMAIN", "@example.com,example.org"),
    ("CODER_OIDC_ALLOW_SIGNUPS", "true"),
    ("CODER_OIDC_IGNORE_EMAIL_VERIFIED", "true"),
    ("CODER_OIDC_USERNAME_FIELD", "preferred_username"),
    ("CODER_OIDC_NAME_FIELD", "name"),
    ("CODER_OIDC_EMAIL_FIELD", "email"),
    ("CODER_OIDC_IGNORE_USERINFO", "true"),
    ("CODER_OIDC_ACCESS_TOKEN_CLAIMS", "true"),
    ("CODER_OIDC_GROUP_FIELD", "groups"),
    ("CODER_OIDC_GROUP_MAPPING", r#"{"myOIDCGroupID": "myCoderGroupName"}"#),
    ("CODER_OIDC_GROUP_AUTO_CREATE", "true"),
    ("CODER_OIDC_GROUP_REGEX_FILTER", "^Coder.*$"),
    ("CODER_OIDC_ALLOWED_GROUPS", "developers,admins"),
    ("CODER_OIDC_USER_ROLE_FIELD", "roles"),
    ("CODER_OIDC_USER_ROLE_MAPPING", r#"{"TemplateAuthor": ["template-admin", "user-admin"]}"#),
    ("CODER_OIDC_USER_ROLE_DEFAULT", "member"),
    ("CODER_OIDC_ORGANIZATION_FIELD", "orgs"),
    ("CODER_OIDC_ORGANIZATION_ASSIGN_DEFAULT", "true"),
    ("CODER_OIDC_ORGANIZATION_MAPPING", "{}"),
    ("CODER_OIDC_SIGN_IN_TEXT", "Sign in with Example"),
    ("CODER_OIDC_ICON_URL", "/icon/google.svg"),
    ("CODER_OIDC_SIGNUPS_DISABLED_TEXT", "Ask **somebody**."),
    ("CODER_DANGEROUS_OIDC_SKIP_ISSUER_CHECKS", "false"),
    ("CODER_OIDC_REDIRECT_URL", "https://login.example"),
    ("CODER_OIDC_REDIRECT_ALLOWED_HOSTS", "coder.example,other.example"),
    ("CODER_OIDC_REPAIR_LINKS", "true"),
    ("CODER_DANGEROUS_OIDC_EMAIL_FALLBACK", "false"),
    // Sessions, cookies, tokens.
    ("CODER_SESSION_DURATION", "24h0m0s"),
    ("CODER_DISABLE_SESSION_EXPIRY_REFRESH", "false"),
    ("CODER_SECURE_AUTH_COOKIE", "true"),
    ("CODER_SAMESITE_AUTH_COOKIE", "lax"),
    ("CODER_HOST_PREFIX_COOKIE", "false"),
    ("CODER_MAX_TOKEN_LIFETIME", "876600h0m0s"),
    ("CODER_MAX_ADMIN_TOKEN_LIFETIME", "168h0m0s"),
    ("CODER_DEFAULT_TOKEN_LIFETIME", "168h0m0s"),
    ("CODER_DEFAULT_OAUTH_REFRESH_LIFETIME", "720h0m0s"),
    ("CODER_API_KEYS_RETENTION", "7d"),
    ("CODER_DISABLE_PASSWORD_AUTH", "true"),
    ("CODER_TERMS_OF_SERVICE_URL", "https://example.com/terms"),
    ("CODER_SCIM_AUTH_HEADER", "secret"),
    ("CODER_SCIM_USE_LEGACY", "true"),
    // Addresses and TLS.
    ("CODER_ACCESS_URL", "https://coder.example"),
    ("CODER_WILDCARD_ACCESS_URL", "*.coder.example"),
    ("CODER_REDIRECT_TO_ACCESS_URL", "true"),
    ("CODER_HTTP_ADDRESS", ":3000"),
    ("CODER_ADDRESS", "0.0.0.0:3000"),
    ("CODER_TLS_ENABLE", "false"),
    ("CODER_TLS_ADDRESS", "0.0.0.0:3443"),
    ("CODER_TLS_CERT_FILE", ""),
    ("CODER_TLS_KEY_FILE", ""),
    ("CODER_TLS_CLIENT_AUTH", "none"),
    ("CODER_TLS_CLIENT_CA_FILE", ""),
    ("CODER_TLS_MIN_VERSION", "tls12"),
    ("CODER_TLS_CLIENT_CERT_FILE", ""),
    ("CODER_TLS_CLIENT_KEY_FILE", ""),
    ("CODER_TLS_CIPHERS", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("CODER_TLS_ALLOW_INSECURE_CIPHERS", "false"),
    ("CODER_TLS_REDIRECT_HTTP_TO_HTTPS", "true"),
    ("CODER_STRICT_TRANSPORT_SECURITY", "172800"),
    ("CODER_STRICT_TRANSPORT_SECURITY_OPTIONS", "includeSubDomains"),
    ("CODER_PROXY_TRUSTED_HEADERS", "Cf-Connecting-Ip,X-Forwarded-For"),
    ("CODER_PROXY_TRUSTED_ORIGINS", "10.0.0.0/8"),
    ("CODER_ADDITIONAL_CSP_POLICY", "frame-src https://example.com"),
    ("CODER_DANGEROUS_ALLOW_CORS_REQUESTS", "false"),
    ("CODER_API_RATE_LIMIT", "512"),
    ("CODER_DANGEROUS_DISABLE_RATE_LIMITS", "false"),
    // Postgres, encryption, general.
    ("CODER_PG_CONNECTION_URL", "postgres://coder:secret@db.example/coder?sslmode=disable"),
    ("CODER_PG_AUTH", "password"),
    ("CODER_PG_CONN_MAX_OPEN", "10"),
    ("CODER_PG_CONN_MAX_IDLE", "auto"),
    ("CODER_EPHEMERAL", "false"),
    ("CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ("CODER_CACHE_DIRECTORY", "/var/cache/coder"),
    ("CODER_UPDATE_CHECK", "false"),
    ("CODER_EXPERIMENTS", "*"),
    // Logs, metrics, traces, health.
    ("CODER_LOG_FILTER", ".*"),
    ("CODER_VERBOSE", "true"),
    ("CODER_LOGGING_HUMAN", "/dev/stderr"),
    ("CODER_LOGGING_JSON", "/dev/stderr"),
    ("CODER_LOGGING_STACKDRIVER", ""),
    ("CODER_PROMETHEUS_ENABLE", "true"),
    ("CODER_PROMETHEUS_ADDRESS", "127.0.0.1:2112"),
    ("CODER_PROMETHEUS_COLLECT_AGENT_STATS", "true"),
    ("CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY", "agent_name"),
    ("CODER_PROMETHEUS_COLLECT_DB_METRICS", "false"),
    ("CODER_PPROF_ENABLE", "false"),
    ("CODER_PPROF_ADDRESS", "127.0.0.1:6060"),
    ("CODER_TRACE_ENABLE", "false"),
    ("CODER_TRACE_HONEYCOMB_API_KEY", "secret"),
    ("CODER_TRACE_LOGS", "false"),
    ("CODER_TRACE_DATADOG", "false"),
    ("CODER_HEALTH_CHECK_REFRESH", "10m0s"),
    ("CODER_HEALTH_CHECK_THRESHOLD_DATABASE", "15ms"),
    ("CODER_TELEMETRY_ENABLE", "true"),
    ("CODER_AUDIT_LOGS_RETENTION", "0"),
    // What else its deployments have.
    ("CODER_DERP_SERVER_ENABLE", "true"),
    ("CODER_DERP_CONFIG_URL", "https://example.com/derp.json"),
    ("CODER_OAUTH2_GITHUB_CLIENT_ID", "x"),
    ("CODER_OAUTH2_GITHUB_CLIENT_SECRET", "secret"),
    ("CODER_PROVISIONER_DAEMONS", "3"),
    ("CODER_SSH_HOSTNAME_PREFIX", "coder."),
    ("CODER_EXTERNAL_AUTH_0_ID", "primary-github"),
    ("CODER_EXTERNAL_AUTH_0_CLIENT_SECRET", "secret"),
    ("CODER_EMAIL_FROM", "coder@example.com"),
    ("CODER_NOTIFICATIONS_METHOD", "smtp"),
    ("CODER_QUIET_HOURS_DEFAULT_SCHEDULE", "CRON_TZ=UTC 0 0 * * *"),
    ("CODER_AI_GATEWAY_ENABLED", "true"),
    ("CODER_AIBRIDGE_OPENAI_KEY", "secret"),
    ("CODER_SWAGGER_ENABLE", "false"),
    ("CODER_BLOCK_DIRECT", "false"),
    ("CODER_WORKSPACE_HOSTNAME_SUFFIX", "coder"),
];

fn started_with(more: &[(&str, &str)]) -> Result<Checked, Problems> {
    let all = CODERS.iter().chain(&[("CODER_UPSTREAM_URL", "http://127.0.0.1:8080")]).chain(more);
    let variables = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut problems = Problems::default();
    let raw = Environment { variables, ..Environment::default() }.read(&mut problems);
    check(&raw, problems)
}

#[test]
fn a_whole_environment_of_coder_s_starts_evergate_and_each_variable_works_or_is_explained() {
    let checked = started_with(&[]).unwrap();
    let told: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
    let is_setting = |name: &str| table::all().any(|setting| setting.env() == name);
    for (name, value) in CODERS.iter().filter(|(name, value)| !value.is_empty() && !is_setting(name)) {
        let is_explained = told.iter().any(|line| {
            let (shown, reason) = line.split_once(": ").unwrap_or_default();
            reason.starts_with("has no effect: ")
                && shown.strip_suffix('*').map_or(shown == *name, |start| name.starts_with(start))
        });
        assert!(is_explained, "{name}={value} is neither a setting nor explained:\n{}", told.join("\n"));
    }
    assert!(!told.iter().any(|line| line.contains("are ignored")), "{}", told.join("\n"));
    assert!(!told.iter().any(|line| line.contains("secret")), "{}", told.join("\n"));
}

#[test]
fn cookies_that_browsers_would_refuse_are_a_problem_and_what_is_so_anyway_is_said() {
    let plain = [("CODER_ACCESS_URL", "http://coder.example"), ("CODER_OIDC_REDIRECT_URL", ""), ("CODER_SECURE_AUTH_COOKIE", "")];
    let with = |more: &[(&'static str, &'static str)]| started_with(&[&plain[..], more].concat());
    assert!(with(&[]).is_ok());
    let said = with(&[("CODER_HOST_PREFIX_COOKIE", "true"), ("CODER_SAMESITE_AUTH_COOKIE", "none")]).unwrap_err().to_string();
    assert!(said.contains("CODER_HOST_PREFIX_COOKIE: needs an https access URL"), "{said}");
    assert!(said.contains("CODER_SAMESITE_AUTH_COOKIE: must be lax: browsers refuse none over plain http"), "{said}");
    assert!(with(&[("CODER_SECURE_AUTH_COOKIE", "true"), ("CODER_SAMESITE_AUTH_COOKIE", "None")]).is_ok());
    let said = started_with(&[("CODER_SAMESITE_AUTH_COOKIE", "strict")]).unwrap_err().to_string();
    assert!(said.contains("CODER_SAMESITE_AUTH_COOKIE: must be lax or none"), "{said}");
    let told = started_with(&[("CODER_SECURE_AUTH_COOKIE", "false")]).unwrap().warnings;
    assert!(told.iter().any(|line| line.to_string().starts_with("CODER_SECURE_AUTH_COOKIE: has no effect")));
}

#[test]
fn values_that_could_not_work_are_problems_each_with_what_would_be_right() {
    for (name, value, said) in [
        ("CODER_WILDCARD_ACCESS_URL", "coder.example", "must be a host whose first label begins with a star"),
        ("CODER_WILDCARD_ACCESS_URL", "*.com", "must be a host whose first of at least three labels has a star"),
        ("CODER_OIDC_REDIRECT_URL", "http://login.example", "must have the scheme of CODER_ACCESS_URL"),
        ("CODER_OIDC_REDIRECT_URL", "https://login.example/callback", "must be scheme, host and port alone"),
        ("CODER_OIDC_REDIRECT_ALLOWED_HOSTS", "https://x", "must be"),
        ("CODER_PROXY_TRUSTED_HEADERS", "X Forwarded", "must be names of headers"),
        ("CODER_PG_CONN_MAX_IDLE", "many", "must be auto or a whole number"),
        ("CODER_OIDC_ICON_URL", "http://cdn.example/x.svg", "must be an https URL"),
        ("CODER_ADDITIONAL_CSP_POLICY", "img-src *; script-src *", "must be directives"),
        ("CODER_DANGEROUS_OIDC_SKIP_ISSUER_CHECKS", "perhaps", "must be true or false"),
    ] {
        let problems = started_with(&[(name, value)]).unwrap_err().to_string();
        assert!(problems.contains(&format!("{name}: {said}")), "{problems}");
    }
}

/// What `coder server --write-config` writes, in parts: every setting, most of them at their defaults.
const WRITTEN: &str = r#"
networking:
  # The URL that users will use to access the Coder deployment.
  # (default: <unset>, type: url)
  accessURL: https://coder.example
  wildcardAccessURL: ""
  docsURL: https://coder.com/docs
  redirectToAccessURL: false
  http:
    httpAddress: 127.0.0.1:3000
    additionalCSPPolicy: []
    disablePasswordAuth: false
    sessionDuration: 12h0m0s
    maxTokenLifetime: 876600h0m0s
  tls:
    address: 127.0.0.1:3443
    enable: false
    certFiles: []
    clientAuth: none
    minVersion: tls12
    strictTransportSecurity: 0
  derp:
    enable: true
    regionID: 999
  proxyTrustedHeaders: []
  proxyTrustedOrigins: ["10.0.0.0/8"]
  secureAuthCookie: true
introspection:
  prometheus:
    enable: true
    address: 127.0.0.1:2112
  logging:
    filter: []
    humanPath: /dev/stderr
oidc:
  allowSignups: true
  clientID: coder
  emailDomain:
    - "@example.com"
  issuerURL: https://idp.example
  scopes: [openid, profile, email, offline_access]
  authURLParams:
    access_type: offline
  groupField: groups
  groupAllowed: [developers]
  groupMapping: {}
  userRoleMapping:
    admins: [owner, template-admin]
  userRoleField: roles
  signInText: OpenID Connect
provisioning:
  daemons: 3
telemetry:
  enable: true
experiments: []
externalAuthProviders: []
"#;

fn of_file(name: &str, text: &str, variables: &[(&str, &str)]) -> (Result<Checked, Problems>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut problems = Problems::default();
    let config_path = Some(path.display().to_string());
    let raw = Environment { variables, config_path, ..Environment::default() }.read(&mut problems);
    (check(&raw, problems), directory)
}

#[test]
fn the_file_of_coder_s_is_read_with_its_own_paths_and_what_has_no_effect_is_said() {
    let upstream = [("CODER_UPSTREAM_URL", "http://127.0.0.1:8080"), ("CODER_OIDC_CLIENT_ID", "other")];
    let (checked, _directory) = of_file("coder.yaml", WRITTEN, &upstream);
    let checked = checked.unwrap();
    assert_eq!(checked.provider.oidc.client_id, "other", "the environment goes before the file");
    assert_eq!(checked.provider.oidc.scopes.unwrap(), ["openid", "profile", "email", "offline_access"]);
    assert_eq!(checked.provider.oidc.auth_params["access_type"], "offline");
    assert_eq!(checked.provider.policy.allowed_groups, ["developers"]);
    assert_eq!(checked.session.idle.as_secs(), 12 * 3600);
    assert_eq!(checked.personal_tokens.longest.as_secs(), 876_600 * 3600);
    let told: Vec<_> = checked.warnings.iter().map(ToString::to_string).collect();
    for (path, reason) in [
        ("oidc.allowSignups", "has no effect: Evergate has no accounts"),
        ("networking.derp", "has no effect: Evergate has no such setting"),
        ("provisioning", "has no effect: Evergate has no such setting"),
    ] {
        assert!(told.iter().any(|line| line.starts_with(&format!("{path}: {reason}"))), "{path} in {told:#?}");
    }
    assert!(!told.iter().any(|line| line.contains("externalAuthProviders")), "an empty setting is not set");
}

#[test]
fn a_mistake_in_the_file_of_coder_s_is_a_problem_by_its_path() {
    let text = "oidc:\n  groupAlowed: [a]\n  allowedGroups: [a]\n  issuerURL: [a]\n  ignoreUserInfo: perhaps\nnetworking: 3\noidcc: {}\nacess_url: x\nupstream_url: http://127.0.0.1:1\n";
    insta::assert_snapshot!(of_file("coder.yml", text, &[]).0.unwrap_err(), @r"
    there are 9 problems with the settings:
      oidcc: there is no such setting; did you mean oidc?
      oidc.groupAlowed: there is no such setting; did you mean oidc.groupAllowed?
      oidc.allowedGroups: there is no such setting
      networking: must be a group of settings
      acess_url: there is no such setting; did you mean access_url?
      oidc.issuerURL: must be a text in quotes
      CODER_ACCESS_URL: is required, as in https://app.example.com
      CODER_OIDC_CLIENT_ID: is required, as in my-app
      oidc.ignoreUserInfo: must be true or false
    ");
    for (text, said) in
        [("oidc:\n  a: b\n c: d", "(line 3, column"), ("a: &x secret", "(line 1, column"), ("- a", "is no map of settings")]
    {
        let problems = of_file("coder.yaml", text, &[]).0.unwrap_err().to_string();
        assert!(
            problems.contains("CODER_CONFIG_PATH: the file") && problems.contains(said) && !problems.contains("secret"),
            "{problems}"
        );
    }
}

#[test]
fn routes_may_stand_in_a_file_of_yaml() {
    let text = "access_url: https://app.example\noidc: {issuerURL: https://idp.example, clientID: app}\nroute:\n- path: /api\n  upstream: [http://127.0.0.1:1]\n  set_headers: {X-App: one}\n";
    let (checked, _directory) = of_file("evergate.yaml", text, &[]);
    assert_eq!(checked.unwrap().gateway.routes.names().collect::<Vec<_>>(), ["/api"]);
}

/// What Coder writes with `--write-config` into the groups that have rules, nearly all of it empty.
const UNSET: &str = r#"
networking:
  accessURL: https://app.example
  wildcardAccessURL: ""
  docsURL: https://coder.com/docs
  redirectToAccessURL: false
  http:
    httpAddress: 127.0.0.1:3000
    additionalCSPPolicy: []
    sessionDuration: 24h0m0s
    disableSessionExpiryRefresh: false
    proxyHealthInterval: 1m0s
  tls:
    address: 127.0.0.1:3443
    enable: false
    redirectHTTP: true
    certFiles: []
    clientCAFile: ""
    clientAuth: none
    keyFiles: []
    minVersion: tls12
    clientCertFile: ""
    clientKeyFile: ""
    tlsCiphers: []
    strictTransportSecurity: 0
    strictTransportSecurityOptions: []
  proxyTrustedHeaders: []
  proxyTrustedOrigins: []
  secureAuthCookie: false
  sameSiteAuthCookie: lax
  browserOnly: false
oidc:
  allowSignups: true
  clientID: coder
  oidcClientKeyFile: ""
  oidcClientCertFile: ""
  emailDomain: []
  issuerURL: https://idp.example
  scopes: [openid, profile, email]
  ignoreEmailVerified: false
  usernameField: preferred_username
  nameField: name
  emailField: email
  authURLParams: {access_type: offline}
  ignoreUserInfo: false
  accessTokenClaims: false
  organizationField: ""
  organizationAssignDefault: true
  organizationMapping: {}
  groupField: ""
  groupMapping: {}
  enableGroupAutoCreate: false
  groupRegexFilter: .*
  groupAllowed: []
  userRoleField: ""
  userRoleMapping: {}
  userRoleDefault: []
  signInText: OpenID Connect
  iconURL:
  signupsDisabledText: ""
  dangerousSkipIssuerChecks: false
  oidc-redirect-url:
cacheDir: [cache dir]
pgAuth: password
pgConnMaxOpen: 10
pgConnMaxIdle: auto
email: {from: "", hello: localhost, forceTLS: false}
client: {sshHostnamePrefix: coder., hideAITasks: false}
"#;

#[test]
fn a_file_as_coder_writes_it_starts_evergate_also_with_settings_that_are_not_known_and_empty() {
    let upstream = [("CODER_UPSTREAM_URL", "http://127.0.0.1:8080")];
    let (checked, _directory) = of_file("coder.yaml", UNSET, &upstream);
    assert_eq!(checked.unwrap().provider.oidc.client_id, "coder");
    let given = UNSET.replace(r#"oidcClientKeyFile: """#, "oidcClientKeyFil: /key.pem");
    let (refused, _directory) = of_file("coder.yaml", &given, &upstream);
    assert!(refused.unwrap_err().to_string().contains("oidc.oidcClientKeyFil: there is no such setting"));
}

#[test]
fn a_rule_in_a_file_of_yaml_is_neither_dropped_for_being_empty_nor_overwritten() {
    let text = "access_url: https://app.example\noidc: {issuerURL: https://idp.example, clientID: app, groupAllowed: [a]}\n";
    for rule in ["groups: []", "groups:", "groups: ''", "email_domains: []", "methods: []", "groups: [~]"] {
        let text = format!("{text}route:\n- path: /api\n  upstream: [http://127.0.0.1:1]\n  {rule}\n");
        let problems = of_file("evergate.yaml", &text, &[]).0.unwrap_err().to_string();
        assert!(problems.contains("is set and names nothing"), "{rule}: {problems}");
    }
    for twice in ["oidc_allowed_groups: [a, b]", "oidc.groupAllowed: [a, b]"] {
        let problems = of_file("evergate.yaml", &format!("{text}{twice}\n"), &[]).0.unwrap_err().to_string();
        assert!(problems.contains("is set twice, as oidc.groupAllowed and as oidc_allowed_groups"), "{twice}: {problems}");
    }
    let problems = of_file("evergate.yaml", &format!("{text}OIDC: {{emailDomain: [a]}}\n"), &[]).0.unwrap_err().to_string();
    assert!(problems.contains("OIDC: there is no such setting; did you mean oidc?"), "{problems}");
}

#[test]
fn a_client_s_key_and_its_certificate_are_read_from_the_environment_and_from_coder_s_file() {
    let key = [("CODER_OIDC_CLIENT_KEY_FILE", "/etc/coder/client.pem"), ("CODER_OIDC_CLIENT_CERT_FILE", "/etc/coder/cert.pem")];
    let files = ClientKeyFiles { key: "/etc/coder/client.pem".into(), certificate: Some("/etc/coder/cert.pem".into()), id: None };
    let checked = started_with(&[&key[..], &[("CODER_OIDC_CLIENT_SECRET", "")]].concat()).unwrap();
    assert_eq!(checked.provider.oidc.client_key, Some(files.clone()));
    let members = "  oidcClientKeyFile: /etc/coder/client.pem\n  oidcClientCertFile: /etc/coder/cert.pem\n";
    let text = WRITTEN.replace("  clientID: coder\n", &format!("  clientID: coder\n{members}"));
    let (checked, _directory) = of_file("coder.yaml", &text, &[("CODER_UPSTREAM_URL", "http://127.0.0.1:8080")]);
    assert_eq!(checked.unwrap().provider.oidc.client_key, Some(files));
    // Coder refuses this too.
    let problems = started_with(&key).unwrap_err().to_string();
    assert!(problems.contains("CODER_OIDC_CLIENT_KEY_FILE: and CODER_OIDC_CLIENT_SECRET exclude each other"), "{problems}");
}
