//! Every key of the alpha configuration (YAML), and what it becomes here.

use super::option::Meaning;

/// A key by its path; `[]` stands for the members of a list. Paths are compared without regard to case, as oauth2-proxy does.
#[derive(Debug)]
pub(crate) struct AlphaKey {
    /// The path.
    pub(crate) path: &'static str,
    /// What it becomes.
    pub(crate) meaning: AlphaMeaning,
}

/// What a key becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlphaMeaning {
    /// What the option becomes that has this flag.
    Option(&'static str),
    /// Something of its own.
    Own(Meaning),
}

const fn same(path: &'static str, flag: &'static str) -> AlphaKey {
    AlphaKey { path, meaning: AlphaMeaning::Option(flag) }
}

const fn own(path: &'static str, becomes: &'static str) -> AlphaKey {
    AlphaKey { path, meaning: AlphaMeaning::Own(Meaning::Becomes(becomes)) }
}

const fn without(path: &'static str, meaning: Meaning) -> AlphaKey {
    AlphaKey { path, meaning: AlphaMeaning::Own(meaning) }
}

const LITERAL: &str = "`set_headers` of each route";
const TLS_FROM_FILES: &str = "certificates and keys are files";

/// All keys.
pub(crate) const ALPHA: &[AlphaKey] = &[
    same("providers[].provider", "provider"),
    same("providers[].clientID", "client-id"),
    same("providers[].clientSecret", "client-secret"),
    same("providers[].clientSecretFile", "client-secret-file"),
    own("providers[].id", "`name` of a further provider's `[[provider]]` table; the first needs none"),
    same("providers[].name", "provider-display-name"),
    same("providers[].caFiles[]", "provider-ca-file"),
    same("providers[].useSystemTrustStore", "use-system-trust-store"),
    same("providers[].loginURL", "login-url"),
    same("providers[].redeemURL", "redeem-url"),
    same("providers[].profileURL", "profile-url"),
    same("providers[].skipClaimsFromProfileURL", "skip-claims-from-profile-url"),
    same("providers[].resource", "resource"),
    same("providers[].validateURL", "validate-url"),
    same("providers[].scope", "scope"),
    same("providers[].allowedGroups[]", "allowed-group"),
    same("providers[].code_challenge_method", "code-challenge-method"),
    same("providers[].backendLogoutURL", "backend-logout-url"),
    same("providers[].authRequestResponseMode", "auth-request-response-mode"),
    without(
        "providers[].additionalClaims[]",
        Meaning::NoEffect("every claim can be named in `CODER_IDENTITY_HEADERS`, and is stored from then on"),
    ),
    own("providers[].loginURLParameters[].name", "with `default`: a parameter in `CODER_OIDC_AUTH_URL_PARAMS`"),
    own("providers[].loginURLParameters[].default[]", "the parameter's value"),
    without(
        "providers[].loginURLParameters[].allow[].value",
        Meaning::NoEquivalent("`/oauth2/start` takes `rd`, `login_hint` and `another` alone"),
    ),
    without(
        "providers[].loginURLParameters[].allow[].pattern",
        Meaning::NoEquivalent("`/oauth2/start` takes `rd`, `login_hint` and `another` alone"),
    ),
    same("providers[].oidcConfig.issuerURL", "oidc-issuer-url"),
    same("providers[].oidcConfig.insecureAllowUnverifiedEmail", "insecure-oidc-allow-unverified-email"),
    same("providers[].oidcConfig.insecureSkipIssuerVerification", "insecure-oidc-skip-issuer-verification"),
    same("providers[].oidcConfig.insecureSkipNonce", "insecure-oidc-skip-nonce"),
    same("providers[].oidcConfig.skipDiscovery", "skip-oidc-discovery"),
    same("providers[].oidcConfig.jwksURL", "oidc-jwks-url"),
    same("providers[].oidcConfig.publicKeyFiles[]", "oidc-public-key-file"),
    same("providers[].oidcConfig.publicKeys[]", "oidc-public-key-file"),
    same("providers[].oidcConfig.emailClaim", "oidc-email-claim"),
    same("providers[].oidcConfig.groupsClaim", "oidc-groups-claim"),
    same("providers[].oidcConfig.userIDClaim", "user-id-claim"),
    same("providers[].oidcConfig.audienceClaims[]", "oidc-audience-claim"),
    same("providers[].oidcConfig.extraAudiences[]", "oidc-extra-audience"),
    same("providers[].oidcConfig.enabledSigningAlgs[]", "oidc-enabled-signing-alg"),
    same("providers[].azureConfig.tenant", "azure-tenant"),
    same("providers[].azureConfig.graphGroupField", "azure-graph-group-field"),
    same("providers[].microsoftEntraIDConfig.allowedTenants[]", "entra-id-allowed-tenant"),
    same("providers[].microsoftEntraIDConfig.federatedTokenAuth", "entra-id-federated-token-auth"),
    same("providers[].microsoftEntraIDConfig.redeemScope", "entra-id-redeem-scope"),
    without("providers[].ADFSConfig.skipScope", Meaning::NoEffect("`CODER_OIDC_SCOPES` says which scopes are requested")),
    same("providers[].keycloakConfig.groups[]", "keycloak-group"),
    same("providers[].keycloakConfig.roles[]", "allowed-role"),
    same("providers[].gitlabConfig.group[]", "gitlab-group"),
    same("providers[].gitlabConfig.projects[]", "gitlab-project"),
    same("providers[].googleConfig.group[]", "google-group"),
    same("providers[].googleConfig.adminEmail", "google-admin-email"),
    same("providers[].googleConfig.serviceAccountJson", "google-service-account-json"),
    same("providers[].googleConfig.useApplicationDefaultCredentials", "google-use-application-default-credentials"),
    same("providers[].googleConfig.targetPrincipal", "google-target-principal"),
    same("providers[].googleConfig.useOrganizationID", "google-use-organization-id"),
    same("providers[].googleConfig.adminAPIUserScope", "google-admin-api-user-scope"),
    same("providers[].githubConfig.org", "github-org"),
    same("providers[].githubConfig.team", "github-team"),
    same("providers[].githubConfig.repo", "github-repo"),
    same("providers[].githubConfig.token", "github-token"),
    same("providers[].githubConfig.users[]", "github-user"),
    same("providers[].bitbucketConfig.team", "bitbucket-team"),
    same("providers[].bitbucketConfig.repository", "bitbucket-repository"),
    same("providers[].loginGovConfig.jwtKey", "jwt-key"),
    same("providers[].loginGovConfig.jwtKeyFile", "jwt-key-file"),
    same("providers[].loginGovConfig.pubjwkURL", "pubjwk-url"),
    without("upstreamConfig.proxyRawPath", Meaning::NoEffect("paths are passed on as they were sent")),
    without("upstreamConfig.upstreams[].id", Meaning::NoEffect("routes need no names")),
    own("upstreamConfig.upstreams[].path", "`path` of a `[[route]]`; a regular expression only with a `rewriteTarget` as below"),
    own(
        "upstreamConfig.upstreams[].rewriteTarget",
        "`strip_prefix = true`, if it takes the path's own prefix off (`^/app/(.*)$` and `/$1`); others have no equivalent",
    ),
    own("upstreamConfig.upstreams[].uri", "`upstream` of a `[[route]]`, or `CODER_UPSTREAM_URL`; a path in it has no equivalent"),
    same("upstreamConfig.upstreams[].insecureSkipTLSVerify", "ssl-upstream-insecure-skip-verify"),
    own("upstreamConfig.upstreams[].static", "`CODER_FORWARD_AUTH`, if the status is a success"),
    own("upstreamConfig.upstreams[].staticCode", "with `static`"),
    same("upstreamConfig.upstreams[].flushInterval", "flush-interval"),
    own("upstreamConfig.upstreams[].passHostHeader", "`false`: `host_header = \"upstream\"` of the route"),
    same("upstreamConfig.upstreams[].proxyWebSockets", "proxy-websockets"),
    own("upstreamConfig.upstreams[].timeout", "`timeout` of the route"),
    same("upstreamConfig.upstreams[].disableKeepAlives", "disable-keep-alives"),
    own("injectRequestHeaders[].name", "a header in `CODER_IDENTITY_HEADERS`; without any: `CODER_IDENTITY=none`"),
    without(
        "injectRequestHeaders[].preserveRequestValue",
        Meaning::NoEquivalent("Evergate removes clients' own identity headers, in every spelling"),
    ),
    without(
        "injectRequestHeaders[].InsecureSkipHeaderNormalization",
        Meaning::NoEffect("names of headers have no case (RFC 9110 section 5.1)"),
    ),
    own("injectRequestHeaders[].values[].claimSource.claim", "`{user}`, `{email}`, … or `{claim:NAME}`"),
    own("injectRequestHeaders[].values[].claimSource.prefix", "the text before it"),
    own(
        "injectRequestHeaders[].values[].claimSource.basicAuthPassword",
        "`CODER_IDENTITY_BASIC_PASSWORD` and `CODER_IDENTITY_BASIC_USER`",
    ),
    own("injectRequestHeaders[].values[].secretSource", LITERAL),
    own(
        "injectResponseHeaders[].name",
        "`CODER_FORWARD_AUTH`; headers that apps are not sent are added to `CODER_IDENTITY_HEADERS`",
    ),
    without(
        "injectResponseHeaders[].InsecureSkipHeaderNormalization",
        Meaning::NoEffect("names of headers have no case (RFC 9110 section 5.1)"),
    ),
    own("injectResponseHeaders[].values[].claimSource.claim", "as for `injectRequestHeaders`"),
    own("injectResponseHeaders[].values[].claimSource.prefix", "as for `injectRequestHeaders`"),
    own("injectResponseHeaders[].values[].claimSource.basicAuthPassword", "as for `injectRequestHeaders`"),
    without(
        "injectResponseHeaders[].values[].secretSource",
        Meaning::NoEquivalent("the ingress can send its apps fixed headers by itself"),
    ),
    same("server.bindAddress", "http-address"),
    same("server.secureBindAddress", "https-address"),
    same("server.tls.key.fromFile", "tls-key-file"),
    same("server.tls.cert.fromFile", "tls-cert-file"),
    without("server.tls.key.value", Meaning::NoEquivalent(TLS_FROM_FILES)),
    without("server.tls.key.fromEnv", Meaning::NoEquivalent(TLS_FROM_FILES)),
    without("server.tls.cert.value", Meaning::NoEquivalent(TLS_FROM_FILES)),
    without("server.tls.cert.fromEnv", Meaning::NoEquivalent(TLS_FROM_FILES)),
    same("server.tls.minVersion", "tls-min-version"),
    same("server.tls.cipherSuites[]", "tls-cipher-suite"),
    same("metricsServer.bindAddress", "metrics-address"),
    same("metricsServer.secureBindAddress", "metrics-secure-address"),
    without("metricsServer.tls", Meaning::NoEquivalent("metrics are served in plain text")),
];
