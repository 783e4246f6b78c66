//! Settings of `oidc`: the provider, the client that Evergate is there, and the claims.

use std::collections::BTreeMap;

use url::Url;

use super::{
    bearer::INTROSPECTION_CACHE,
    claims::{self, SCOPES},
    client_auth::{
        self, CLIENT_AUTH_METHOD, CLIENT_CERT_FILE, CLIENT_KEY_FILE, CLIENT_KEY_ID, CLIENT_SECRET, CLIENT_SECRET_PREVIOUS,
    },
    reader::Reader,
    server::TLS_CLIENT_CA_FILE,
    setting::{Section, Setting, ValueType, setting},
    tls::trust,
    values,
};
use crate::{oidc, secret::Secret, tls::ClientTls};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "OpenID Connect",
    settings: &[
        &ISSUER_URL,
        &SKIP_ISSUER_CHECKS,
        &PRESET,
        &CLIENT_ID,
        &CLIENT_SECRET,
        &CLIENT_SECRET_PREVIOUS,
        &CLIENT_KEY_FILE,
        &CLIENT_CERT_FILE,
        &CLIENT_KEY_ID,
        &CLIENT_AUTH_METHOD,
        &CA_FILE,
        &TLS_CLIENT_CERT_FILE,
        &TLS_CLIENT_KEY_FILE,
        &SCOPES,
        &AUTH_URL_PARAMS,
        &PAR,
        &SILENT_LOGIN,
        &TOKEN_TIMEOUT,
        &REFRESH_TOKEN_GRACE,
        &INTROSPECTION_URL,
        &INTROSPECTION_CACHE,
        &GRAPH_URL,
        &EVENT_ISSUER_URL,
        &EVENT_SECRET,
        &EVENT_AUDIENCE,
        &EVENT_POLL_URL,
        &EVENT_POLL_TOKEN,
        &REVOCATION_SECRET,
        &SCIM_AUTH_HEADER,
    ],
};

/// Those of them that are for all providers.
pub(super) const OF_ALL_PROVIDERS: &[&str] = &[INTROSPECTION_CACHE.name];

const ISSUER_URL: Setting = setting(
    "oidc_issuer_url",
    ValueType::Url,
    "",
    "Required. The issuer URL of the OpenID provider, exactly as the provider writes it. https, except on loopback.",
);
const SKIP_ISSUER_CHECKS: Setting = setting(
    "dangerous_oidc_skip_issuer_checks",
    ValueType::Bool,
    "false",
    "Dangerous. Whether Evergate accepts metadata, tokens and responses of any issuer (`iss`), as long as one of the provider's keys signs the tokens: where keys sign for other issuers too, their users can log in here. Microsoft Entra ID's `common` and `organizations` need it not: Evergate checks the issuer of each tenant.",
);
const PRESET: Setting = setting(
    "oidc_preset",
    ValueType::Text,
    "auto",
    "The preset of provider quirks: `auto` selects it by the issuer, or by what the metadata show of the product wherever it is hosted; else `google`, `entra`, `okta`, `keycloak`, `auth0`, `gitlab`, `pingfederate`, `pingone`, `onelogin`, `cognito`, `dex`, `authentik`, `authelia`, `zitadel`, `hydra`, `jumpcloud`, `adfs`, `django-oauth-toolkit`, `github`, `spring`, `lemonldap`, `canaille`, `glewlwyd` or `generic`. The log says at each start which one was selected and why.",
);
const CLIENT_ID: Setting = setting(
    "oidc_client_id",
    ValueType::Text,
    "",
    "Required. The client ID of Evergate at the provider. Change it on all replicas at once: scripts get 401 until the next page view of their browser has brought another grant ([deploys.md](deploys.md#what-a-changed-setting-does-to-those-who-are-signed-in)).",
);
const CA_FILE: Setting = setting(
    "oidc_ca_file",
    ValueType::Text,
    "",
    "PEM file of the CA bundle that Evergate verifies the provider's certificate with, instead of the system's CA certificates.",
);
const TLS_CLIENT_CERT_FILE: Setting = setting(
    "tls_client_cert_file",
    ValueType::Text,
    "",
    "PEM file of the client certificate (mTLS) that Evergate presents to the provider.",
);
const TLS_CLIENT_KEY_FILE: Setting =
    setting("tls_client_key_file", ValueType::Text, "", "PEM file of the private key of `CODER_TLS_CLIENT_CERT_FILE`.");
const AUTH_URL_PARAMS: Setting = setting(
    "oidc_auth_url_params",
    ValueType::Map,
    "",
    "Further parameters of the authorization URL, as in `{\"prompt\":\"consent\"}`. Evergate refuses to start with those that break every login: a `response_mode` other than `query` and `form_post`, or `prompt` with `none`; and with those that each login sends itself, as `scope` and `state`. With `max_age` (seconds), a login is refused whose ID token says that its user authenticated longer ago (`auth_time`), or does not say when.",
);
const PAR: Setting = setting(
    "oidc_par",
    ValueType::Bool,
    "",
    "Pushed authorization requests (PAR, RFC 9126): whether a login begins with a call to the provider that has the parameters, of which the browser carries a reference. Not set: true where the provider's metadata require it.",
);
const SILENT_LOGIN: Setting = setting(
    "oidc_silent_login",
    ValueType::Bool,
    "",
    "Silent re-authentication (`prompt=none`): whether Evergate first redirects a browser whose grant has ended, or was obtained with other settings, to the provider with `prompt=none`, which shows the user nothing. Not set: true, unless the provider's metadata exclude it or the provider is known to answer with an error page of its own, as Django OAuth Toolkit does. `false` redirects to an interactive login instead.",
);
const TOKEN_TIMEOUT: Setting = setting(
    "oidc_token_timeout",
    ValueType::Duration,
    "30s",
    "Total timeout of a call to the token endpoint. A request waits at most 8 s for a token refresh; the call continues without it.",
);
const REFRESH_TOKEN_GRACE: Setting = setting(
    "oidc_refresh_token_grace",
    ValueType::Duration,
    "",
    "The reuse interval (grace period) of refresh token rotation: how long the provider still accepts a refresh token after its use, where the provider is configured with one (Okta, Auth0, Cognito, PingOne). Within it, Evergate repeats a token refresh whose response was lost. Do not set it higher than it is at the provider.",
);
const INTROSPECTION_URL: Setting = setting(
    "oidc_introspection_url",
    ValueType::Url,
    "",
    "The token introspection endpoint (RFC 7662). Not set: the one in the provider's metadata. Evergate introspects a refresh token of unknown outcome, after a lost response: if it is still active, Evergate uses it; else the browser goes through the provider again. It also introspects opaque access tokens of API clients, on routes that take them (`bearer_tokens`).",
);

const GRAPH_URL: Setting = setting(
    "oidc_graph_url",
    ValueType::Url,
    "",
    "Microsoft Graph, as in `https://graph.microsoft.com`, which Evergate asks for the groups of a user who has too many for the tokens of Microsoft Entra ID (groups overage), with the user's access token. Not set: the one that the metadata of Microsoft Entra ID name. If Graph does not tell them, routes and rules that need groups refuse the user with a message that says so.",
);

const EVENT_ISSUER_URL: Setting = setting(
    "oidc_event_issuer_url",
    ValueType::Url,
    "",
    "The issuer that signs what the provider sends to have a user's sessions ended ([deprovisioning.md](deprovisioning.md)), where that is not `CODER_OIDC_ISSUER_URL`: of an authorization server of Okta, its org, as in `https://example.okta.com`; or the transmitter of its security events, whose keys its `/.well-known/ssf-configuration` names.",
);
const EVENT_SECRET: Setting = setting(
    "oidc_event_secret",
    ValueType::Secret,
    "",
    "What the transmitter of security events sends as `Authorization: Bearer` to `/oauth2/security_events` ([deprovisioning.md](deprovisioning.md#shared-signals)), besides its signature: 32 characters at least, as from `openssl rand -hex 32`. Not set: the signature alone counts, as Google sends nothing else.",
);
const EVENT_AUDIENCE: Setting = setting(
    "oidc_event_audience",
    ValueType::List,
    "",
    "Further audiences (`aud`) of security events that are taken, besides `CODER_OIDC_CLIENT_ID` and the URL of `/oauth2/security_events`: what the transmitter has as the stream's `aud`.",
);
const EVENT_POLL_URL: Setting = setting(
    "oidc_event_poll_url",
    ValueType::Url,
    "",
    "Where Evergate polls for security events (RFC 8936): the `endpoint_url` of the stream at a transmitter that pushes none, or that cannot reach Evergate. One replica at a time polls. Not set: none does.",
);
const EVENT_POLL_TOKEN: Setting = setting(
    "oidc_event_poll_token",
    ValueType::Secret,
    "",
    "What Evergate sends as `Authorization: Bearer` to `CODER_OIDC_EVENT_POLL_URL`.",
);
const REVOCATION_SECRET: Setting = setting(
    "oidc_revocation_secret",
    ValueType::Secret,
    "",
    "What a security tool sends as `Authorization: Bearer` to `/oauth2/global_token_revocation` to have everything of one user of this provider revoked: 32 characters at least, as from `openssl rand -hex 32`. Not set: only the provider's own signed requests are taken.",
);

const SCIM_AUTH_HEADER: Setting = setting(
    "scim_auth_header",
    ValueType::Secret,
    "",
    "What a SCIM client sends as `Authorization`, with or without `Bearer`, to provision the users of this provider at `/oauth2/scim/v2` ([deprovisioning.md](deprovisioning.md)): 32 characters at least, as from `openssl rand -hex 32`. Not set, or shorter: there is no SCIM.",
);

/// The settings of the provider with this name.
pub(super) fn read(reader: &mut Reader<'_>, name: String) -> Option<oidc::Settings> {
    let event_issuer = reader.parsed(&EVENT_ISSUER_URL, issuer);
    let issuer = reader.required(&ISSUER_URL, "https://idp.example.com", issuer);
    let skip_issuer_checks = reader.boolean(&SKIP_ISSUER_CHECKS);
    if skip_issuer_checks == Some(true) {
        reader.warn(&SKIP_ISSUER_CHECKS, "is set: a token of any issuer is accepted if one of the provider's keys signed it");
    }
    let preset = reader.parsed(&PRESET, preset);
    let client_id = reader.required(&CLIENT_ID, "my-app", client_id);
    let scopes = claims::scopes(reader);
    let auth_params = reader.parsed(&AUTH_URL_PARAMS, auth_params).unwrap_or_default();
    let token_timeout = reader.positive(&TOKEN_TIMEOUT);
    let reuse_interval = reader.duration(&REFRESH_TOKEN_GRACE);
    let introspection_url = reader.parsed(&INTROSPECTION_URL, provider_url);
    let graph_url = reader.parsed(&GRAPH_URL, provider_url);
    let scim_secret = scim_secret(reader);
    let event_secret = reader.parsed(&EVENT_SECRET, values::long_secret);
    let event_audiences = reader.text(&EVENT_AUDIENCE).map(values::list).unwrap_or_default();
    let event_poll = event_poll(reader);
    let revocation_secret = reader.parsed(&REVOCATION_SECRET, values::long_secret);
    let mapping = claims::read(reader);
    let client_auth = client_auth::read(reader, issuer.as_deref());
    let sources = claims::sources(reader);
    let (pushed_authorization, silent_login) = (reader.boolean(&PAR), reader.boolean(&SILENT_LOGIN));
    let proxy = reader.proxy();
    let claims::Sources { ignore_userinfo, access_token_claims } = sources?;
    Some(oidc::Settings {
        name,
        issuer: issuer?,
        skip_issuer_checks: skip_issuer_checks?,
        preset: preset?,
        client_id: client_id?,
        client_secret: client_auth.secret,
        previous_secret: client_auth.previous_secret,
        client_key: client_auth.key,
        client_auth_method: client_auth.method?,
        scopes,
        auth_params,
        pushed_authorization,
        silent_login,
        ignore_userinfo,
        access_token_claims,
        mapping: mapping?,
        refresh_token_reuse_interval: reuse_interval,
        introspection_url,
        graph_url,
        event_issuer,
        event_secret,
        event_audiences,
        event_poll,
        revocation_secret,
        scim_secret,
        token_timeout: token_timeout?,
        proxy: proxy?,
    })
}

fn event_poll(reader: &mut Reader<'_>) -> Option<oidc::EventPollSettings> {
    let (url, token) = (reader.parsed(&EVENT_POLL_URL, provider_url), reader.owned(&EVENT_POLL_TOKEN).map(Secret::new));
    if url.is_none() && token.is_some() {
        reader.warn(&EVENT_POLL_TOKEN, "has no effect without CODER_OIDC_EVENT_POLL_URL");
    }
    Some(oidc::EventPollSettings { url: url?, token })
}

/// The secret of the SCIM client. Coder starts with any, and so does Evergate, but takes none that could be guessed: it would end everybody.
fn scim_secret(reader: &mut Reader<'_>) -> Option<Secret> {
    let secret = reader.owned(&SCIM_AUTH_HEADER).map(|text| values::long_secret(&text))?;
    secret.inspect_err(|why| reader.warn(&SCIM_AUTH_HEADER, format!("{why}, so that there is no SCIM"))).ok()
}

/// The CA bundle and the client certificate of connections to the provider.
pub(super) fn provider_trust(reader: &mut Reader<'_>) -> ClientTls {
    let own = trust(reader, &CA_FILE, &TLS_CLIENT_CERT_FILE, &TLS_CLIENT_KEY_FILE);
    let clients_ca = || reader.owned(&TLS_CLIENT_CA_FILE).filter(|_| own.client_certificate.is_some());
    ClientTls { ca_file: own.ca_file.clone().or_else(|| clients_ca().map(Into::into)), ..own.clone() }
}

fn preset(text: &str) -> Result<Option<&'static oidc::Preset>, String> {
    match text {
        "auto" => Ok(None),
        name => oidc::Preset::named(name).map(Some).ok_or_else(|| {
            format!("must be auto or one of {}", oidc::PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", "))
        }),
    }
}

fn client_id(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.contains(char::is_control) {
        return Err("must be a client id, on one line".to_owned());
    }
    Ok(text.to_owned())
}

fn issuer(text: &str) -> Result<String, String> {
    let url = provider_url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or fragment".to_owned());
    }
    Ok(text.to_owned())
}

/// An address of the provider's. Tokens are sent there, so it must be https except on loopback. The parser would leave out line ends
/// that nothing else leaves out, and a password would be printed and not be sent.
pub(super) fn provider_url(text: &str) -> Result<Url, String> {
    if text.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err("must not have blanks or line ends in it".to_owned());
    }
    let url = Url::parse(text).map_err(|_| "is not a URL".to_owned())?;
    match url.scheme() {
        "https" => {}
        "http" if oidc::is_loopback(&url) => {}
        _ => return Err("must begin with https:// (http:// is for a provider on loopback only)".to_owned()),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have a user name or a password in it".to_owned());
    }
    Ok(url)
}

/// Parameters of the authorization URL, except those with which every login would fail.
fn auth_params(text: &str) -> Result<BTreeMap<String, String>, String> {
    let params = values::map(text)?;
    if let Some(own) = oidc::LOGIN_PARAMETERS.into_iter().find(|name| params.contains_key(*name)) {
        return Err(format!("must not set {own}, which each login sets itself (scopes: CODER_OIDC_SCOPES)"));
    }
    let value = |name: &str| params.get(name).map(|value| value.trim().to_ascii_lowercase()).unwrap_or_default();
    if !matches!(value("response_mode").as_str(), "" | "query" | "form_post") {
        return Err("must not set a response_mode other than query and form_post: every login would fail".to_owned());
    }
    if value("prompt").split_whitespace().any(|prompt| prompt == "none") {
        return Err("must not set prompt to none: nobody who is not signed in at the provider could log in".to_owned());
    }
    if params.get("max_age").is_some_and(|seconds| seconds.parse::<u32>().is_err()) {
        return Err("must set max_age to a number of seconds".to_owned());
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_a_login_needs_itself_is_an_error() {
        for name in oidc::LOGIN_PARAMETERS {
            let why = auth_params(&format!("{{\"resource\": \"r\", \"{name}\": \"x\"}}")).unwrap_err();
            assert!(why.contains(name) && why.contains("CODER_OIDC_SCOPES"), "{why}");
        }
        assert!(auth_params(r#"{"resource": "r", "prompt": "consent"}"#).is_ok());
    }

    #[test]
    fn an_issuer_is_one_line_without_a_password() {
        for good in ["https://idp.example", "https://idp.example/realms/a", "http://127.0.0.1:8080"] {
            assert_eq!(issuer(good), Ok(good.to_owned()));
        }
        for bad in [
            "https://idp.example\n",
            "https://idp.exa\nmple",
            " https://idp.example",
            "https://idp.example/a b",
            "https://user:pw@idp.example",
            "https://user@idp.example",
            "https://:pw@idp.example",
        ] {
            let why = issuer(bad).unwrap_err();
            assert!(!why.contains("pw") && !why.contains("idp"), "{bad:?}: {why}");
        }
        assert!(client_id("app\n").is_err() && client_id(" ").is_err() && client_id("my app").is_ok());
    }

    #[test]
    fn parameters_with_which_every_login_would_fail_are_refused() {
        for good in [
            r#"{"prompt":"consent"}"#,
            r#"{"response_mode":"form_post"}"#,
            r#"{"response_mode":"query","prompt":"select_account login"}"#,
            "{}",
        ] {
            assert!(auth_params(good).is_ok(), "{good}");
        }
        for (bad, named) in [
            (r#"{"response_mode":"fragment"}"#, "response_mode"),
            (r#"{"response_mode":"query.jwt"}"#, "response_mode"),
            (r#"{"prompt":"none"}"#, "prompt"),
            (r#"{"max_age":"1h"}"#, "max_age"),
            ("[]", "map of texts"),
        ] {
            assert!(auth_params(bad).unwrap_err().contains(named), "{bad}");
        }
    }
}
