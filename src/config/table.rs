//! The settings, each once. Names are Coder's where Coder has the setting, and in Coder's style where not.

use crate::session::cookie::DEFAULT_NAME;

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// Its key in the file; `oidc_scopes` is `CODER_OIDC_SCOPES` and `--oidc-scopes`.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// The default, as it would be written; empty for none.
    pub default: &'static str,
    /// What it is for, in sentences.
    pub help: &'static str,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A URL.
    Url,
    /// `host:port`.
    Address,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Number,
    /// `90s`, `15m`, `24h`, `30d`.
    Duration,
    /// Texts separated by commas.
    List,
    /// A JSON object of texts.
    Map,
    /// A text that is never shown; there is no flag for it, but one for a file that holds it.
    Secret,
    /// Such texts separated by commas.
    Secrets,
}

/// A heading of the reference, and its settings.
#[derive(Debug)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The settings.
    pub keys: &'static [Key],
}

impl Key {
    /// Its environment variable.
    pub fn env(&self) -> String {
        format!("CODER_{}", self.name.to_uppercase())
    }

    /// Its flag, without the dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Whether its value must not be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Secrets)
    }
}

/// All settings.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

const fn key(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, default, help }
}

/// All settings under their headings.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "Addresses",
        keys: &[
            key(
                "access_url",
                Kind::Url,
                "",
                "Required. The address that browsers reach Evergate by: scheme, host and port, as in `https://app.example.com`. Two addresses under it are to be registered at the provider: `<access URL>/oauth2/callback` as redirect URI, `<access URL>/oauth2/signed_out` as post-logout redirect URI. Over plain http cookies are not protected on the network.",
            ),
            key("http_address", Kind::Address, "127.0.0.1:3000", "Where Evergate listens for HTTP/1.1 and HTTP/2."),
            key(
                "tls_enable",
                Kind::Bool,
                "false",
                "Whether Evergate ends TLS itself, on `CODER_TLS_ADDRESS`, besides listening on `CODER_HTTP_ADDRESS`.",
            ),
            key(
                "tls_address",
                Kind::Address,
                "127.0.0.1:3443",
                "Where Evergate listens for TLS, with HTTP/2 and HTTP/1.1 (ALPN).",
            ),
            key(
                "tls_cert_file",
                Kind::List,
                "",
                "PEM files of certificates, each with its chain. Which is shown is decided by the name that a client asks for (SNI); the first is shown to others. Files that change are read again, at once on SIGHUP; one that cannot be used does not replace one that can.",
            ),
            key("tls_key_file", Kind::List, "", "PEM files of their keys, in the same order."),
            key("tls_min_version", Kind::Text, "tls12", "The oldest version that is spoken: `tls12` or `tls13`."),
            key(
                "redirect_to_access_url",
                Kind::Bool,
                "false",
                "Whether requests that name another host, or that come in plain text while `CODER_TLS_ENABLE` is set, are redirected (308) to the access URL. Otherwise other hosts are answered 421.",
            ),
            key(
                "strict_transport_security",
                Kind::Number,
                "0",
                "Seconds for which browsers are told to come by https alone (`Strict-Transport-Security`, RFC 6797). `0` does not tell them.",
            ),
            key("strict_transport_security_options", Kind::List, "", "What is said besides: `includeSubDomains`, `preload`."),
            key(
                "upstream_url",
                Kind::Url,
                "",
                "Required unless a route leads from `/`. The app: `http://host:port`, `https://host:port` or `unix:/path/to/socket`.",
            ),
            key(
                "upstream_timeout",
                Kind::Duration,
                "5m",
                "How long a request that has been sent whole waits for the head of the app's answer; then it is answered 504. `0` waits for ever. Bodies, streams and WebSockets have no limit.",
            ),
            key(
                "upstream_protocol",
                Kind::Text,
                "http1",
                "What is spoken with the app: `http1`, or `http2`, over TLS by ALPN and on plain text by prior knowledge, as gRPC servers speak it.",
            ),
            key(
                "upstream_http2_ping",
                Kind::Duration,
                "0",
                "How often a connection of HTTP/2 to the app is asked whether it is alive: `5m` or more, because gRPC servers end one that is asked more often, with every call on it. `0` asks never; an app that vanished is found by TCP keep-alive, within two minutes.",
            ),
            key(
                "upstream_connect_timeout",
                Kind::Duration,
                "10s",
                "How long the app may take to be connected to, name and TLS included; then 502.",
            ),
            key(
                "upstream_idle_timeout",
                Kind::Duration,
                "0",
                "How long the app may pause within an answer; then it breaks off, which the client sees. `0` is for ever, as streams need it.",
            ),
            key("upstream_total_timeout", Kind::Duration, "0", "The same for the whole answer."),
            key(
                "client_body_timeout",
                Kind::Duration,
                "60s",
                "How long a client may pause within its request's body on a public route; then 408. `0` is for ever. Whoever is signed in may pause, as streams do.",
            ),
            key(
                "upstream_max_requests",
                Kind::Number,
                "0",
                "How many requests each address of the app may have at once, WebSockets and streams among them; others are answered 503. `0` is no limit.",
            ),
            key(
                "upstream_ca_file",
                Kind::Text,
                "",
                "PEM file of the authorities that the app's certificate is judged by, instead of the system's.",
            ),
            key("upstream_client_cert_file", Kind::Text, "", "PEM file of a certificate that Evergate shows the app."),
            key("upstream_client_key_file", Kind::Text, "", "PEM file of its key."),
            key("path_prefix", Kind::Text, "/oauth2", "Where Evergate's own pages are. The rest of the URL space is the app's."),
            key(
                "cookie_name",
                Kind::Text,
                DEFAULT_NAME,
                "What the names of Evergate's cookies begin with. Two on one host name, on different ports, need different ones: browsers do not tell cookies apart by port.",
            ),
            key(
                "proxy_trusted_origins",
                Kind::List,
                "",
                "Networks (CIDR) of the proxies in front of Evergate, whose `X-Forwarded-For`, `-Proto` and `-Host` are believed. Everybody else's are replaced.",
            ),
            key(
                "allowed_origins",
                Kind::List,
                "",
                "Origins (`https://other.example.com`) whose pages may send the app requests that change something or open WebSockets, besides the access URL's own. `*` allows all and leaves the defence to the app. Others are answered 403.",
            ),
            key(
                "pass_access_token",
                Kind::Bool,
                "false",
                "Whether the app gets the user's current access token in `X-Forwarded-Access-Token`.",
            ),
        ],
    },
    Section {
        title: "OpenID Connect",
        keys: &[
            key(
                "oidc_issuer_url",
                Kind::Url,
                "",
                "Required. The provider's issuer, exactly as it writes it. https, except on loopback.",
            ),
            key(
                "oidc_ca_file",
                Kind::Text,
                "",
                "PEM file of the authorities that the provider's certificate is judged by, instead of the system's.",
            ),
            key("tls_client_cert_file", Kind::Text, "", "PEM file of a certificate that Evergate shows the provider."),
            key("tls_client_key_file", Kind::Text, "", "PEM file of its key."),
            key(
                "oidc_preset",
                Kind::Text,
                "auto",
                "Which provider's habits to expect: `auto` recognises it by its issuer; else `google`, `entra`, `okta`, `keycloak`, `auth0`, `gitlab`, `pingfederate`, `pingone`, `onelogin`, `cognito`, `dex`, `authentik`, `authelia`, `zitadel`, `hydra`, `jumpcloud`, `adfs`, `django-oauth-toolkit`, `github` or `generic`. To be named where the issuer does not tell, as with Authelia, PingFederate or a Hydra of your own.",
            ),
            key("oidc_client_id", Kind::Text, "", "Required. The client that Evergate is at the provider."),
            key("oidc_client_secret", Kind::Secret, "", "The client's secret; none for a public client."),
            key(
                "oidc_client_secret_previous",
                Kind::Secret,
                "",
                "The other secret while one is being rotated: set the new one as `oidc_client_secret` and the old one here, then rotate it at the provider whenever you like. Whichever is refused, the other is tried once.",
            ),
            key(
                "oidc_scopes",
                Kind::List,
                "",
                "The scopes to ask for. Not set: `openid`, `profile` and `email` (those that the provider lists, if it lists any), and `offline_access` if the provider lists it; Google is asked for `access_type=offline` instead.",
            ),
            key(
                "oidc_auth_url_params",
                Kind::Map,
                "",
                "Further parameters of the authorization URL, as in `{\"prompt\":\"consent\"}`. None with which every login would fail: another `response_mode` than `query`, or `prompt` with `none`.",
            ),
            key(
                "oidc_silent_login",
                Kind::Bool,
                "",
                "Whether a browser whose grant has ended, or was obtained with other settings, is first sent through the provider with `prompt=none`, which asks its user nothing. Not set: unless the provider's metadata deny it or it is known to answer with an error page of its own, as Django OAuth Toolkit does. `false` sends it to log in instead.",
            ),
            key(
                "oidc_ignore_userinfo",
                Kind::Bool,
                "false",
                "Whether the ID token alone says who somebody is, and user info is not asked for.",
            ),
            key(
                "oidc_email_domain",
                Kind::List,
                "",
                "Only users with an e-mail address of one of these domains may enter. The whole domain is compared.",
            ),
            key("oidc_allowed_groups", Kind::List, "", "Only users in one of these groups may enter. Needs `oidc_group_field`."),
            key(
                "oidc_group_field",
                Kind::Text,
                "",
                "The claim that holds the groups: its name, or a path to it through objects, as in `realm_access.roles`. Not set: `groups` if that is among `oidc_scopes`, else none.",
            ),
            key(
                "oidc_username_field",
                Kind::Text,
                "preferred_username",
                "The claim for `X-Forwarded-Preferred-Username`: its name, or a path to it.",
            ),
            key("oidc_email_field", Kind::Text, "email", "The claim for `X-Forwarded-Email`: its name, or a path to it."),
            key(
                "oidc_ignore_email_verified",
                Kind::Bool,
                "false",
                "Whether an e-mail address is accepted that the provider does not vouch for (`email_verified` is not true). Where it is not, its user is refused (403) until the provider vouches for it; nobody is logged out by it. Entra ID never vouches.",
            ),
        ],
    },
    Section {
        title: "Renewal",
        keys: &[
            key(
                "oidc_renew_before",
                Kind::Duration,
                "1m",
                "How long before an access token expires it is renewed in the background; for short-lived tokens a third of their life.",
            ),
            key(
                "oidc_token_timeout",
                Kind::Duration,
                "30s",
                "How long a call to the token endpoint may take in all. A request waits 8 s for it at most; the call goes on without it.",
            ),
            key(
                "oidc_refresh_token_grace",
                Kind::Duration,
                "",
                "How long the provider still accepts a refresh token after it was used, where it is configured to replace them with such a grace (Okta, Auth0, Cognito, PingOne). Within it, a renewal whose answer was lost is repeated. Not to be set higher than it is there.",
            ),
            key(
                "oidc_introspection_url",
                Kind::Url,
                "",
                "Where the provider answers token introspection (RFC 7662) for refresh tokens. Not set: where its metadata say. Only a refresh token is asked about whose fate is unknown, because an answer was lost: if it is still active, it is used; else the browser passes the provider again.",
            ),
            key(
                "oidc_outage_grace",
                Kind::Duration,
                "1h",
                "How long after its access token expired a session is served with the last verified identity while the provider cannot renew it, and after a renewal whose ID token cannot be verified. `0` answers 503 instead. Nobody is logged out by an outage.",
            ),
            key("oidc_max_concurrent_renewals", Kind::Number, "32", "How many renewals one replica makes at the same time."),
        ],
    },
    Section {
        title: "Sessions and storage",
        keys: &[
            key("session_duration", Kind::Duration, "24h", "A session ends when it was not used for this long."),
            key("session_max_duration", Kind::Duration, "30d", "A session ends this long after login, whatever happens."),
            key(
                "disable_session_expiry_refresh",
                Kind::Bool,
                "false",
                "Whether a session ends `session_duration` after login even if it is used.",
            ),
            key(
                "event_retention",
                Kind::Duration,
                "30d",
                "How long the history is kept: each login, renewal, logout and revocation, with its reason. `evergate sessions why` reads it.",
            ),
            key(
                "pg_connection_url",
                Kind::Secret,
                "",
                "The Postgres that keeps grants and sessions, and that all replicas share. Not set: SQLite in `data_dir`.",
            ),
            key("pg_conn_max_open", Kind::Number, "10", "Connections to Postgres of one replica."),
            key("data_dir", Kind::Text, "evergate-data", "Where the SQLite file and its key file are, if there is no Postgres."),
            key(
                "external_token_encryption_keys",
                Kind::Secrets,
                "",
                "Keys that seal tokens at rest: base64 of 32 bytes each, separated by commas; the first seals, all open. `evergate keys generate` makes one. Required with Postgres; without it SQLite makes a key file.",
            ),
        ],
    },
    Section {
        title: "Operations",
        keys: &[
            key(
                "log_filter",
                Kind::Text,
                "info",
                "Which log lines are written, as in `info,evergate::access=off` or `evergate=debug`.",
            ),
            key("logging_json", Kind::Bool, "", "Whether log lines are JSON. Not set: text on a terminal, JSON elsewhere."),
            key("prometheus_enable", Kind::Bool, "false", "Whether metrics are served at `/metrics` of `prometheus_address`."),
            key("prometheus_address", Kind::Address, "127.0.0.1:2112", "Where metrics are served."),
            key(
                "shutdown_timeout",
                Kind::Duration,
                "30s",
                "How long the process may take to stop after SIGTERM, SIGINT or SIGQUIT: requests finish, and in the second half WebSockets (close code 1012) and event streams end one after the other (docs/deploys.md). It stops as soon as nothing is left to wait for.",
            ),
        ],
    },
];
