//! Options about the provider.

use super::option::{Form, Meaning, ProxyOption, list, option, restriction, secret, switch, text};

pub(crate) const PROVIDER: &[ProxyOption] = &[
    restriction(
        "provider",
        Form::Text,
        "`oidc`, `keycloak-oidc`, `google`, `azure`, `entra-id`, `adfs`, `gitlab`, `cidaas` and `keycloak`: the issuer in \
         `CODER_OIDC_ISSUER_URL`. The others are not OpenID Connect and need a bridge ([github.md](providers/github.md))",
    ),
    restriction("oidc-issuer-url", Form::Text, "`CODER_OIDC_ISSUER_URL`"),
    text("client-id", "`CODER_OIDC_CLIENT_ID`"),
    secret("client-secret", "`CODER_OIDC_CLIENT_SECRET_FILE`"),
    text("client-secret-file", "`CODER_OIDC_CLIENT_SECRET_FILE`"),
    text(
        "scope",
        "`CODER_OIDC_SCOPES`, if it names more than `openid`, `profile`, `email` and `offline_access`, which Evergate requests by \
         itself as the provider wants them",
    ),
    text("provider-display-name", "`CODER_OIDC_SIGN_IN_TEXT`"),
    list("provider-ca-file", "`CODER_OIDC_CA_FILE`, one file with all certificates"),
    switch("use-system-trust-store", "with `provider-ca-file`: the system's certificates must be in that file too"),
    text("prompt", "`prompt` in `CODER_OIDC_AUTH_URL_PARAMS`"),
    text("acr-values", "`acr_values` in `CODER_OIDC_AUTH_URL_PARAMS`"),
    text("resource", "`resource` in `CODER_OIDC_AUTH_URL_PARAMS`"),
    text("auth-request-response-mode", "`response_mode` in `CODER_OIDC_AUTH_URL_PARAMS`"),
    option(
        "approval-prompt",
        Form::Text,
        Meaning::NoEffect("Evergate asks for consent where a provider gives a refresh token for nothing else"),
    ),
    option(
        "ssl-insecure-skip-verify",
        Form::Switch,
        Meaning::NoEquivalent("Evergate always verifies the provider's certificate; name its CA in `CODER_OIDC_CA_FILE`"),
    ),
];

const BY_METADATA: &str =
    "Evergate takes the provider's endpoints and keys from its metadata (`.well-known/openid-configuration`)";

pub(crate) const TOKENS: &[ProxyOption] = &[
    option("skip-oidc-discovery", Form::Switch, Meaning::NoEquivalent(BY_METADATA)),
    option("login-url", Form::Text, Meaning::NoEquivalent(BY_METADATA)),
    option("redeem-url", Form::Text, Meaning::NoEquivalent(BY_METADATA)),
    option("profile-url", Form::Text, Meaning::NoEquivalent(BY_METADATA)),
    option("oidc-jwks-url", Form::Text, Meaning::NoEquivalent(BY_METADATA)),
    option("oidc-public-key-file", Form::List, Meaning::NoEquivalent(BY_METADATA)),
    option(
        "validate-url",
        Form::Text,
        Meaning::NoEffect("a token is refreshed before it expires, and a dead grant is known by the provider's answer"),
    ),
    switch("skip-claims-from-profile-url", "`CODER_OIDC_IGNORE_USERINFO`"),
    restriction("oidc-email-claim", Form::Text, "`CODER_OIDC_EMAIL_FIELD`"),
    restriction("user-id-claim", Form::Text, "`CODER_OIDC_EMAIL_FIELD`, as there, if `oidc-email-claim` is not set"),
    restriction("oidc-groups-claim", Form::Text, "`CODER_OIDC_GROUP_FIELD`"),
    option(
        "oidc-audience-claim",
        Form::List,
        Meaning::NoEquivalent("the claim `aud` of an ID token must name the client (OpenID Connect Core section 3.1.3.7)"),
    ),
    option(
        "oidc-extra-audience",
        Form::List,
        Meaning::NoEquivalent("the claim `aud` of an ID token must name the client (OpenID Connect Core section 3.1.3.7)"),
    ),
    option(
        "oidc-enabled-signing-alg",
        Form::List,
        Meaning::NoEffect("Evergate accepts the asymmetric algorithms that the provider's metadata list, and no other"),
    ),
    switch(
        "insecure-oidc-allow-unverified-email",
        "`CODER_OIDC_IGNORE_EMAIL_VERIFIED`. Without it, Evergate also refuses an address of which the provider does not say that it \
         is verified, which oauth2-proxy accepts",
    ),
    switch(
        "insecure-oidc-skip-issuer-verification",
        "`CODER_DANGEROUS_OIDC_SKIP_ISSUER_CHECKS`, unless the issuer is Microsoft Entra ID's, whose tenants Evergate checks",
    ),
    option("insecure-oidc-skip-nonce", Form::Switch, Meaning::NoEffect("Evergate always sends and verifies a nonce")),
    option("code-challenge-method", Form::Text, Meaning::NoEffect("Evergate always uses PKCE with S256")),
    option("force-code-challenge-method", Form::Text, Meaning::NoEffect("Evergate always uses PKCE with S256")),
    option(
        "backend-logout-url",
        Form::Text,
        Meaning::NoEffect(
            "a logout revokes the refresh token and goes through the provider's end-session endpoint (RP-initiated logout)",
        ),
    ),
    option("encode-state", Form::Switch, Meaning::NoEffect("the state of a login is random letters and digits")),
    switch(
        "skip-jwt-bearer-tokens",
        "`bearer_tokens` and `bearer_audiences` of each route: access tokens of the provider whose `aud` names the client \
         ([api-clients.md](api-clients.md)). ID tokens do not get in",
    ),
    option(
        "extra-jwt-issuers",
        Form::List,
        Meaning::NoEquivalent(
            "write a `[[token_issuer]]` table with the subjects that may come ([api-clients.md](api-clients.md))",
        ),
    ),
    option(
        "bearer-token-login-fallback",
        Form::Switch,
        Meaning::NoEffect("a token that is not good gets 401 and says why, and no login begins"),
    ),
    secret("jwt-key", "`CODER_OIDC_CLIENT_KEY_FILE` (`private_key_jwt`): write the key into that file"),
    text("jwt-key-file", "`CODER_OIDC_CLIENT_KEY_FILE` (`private_key_jwt`)"),
    option("pubjwk-url", Form::Text, Meaning::NoEquivalent(BY_METADATA)),
];

const NOT_OIDC: &str = "this provider is not OpenID Connect; its bridge decides who may enter ([github.md](providers/github.md))";
const NO_GROUPS: &str = "Google's tokens hold no groups. Until you decide who may enter, nobody does";

pub(crate) const PRODUCTS: &[ProxyOption] = &[
    restriction("azure-tenant", Form::Text, "the tenant in `CODER_OIDC_ISSUER_URL`"),
    option(
        "azure-graph-group-field",
        Form::Text,
        Meaning::NoEquivalent("groups are the identifiers that the tokens hold; `CODER_OIDC_GROUP_MAPPING` names them"),
    ),
    restriction("entra-id-allowed-tenant", Form::List, "`claims = { tid = [...] }` of each route"),
    option(
        "entra-id-federated-token-auth",
        Form::Switch,
        Meaning::NoEquivalent("the client authenticates with a secret or a certificate ([entra.md](providers/entra.md))"),
    ),
    option(
        "entra-id-redeem-scope",
        Form::Text,
        Meaning::NoEquivalent("the token request names no scopes; name those of one resource in `CODER_OIDC_SCOPES`"),
    ),
    restriction("keycloak-group", Form::List, "`CODER_OIDC_ALLOWED_GROUPS`"),
    restriction(
        "allowed-role",
        Form::List,
        "`claims` of each route on `realm_access.roles` or `resource_access.CLIENT.roles`, with \
         `CODER_OIDC_ACCESS_TOKEN_CLAIMS`, because Keycloak has roles in the access token",
    ),
    restriction("gitlab-group", Form::List, "`CODER_OIDC_ALLOWED_GROUPS`"),
    option(
        "gitlab-project",
        Form::List,
        Meaning::NoRestriction("GitLab's tokens hold no projects. Members of a `gitlab-group` alone may enter, else nobody"),
    ),
    option("google-group", Form::List, Meaning::NoRestriction(NO_GROUPS)),
    option("google-admin-email", Form::Text, Meaning::NoEffect("no groups are read from Google's directory")),
    option("google-service-account-json", Form::Text, Meaning::NoEffect("no groups are read from Google's directory")),
    option(
        "google-use-application-default-credentials",
        Form::Switch,
        Meaning::NoEffect("no groups are read from Google's directory"),
    ),
    option("google-target-principal", Form::Text, Meaning::NoEffect("no groups are read from Google's directory")),
    option("google-use-organization-id", Form::Switch, Meaning::NoEquivalent("the user name is a claim of the tokens")),
    option("google-admin-api-user-scope", Form::Text, Meaning::NoEffect("no groups are read from Google's directory")),
    option("github-org", Form::Text, Meaning::NoRestriction(NOT_OIDC)),
    option("github-team", Form::Text, Meaning::NoRestriction(NOT_OIDC)),
    option("github-repo", Form::Text, Meaning::NoRestriction(NOT_OIDC)),
    option("github-user", Form::List, Meaning::NoRestriction(NOT_OIDC)),
    option("github-token", Form::Secret, Meaning::NoEffect("GitHub is reached through a bridge")),
    option("bitbucket-team", Form::Text, Meaning::NoRestriction(NOT_OIDC)),
    option("bitbucket-repository", Form::Text, Meaning::NoRestriction(NOT_OIDC)),
];
