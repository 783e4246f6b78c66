//! Configurations as administrators have them, by the shapes that oauth2-proxy's documents and charts show.

use evergate::translate::Severity;

use super::{notes, read, translated, written};

struct Case {
    what: &'static str,
    files: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
    severity: Severity,
    /// What the result must have.
    has: &'static [&'static str],
    /// What must be said.
    says: &'static [&'static str],
    /// Settings by which an administrator completes it.
    completed_by: &'static [(&'static str, &'static str)],
}

const NOTHING: Case = Case {
    what: "",
    files: &[],
    arguments: &[],
    variables: &[],
    severity: Severity::Info,
    has: &[],
    says: &[],
    completed_by: &[],
};

const CASES: &[Case] = &[
    Case {
        what: "Keycloak with roles, by flags",
        arguments: &[
            "oauth2-proxy",
            "--provider=keycloak-oidc",
            "--client-id=portal",
            "--client-secret=hush",
            "--redirect-url=https://portal.example.org/oauth2/callback",
            "--oidc-issuer-url=https://id.example.org/realms/staff",
            "--email-domain=example.org",
            "--allowed-role=portal:viewer",
            "--code-challenge-method=S256",
            "--upstream=http://10.1.2.3:8080",
        ],
        has: &[
            "CODER_OIDC_ISSUER_URL=https://id.example.org/realms/staff\n",
            "CODER_ACCESS_URL=https://portal.example.org\n",
            "CODER_OIDC_EMAIL_DOMAIN=example.org\n",
            "CODER_UPSTREAM_URL=http://10.1.2.3:8080\n",
            "claims = { \"resource_access.portal.roles\" = [\"viewer\"] }",
            "CODER_OIDC_ACCESS_TOKEN_CLAIMS=true\n",
        ],
        ..NOTHING
    },
    Case {
        what: "Google with a group, by a file",
        files: &[(
            "oauth2-proxy.cfg",
            "client_id = \"1.apps.googleusercontent.com\"\nclient_secret = \"hush\"\ncookie_secret = \"0123456789abcdef\"\n\
             redirect_url = \"https://wiki.example.org/oauth2/callback\"\nupstreams = [ \"http://wiki:3000/\" ]\n\
             email_domains = [ \"example.org\", \"example.net\" ]\ngoogle_groups = [ \"staff@example.org\" ]\n\
             google_admin_email = \"root@example.org\"\ncookie_refresh = \"1h\"\n",
        )],
        severity: Severity::Error,
        has: &[
            "CODER_OIDC_ISSUER_URL=https://accounts.google.com\n",
            "CODER_OIDC_EMAIL_DOMAIN=example.org,example.net\n",
            "CODER_OIDC_ALLOWED_GROUPS=nobody-until-an-administrator-decides\n",
        ],
        says: &[
            "google_groups in oauth2-proxy.cfg: restricts who may enter and has no equivalent: Google's tokens hold no groups",
        ],
        ..NOTHING
    },
    Case {
        what: "Microsoft Entra ID with groups",
        files: &[(
            "entra.cfg",
            "provider = \"entra-id\"\noidc_issuer_url = \"https://login.microsoftonline.com/7c3c/v2.0\"\nclient_id = \"c-1\"\n\
             client_secret_file = \"/dev/null\"\nscope = \"openid User.Read\"\nallowed_groups = [ \"g-1\", \"g-2\" ]\n\
             email_domains = \"*\"\nredirect_url = \"https://app.example.org/oauth2/callback\"\nupstreams = \"http://app:80\"\n",
        )],
        has: &[
            "CODER_OIDC_SCOPES=openid,User.Read,offline_access\n",
            "CODER_OIDC_ALLOWED_GROUPS=g-1,g-2\n",
            "CODER_OIDC_IGNORE_EMAIL_VERIFIED=true\n",
            "CODER_OIDC_CLIENT_SECRET_FILE=/dev/null\n",
        ],
        completed_by: &[("oidc_client_secret_file", "Cargo.toml")],
        ..NOTHING
    },
    Case {
        what: "Azure AD of several tenants, of which one may enter",
        arguments: &[
            "--provider=entra-id",
            "--oidc-issuer-url=https://login.microsoftonline.com/common/v2.0",
            "--insecure-oidc-skip-issuer-verification=true",
            "--entra-id-allowed-tenant=t-1",
            "--client-id=c",
            "--email-domain=*",
            "--redirect-url=https://app.example.org/oauth2/callback",
            "--upstream=http://app:80/",
        ],
        severity: Severity::Warning,
        has: &["path = \"/\"\nclaims = { \"tid\" = [\"t-1\"] }"],
        says: &["any tenant's administrator can write one"],
        ..NOTHING
    },
    Case {
        what: "GitHub, which is not OpenID Connect",
        arguments: &["--provider=github", "--github-org=acme", "--client-id=c", "--email-domain=*", "--upstream=http://app:80/"],
        severity: Severity::Error,
        has: &["#CODER_OIDC_ISSUER_URL=", "CODER_OIDC_ALLOWED_GROUPS=nobody-until"],
        says: &[
            "github is not an OpenID Connect provider for Evergate",
            "--github-org: restricts who may enter",
            "set CODER_ACCESS_URL",
        ],
        completed_by: &[("oidc_issuer_url", "https://dex.example.org"), ("access_url", "https://app.example.org")],
        ..NOTHING
    },
    Case {
        what: "nginx's auth_request for several hosts",
        files: &[(
            "oauth2-proxy.cfg",
            "http_address = \"0.0.0.0:4180\"\nreverse_proxy = \"true\"\nprovider = \"oidc\"\nclient_id = \"proxy\"\nclient_secret = \"hush\"\n\
             oidc_issuer_url = \"https://dex.example.org\"\nemail_domains = \"example.org\"\ncookie_secure = true\n\
             redirect_url = \"https://login.example.org/oauth2/callback\"\ncookie_domains = \".example.org\"\n\
             whitelist_domains = \".example.org\"\nset_xauthrequest = true\npass_access_token = true\n\
             trusted_proxy_ips = [ \"10.0.0.0/8\", \"192.168.0.1\" ]\nreal_client_ip_header = \"X-Real-IP\"\n",
        )],
        severity: Severity::Warning,
        has: &[
            "CODER_FORWARD_AUTH=true\n",
            "CODER_HTTP_ADDRESS=0.0.0.0:4180\n",
            "CODER_PROXY_TRUSTED_ORIGINS=10.0.0.0/8,192.168.0.1\n",
            "CODER_PROXY_TRUSTED_HEADERS=X-Real-IP\n",
            "CODER_WILDCARD_ACCESS_URL=*.example.org\n",
            "CODER_OIDC_REDIRECT_URL=https://login.example.org\n",
            "CODER_PASS_ACCESS_TOKEN=true\n",
        ],
        says: &["each host below *.example.org has a cookie of its own here"],
        ..NOTHING
    },
    Case {
        what: "ingress-nginx: a Deployment with secrets of the cluster",
        files: &[(
            "deployment.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: auth}\n---\napiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      \
             containers:\n      - name: auth\n        image: quay.io/oauth2-proxy/oauth2-proxy:v7.15.3\n        args:\n        - --provider=oidc\n        \
             - --oidc-issuer-url=https://dex.example.org\n        - --email-domain=*\n        - --upstream=file:///dev/null\n        \
             - --http-address=0.0.0.0:4180\n        - --redirect-url=https://app.example.org/oauth2/callback\n        - --reverse-proxy\n        env:\n        \
             - name: OAUTH2_PROXY_CLIENT_ID\n          value: app\n        - name: OAUTH2_PROXY_CLIENT_SECRET\n          valueFrom:\n            \
             secretKeyRef: {name: auth, key: secret}\n        - name: OAUTH2_PROXY_COOKIE_SECRET\n          valueFrom:\n            \
             secretKeyRef: {name: auth, key: cookie}\n",
        )],
        severity: Severity::Warning,
        has: &[
            "CODER_FORWARD_AUTH=true\n",
            "# OAUTH2_PROXY_CLIENT_SECRET: the key secret of the secret auth\nCODER_OIDC_CLIENT_SECRET_FILE=",
            "#CODER_PROXY_TRUSTED_ORIGINS=",
        ],
        says: &["set CODER_PROXY_TRUSTED_ORIGINS"],
        completed_by: &[("oidc_client_secret_file", "Cargo.toml"), ("proxy_trusted_origins", "10.0.0.0/8")],
        ..NOTHING
    },
    Case {
        what: "a manifest whose config map holds the file",
        files: &[(
            "all.yaml",
            "kind: ConfigMap\ndata:\n  oauth2_proxy.cfg: |\n    client_id = \"app\"\n    provider = \"oidc\"\n    oidc_issuer_url = \"https://dex.example.org\"\n    \
             email_domains = [\"*\"]\n    upstreams = [\"static://202\"]\n    redirect_url = \"https://app.example.org/oauth2/callback\"\n---\n\
             kind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - image: quay.io/oauth2-proxy/oauth2-proxy\n        \
             args: [--config=/etc/oauth2_proxy/oauth2_proxy.cfg, --http-address=0.0.0.0:4180]\n",
        )],
        severity: Severity::Warning,
        has: &["CODER_OIDC_CLIENT_ID=app\n", "CODER_FORWARD_AUTH=true\n", "CODER_HTTP_ADDRESS=0.0.0.0:4180\n"],
        ..NOTHING
    },
    Case {
        what: "values of the Helm chart",
        files: &[(
            "values.yaml",
            "oauth2-proxy:\n  config:\n    existingSecret: auth\n    configFile: |-\n      provider = \"keycloak-oidc\"\n      \
             oidc_issuer_url = \"https://id.example.org/realms/x\"\n      email_domains = [ \"*\" ]\n      reverse_proxy = \"true\"\n  extraArgs:\n    \
             redirect-url: https://login.example.org/oauth2/callback\n    upstream: static://200\n    skip-provider-button: true\n    \
             trusted-proxy-ip: [10.0.0.0/8]\n    pass-authorization-header: \"true\"\n    set-authorization-header:\n",
        )],
        severity: Severity::Warning,
        has: &[
            "#CODER_OIDC_CLIENT_ID=",
            "identity_headers = { \"Authorization\" = \"Bearer {id_token}\" }",
            "CODER_IDENTITY=evergate\n",
            "CODER_PROXY_TRUSTED_ORIGINS=10.0.0.0/8\n",
        ],
        says: &["set CODER_OIDC_CLIENT_ID to what is in the key client-id of the secret auth"],
        completed_by: &[("oidc_client_secret_file", "Cargo.toml"), ("oidc_client_id", "app")],
        ..NOTHING
    },
    Case {
        what: "a compose file with Redis and public paths",
        files: &[(
            "compose.yml",
            "services:\n  auth:\n    image: quay.io/oauth2-proxy/oauth2-proxy:v7.14.1\n    command: --http-address 0.0.0.0:4180 --upstream=\"http://app:3000\" \
             --skip-auth-route='GET=^/hooks(/|$)' --skip-auth-route=^/healthz$\n    environment:\n      OAUTH2_PROXY_PROVIDER: oidc\n      \
             OAUTH2_PROXY_OIDC_ISSUER_URL: https://auth.example.org/application/o/app/\n      OAUTH2_PROXY_CLIENT_ID: app\n      \
             OAUTH2_PROXY_CLIENT_SECRET: hush\n      OAUTH2_PROXY_EMAIL_DOMAINS: '*'\n      OAUTH2_PROXY_REDIRECT_URL: https://app.example.org/oauth2/callback\n      \
             OAUTH2_PROXY_SESSION_STORE_TYPE: redis\n      OAUTH2_PROXY_REDIS_CONNECTION_URL: redis://:hush@redis\n      \
             OAUTH2_PROXY_COOKIE_EXPIRE: 12h0m0s\n      OAUTH2_PROXY_COOKIE_REFRESH: 30m\n",
        )],
        severity: Severity::Warning,
        has: &[
            "#CODER_PG_CONNECTION_URL_FILE=",
            "\npath = \"/hooks\"\nrule = \"public\"\nmethods = [\"GET\"]\n",
            "\n#path = \"/healthz\"\n#rule = \"public\"\n",
            "CODER_SESSION_DURATION=12h0m0s\n",
        ],
        says: &["sessions were in redis", "opens one path alone"],
        ..NOTHING
    },
    Case {
        what: "several apps by path, and files",
        arguments: &[
            "--provider=oidc",
            "--oidc-issuer-url=https://idp.example.org",
            "--client-id=c",
            "--email-domain=*",
            "--redirect-url=https://app.example.org/oauth2/callback",
            "--upstream=http://app:80/,http://api:8080/api/",
            "--upstream=http://one:80/one",
            "--upstream=file:///var/www/static/#/static/",
            "--pass-host-header=false",
        ],
        severity: Severity::Error,
        has: &[
            "CODER_UPSTREAM_URL=http://app\n",
            "path = \"/api\"\nupstream = \"http://api:8080\"\nhost_header = \"upstream\"\n",
            "path = \"/one\"\nupstream = \"http://one\"\n",
        ],
        says: &["Evergate serves no files"],
        ..NOTHING
    },
    Case {
        what: "passwords and trusted addresses, which are told, and bearer tokens",
        arguments: &[
            "--provider=oidc",
            "--oidc-issuer-url=https://idp.example.org",
            "--client-id=c",
            "--authenticated-emails-file=Cargo.toml",
            "--redirect-url=https://app.example.org/oauth2/callback",
            "--upstream=http://app:80/",
            "--htpasswd-file=/etc/htpasswd",
            "--skip-jwt-bearer-tokens",
            "--trusted-ip=10.0.0.0/8",
            "--ping-path=/alive",
        ],
        severity: Severity::Warning,
        has: &["CODER_OIDC_ALLOWED_EMAILS_FILE=Cargo.toml\n", "bearer_tokens = [\"provider\"]\nbearer_audiences = [\"c\"]\n"],
        says: &[
            "--htpasswd-file: has no equivalent",
            "--skip-jwt-bearer-tokens: takes ID tokens too",
            "--trusted-ip: has no",
            "--ping-path",
        ],
        ..NOTHING
    },
    Case {
        what: "the alpha configuration",
        files: &[(
            "alpha.yaml",
            "upstreamConfig:\n  proxyRawPath: true\n  upstreams:\n  - {id: app, path: /, uri: 'http://app:80'}\n  \
             - {id: old, path: '^/old/(.*)$', rewriteTarget: /$1, uri: 'http://old:80', passHostHeader: false, timeout: 90s}\n\
             injectRequestHeaders:\n- name: X-User\n  values:\n  - claimSource: {claim: preferred_username, prefix: 'user:'}\n\
             - name: X-Team\n  values:\n  - claimSource: {claim: team}\n- name: X-Key\n  values:\n  - secretSource: {fromFile: /run/key}\n\
             providers:\n- provider: oidc\n  clientID: app\n  clientSecret: ${SECRET}\n  allowedGroups: [staff]\n  oidcConfig:\n    \
             issuerURL: https://idp.example.org\n    emailClaim: mail\n  loginURLParameters:\n  - {name: prompt, default: [select_account]}\n\
             server: {BindAddress: '0.0.0.0:4180'}\nmetricsServer: {BindAddress: '0.0.0.0:9100'}\n",
        )],
        arguments: &["--email-domain=*", "--redirect-url=https://app.example.org/oauth2/callback"],
        variables: &[("SECRET", "hush")],
        severity: Severity::Warning,
        has: &[
            "identity_headers = { \"X-Team\" = \"{claim:team}\", \"X-User\" = \"user:{username}\" }",
            "path = \"/old\"\nupstream = \"http://old\"\nstrip_prefix = true\nhost_header = \"upstream\"\ntimeout = \"90s\"\n",
            "set_headers = { \"X-Key\" = \"FILL-IN\" }",
            "CODER_OIDC_ALLOWED_GROUPS=staff\n",
            "CODER_OIDC_EMAIL_FIELD=mail\n",
            "oidc_auth_url_params = { \"prompt\" = \"select_account\" }",
            "CODER_PROMETHEUS_ADDRESS=0.0.0.0:9100\n",
            "CODER_HTTP_ADDRESS=0.0.0.0:4180\n",
        ],
        says: &["X-Key in alpha.yaml: has a fixed value"],
        ..NOTHING
    },
    Case {
        what: "the alpha configuration with further providers, of which oauth2-proxy uses none",
        files: &[(
            "alpha.yaml",
            "upstreamConfig:\n  upstreams:\n  - {id: app, path: /, uri: 'http://app:80'}\n\
             injectRequestHeaders:\n- name: X-Forwarded-User\n  values:\n  - claimSource: {claim: user}\n\
             providers:\n- provider: oidc\n  clientID: app\n  clientSecret: hush\n  oidcConfig: {issuerURL: 'https://idp.example.org'}\n\
             - id: Partner Keycloak\n  name: Partners\n  provider: keycloak-oidc\n  clientID: other\n  clientSecret: hush\n  \
             allowedGroups: [guests]\n  scope: openid email groups\n  \
             oidcConfig: {issuerURL: 'https://partner.example.org/realms/main', insecureAllowUnverifiedEmail: true}\n",
        )],
        arguments: &["--email-domain=example.org", "--redirect-url=https://app.example.org/oauth2/callback"],
        severity: Severity::Warning,
        has: &[
            "CODER_OIDC_ISSUER_URL=https://idp.example.org\n",
            "CODER_OIDC_EMAIL_DOMAIN=example.org\n",
            "#[[provider]]\n#name = \"partner-keycloak\"\n",
            "#text = \"Sign in with Partners\"\n",
            "#oidc_issuer_url = \"https://partner.example.org/realms/main\"\n",
            "#oidc_client_id = \"other\"\n",
            "/partner-keycloak_oidc_client_secret\"\n",
            "#oidc_email_domain = \"example.org\"\n",
            "#oidc_allowed_groups = \"guests\"\n",
            "#oidc_ignore_email_verified = \"true\"\n",
            "#oidc_scopes = \"openid,email,groups\"\n",
        ],
        says: &["providers[1] in alpha.yaml: is a further provider, which oauth2-proxy does not use"],
        ..NOTHING
    },
    Case {
        what: "the alpha configuration of older releases",
        files: &[(
            "alpha.yaml",
            "upstreams:\n- id: app\n  path: /\n  uri: http://app:80\ninjectRequestHeaders:\n- name: X-Forwarded-Groups\n  values:\n  - claim: groups\n\
             - name: X-Forwarded-User\n  values:\n  - claim: user\n- name: X-Forwarded-Email\n  values:\n  - claim: email\n\
             - name: X-Forwarded-Preferred-Username\n  values:\n  - claim: preferred_username\n\
             providers:\n- provider: oidc\n  clientID: app\n  clientSecret: hush\n  oidcConfig:\n    issuerURL: https://idp.example.org\n",
        )],
        arguments: &["--email-domain=example.org", "--redirect-url=https://app.example.org/oauth2/callback"],
        has: &["CODER_UPSTREAM_URL=http://app\n", "CODER_OIDC_EMAIL_DOMAIN=example.org\n"],
        ..NOTHING
    },
];

#[test]
fn usual_configurations_are_translated_and_what_has_no_equivalent_is_said() {
    for case in CASES {
        let what = case.what;
        let translation = translated(case.files, case.arguments, case.variables);
        let folder = tempfile::tempdir().unwrap();
        let (mut environment, output) = written(&translation, folder.path());
        let text = output.environment + output.file.as_deref().unwrap_or_default();
        let said = notes(&translation, Severity::Error) + &notes(&translation, Severity::Warning);
        assert_eq!(translation.severity(), case.severity, "{what}: {said}\n{text}");
        for has in case.has {
            assert!(text.contains(has), "{what} lacks {has}:\n{text}");
        }
        for says in case.says {
            assert!(said.contains(says), "{what} does not say {says}:\n{said}");
        }
        assert!(!(text + &said).contains("hush"), "{what}: a secret is where it need not be");
        for (name, value) in case.completed_by {
            environment.variables.insert(format!("CODER_{}", name.to_uppercase()), (*value).to_owned());
        }
        read(&environment).unwrap_or_else(|problems| panic!("{what}: {problems}"));
    }
}
