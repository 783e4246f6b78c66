//! Settings of `oidc`: the provider, the client that Evergate is there, and the claims.

use std::collections::BTreeMap;

use url::Url;

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    tls::trust,
    values,
};
use crate::{oidc, secret::Secret, tls::Trust};

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
pub(super) const GROUP_FIELD: Setting = setting(
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

/// The provider's settings.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<oidc::Settings> {
    let issuer = reader.required(&ISSUER_URL, "https://idp.example.com", issuer);
    let preset = reader.parsed(&PRESET, preset);
    let client_id = reader.required(&CLIENT_ID, "my-app", |text| Ok(text.to_owned()));
    let scopes = reader.text(&SCOPES).map(values::list);
    let auth_params = reader.parsed(&AUTH_URL_PARAMS, auth_params).unwrap_or_default();
    let token_timeout = reader.positive(&TOKEN_TIMEOUT);
    let reuse_interval = reader.duration(&REFRESH_TOKEN_GRACE);
    let introspection_url = reader.parsed(&INTROSPECTION_URL, provider_url);
    let groups = groups_claim(reader);
    if reader.is_given(&CLIENT_SECRET_PREVIOUS) && !reader.is_given(&CLIENT_SECRET) {
        reader.problem(&CLIENT_SECRET_PREVIOUS, "needs CODER_OIDC_CLIENT_SECRET, the new one");
    }
    let ignore_email_verified = reader.boolean(&IGNORE_EMAIL_VERIFIED);
    let ignore_userinfo = reader.boolean(&IGNORE_USERINFO);
    let silent_login = reader.boolean(&SILENT_LOGIN);
    Some(oidc::Settings {
        issuer: issuer?,
        preset: preset?,
        client_id: client_id?,
        client_secret: reader.text(&CLIENT_SECRET).map(Secret::new),
        previous_secret: reader.text(&CLIENT_SECRET_PREVIOUS).map(Secret::new),
        scopes,
        auth_params,
        silent_login,
        ignore_userinfo: ignore_userinfo?,
        mapping: oidc::ClaimMapping {
            username: reader.owned(&USERNAME_FIELD)?,
            email: reader.owned(&EMAIL_FIELD)?,
            groups,
            ignore_email_verified: ignore_email_verified?,
        },
        refresh_token_reuse_interval: reuse_interval,
        introspection_url,
        token_timeout: token_timeout?,
    })
}

/// The CA bundle and the client certificate of connections to the provider.
pub(super) fn provider_trust(reader: &mut Reader<'_>) -> Trust {
    trust(reader, &CA_FILE, &TLS_CLIENT_CERT_FILE, &TLS_CLIENT_KEY_FILE)
}

/// The claim that holds the groups: as configured, or `groups` where the scope of that name is requested.
pub(super) fn groups_claim(reader: &Reader<'_>) -> Option<String> {
    let requests_groups = || reader.list(&SCOPES).iter().any(|scope| scope == "groups");
    reader.owned(&GROUP_FIELD).or_else(|| requests_groups().then(|| "groups".to_owned()))
}

fn preset(text: &str) -> Result<Option<&'static oidc::Preset>, String> {
    match text {
        "auto" => Ok(None),
        name => oidc::Preset::named(name).map(Some).ok_or_else(|| {
            format!("must be auto or one of {}", oidc::PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", "))
        }),
    }
}

fn issuer(text: &str) -> Result<String, String> {
    let url = provider_url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or fragment".to_owned());
    }
    Ok(text.to_owned())
}

/// An address of the provider's. Tokens are sent there, so it must be https except on loopback.
fn provider_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "is not a URL".to_owned())?;
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err("must begin with https:// (http:// is for a provider on loopback only)".to_owned()),
    }
    Ok(url)
}

/// Parameters of the authorization URL, except those with which every login would fail.
fn auth_params(text: &str) -> Result<BTreeMap<String, String>, String> {
    let params = values::map(text)?;
    let value = |name: &str| params.get(name).map(|value| value.trim().to_ascii_lowercase()).unwrap_or_default();
    if !matches!(value("response_mode").as_str(), "" | "query") {
        return Err(
            "must not set response_mode: the answer is taken from the query alone, so that every login would fail".to_owned()
        );
    }
    if value("prompt").split_whitespace().any(|prompt| prompt == "none") {
        return Err("must not set prompt to none: nobody who is not signed in at the provider could log in".to_owned());
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_with_which_every_login_would_fail_are_refused() {
        for good in [r#"{"prompt":"consent"}"#, r#"{"response_mode":"query","prompt":"select_account login"}"#, "{}"] {
            assert!(auth_params(good).is_ok(), "{good}");
        }
        for (bad, named) in [
            (r#"{"response_mode":"form_post"}"#, "response_mode"),
            (r#"{"response_mode":"fragment"}"#, "response_mode"),
            (r#"{"response_mode":"query.jwt"}"#, "response_mode"),
            (r#"{"prompt":"none"}"#, "prompt"),
            ("[]", "JSON object"),
        ] {
            assert!(auth_params(bad).unwrap_err().contains(named), "{bad}");
        }
    }
}
