//! Settings of `oidc`: the provider, the client that Evergate is there, and the claims.

use super::table::{Section, Setting, ValueType, setting};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "OpenID Connect",
    settings: &[
        &ISSUER_URL,
        &PRESET,
        &CLIENT_ID,
        &CLIENT_SECRET,
        &CLIENT_SECRET_PREVIOUS,
        &CA_FILE,
        &TLS_CLIENT_CERT_FILE,
        &TLS_CLIENT_KEY_FILE,
        &SCOPES,
        &AUTH_URL_PARAMS,
        &SILENT_LOGIN,
        &IGNORE_USERINFO,
        &GROUP_FIELD,
        &USERNAME_FIELD,
        &EMAIL_FIELD,
        &IGNORE_EMAIL_VERIFIED,
        &TOKEN_TIMEOUT,
        &REFRESH_TOKEN_GRACE,
        &INTROSPECTION_URL,
    ],
};

const ISSUER_URL: Setting = setting(
    "oidc_issuer_url",
    ValueType::Url,
    "",
    "Required. The provider's issuer, exactly as it writes it. https, except on loopback.",
);
const PRESET: Setting = setting(
    "oidc_preset",
    ValueType::Text,
    "auto",
    "Which provider's habits to expect: `auto` recognises it by its issuer; else `google`, `entra`, `okta`, `keycloak`, `auth0`, `gitlab`, `pingfederate`, `pingone`, `onelogin`, `cognito`, `dex`, `authentik`, `authelia`, `zitadel`, `hydra`, `jumpcloud`, `adfs`, `django-oauth-toolkit`, `github` or `generic`. To be named where the issuer does not tell, as with Authelia, PingFederate or a Hydra of your own.",
);
const CLIENT_ID: Setting =
    setting("oidc_client_id", ValueType::Text, "", "Required. The client that Evergate is at the provider.");
const CLIENT_SECRET: Setting =
    setting("oidc_client_secret", ValueType::Secret, "", "The client's secret; none for a public client.");
const CLIENT_SECRET_PREVIOUS: Setting = setting(
    "oidc_client_secret_previous",
    ValueType::Secret,
    "",
    "The other secret while one is being rotated: set the new one as `oidc_client_secret` and the old one here, then rotate it at the provider whenever you like. Whichever is refused, the other is tried once.",
);
const CA_FILE: Setting = setting(
    "oidc_ca_file",
    ValueType::Text,
    "",
    "PEM file of the authorities that the provider's certificate is judged by, instead of the system's.",
);
const TLS_CLIENT_CERT_FILE: Setting =
    setting("tls_client_cert_file", ValueType::Text, "", "PEM file of a certificate that Evergate shows the provider.");
const TLS_CLIENT_KEY_FILE: Setting = setting("tls_client_key_file", ValueType::Text, "", "PEM file of its key.");
const SCOPES: Setting = setting(
    "oidc_scopes",
    ValueType::List,
    "",
    "The scopes to ask for. Not set: `openid`, `profile` and `email` (those that the provider lists, if it lists any), and `offline_access` if the provider lists it; Google is asked for `access_type=offline` instead.",
);
const AUTH_URL_PARAMS: Setting = setting(
    "oidc_auth_url_params",
    ValueType::Map,
    "",
    "Further parameters of the authorization URL, as in `{\"prompt\":\"consent\"}`. None with which every login would fail: another `response_mode` than `query`, or `prompt` with `none`.",
);
const SILENT_LOGIN: Setting = setting(
    "oidc_silent_login",
    ValueType::Bool,
    "",
    "Whether a browser whose grant has ended, or was obtained with other settings, is first sent through the provider with `prompt=none`, which asks its user nothing. Not set: unless the provider's metadata deny it or it is known to answer with an error page of its own, as Django OAuth Toolkit does. `false` sends it to log in instead.",
);
const IGNORE_USERINFO: Setting = setting(
    "oidc_ignore_userinfo",
    ValueType::Bool,
    "false",
    "Whether the ID token alone says who somebody is, and user info is not asked for.",
);
const GROUP_FIELD: Setting = setting(
    "oidc_group_field",
    ValueType::Text,
    "",
    "The claim that holds the groups: its name, or a path to it through objects, as in `realm_access.roles`. Not set: `groups` if that is among `oidc_scopes`, else none.",
);
const USERNAME_FIELD: Setting = setting(
    "oidc_username_field",
    ValueType::Text,
    "preferred_username",
    "The claim for `X-Forwarded-Preferred-Username`: its name, or a path to it.",
);
const EMAIL_FIELD: Setting =
    setting("oidc_email_field", ValueType::Text, "email", "The claim for `X-Forwarded-Email`: its name, or a path to it.");
const IGNORE_EMAIL_VERIFIED: Setting = setting(
    "oidc_ignore_email_verified",
    ValueType::Bool,
    "false",
    "Whether an e-mail address is accepted that the provider does not vouch for (`email_verified` is not true). Where it is not, its user is refused (403) until the provider vouches for it; nobody is logged out by it. Entra ID never vouches.",
);
const TOKEN_TIMEOUT: Setting = setting(
    "oidc_token_timeout",
    ValueType::Duration,
    "30s",
    "How long a call to the token endpoint may take in all. A request waits 8 s for it at most; the call goes on without it.",
);
const REFRESH_TOKEN_GRACE: Setting = setting(
    "oidc_refresh_token_grace",
    ValueType::Duration,
    "",
    "How long the provider still accepts a refresh token after it was used, where it is configured to replace them with such a grace (Okta, Auth0, Cognito, PingOne). Within it, a renewal whose answer was lost is repeated. Not to be set higher than it is there.",
);
const INTROSPECTION_URL: Setting = setting(
    "oidc_introspection_url",
    ValueType::Url,
    "",
    "Where the provider answers token introspection (RFC 7662) for refresh tokens. Not set: where its metadata say. Only a refresh token is asked about whose fate is unknown, because an answer was lost: if it is still active, it is used; else the browser passes the provider again.",
);
