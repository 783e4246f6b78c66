//! Settings of client authentication: how Evergate proves to the provider that it is the client.

use super::{
    reader::Reader,
    setting::{Setting, ValueType, setting},
};
use crate::{
    oidc::{ClientAuthMethod, ClientKeyFiles},
    secret::Secret,
};

pub(super) const CLIENT_SECRET: Setting = setting(
    "oidc_client_secret",
    ValueType::Secret,
    "",
    "The client secret. Not set, and no private key either: a public client.",
);
pub(super) const CLIENT_SECRET_PREVIOUS: Setting = setting(
    "oidc_client_secret_previous",
    ValueType::Secret,
    "",
    "The other client secret during a secret rotation: set the new one as `oidc_client_secret` and the old one here, then rotate it at the provider at any time. When the provider refuses one, Evergate tries the other once.",
);
pub(super) const CLIENT_KEY_FILE: Setting = setting(
    "oidc_client_key_file",
    ValueType::Text,
    "",
    "PEM file of the private key with which Evergate signs the assertions of `private_key_jwt` (RFC 7523), instead of a client secret: RSA (PKCS #1 or PKCS #8) or EC on P-256 or P-384 (PKCS #8 or SEC 1), not encrypted. Evergate reads it again when it changes.",
);
pub(super) const CLIENT_CERT_FILE: Setting = setting(
    "oidc_client_cert_file",
    ValueType::Text,
    "",
    "PEM file of the certificate of `CODER_OIDC_CLIENT_KEY_FILE`. Its thumbprints are in the header of each assertion (`x5t` and `x5t#S256`), by which Microsoft Entra ID, where it is required, finds the key. When both files change, Evergate uses the previous key until the new ones fit together.",
);
pub(super) const CLIENT_KEY_ID: Setting = setting(
    "oidc_client_key_id",
    ValueType::Text,
    "",
    "The identifier (`kid`) of `CODER_OIDC_CLIENT_KEY_FILE` in the header of each assertion, for providers that know several keys of the client and do not try them all.",
);
pub(super) const CLIENT_AUTH_METHOD: Setting = setting(
    "oidc_client_auth_method",
    ValueType::Text,
    "auto",
    "The method of client authentication at the provider's endpoints (`token_endpoint_auth_method`): `client_secret_basic`, `client_secret_post`, `client_secret_jwt` (HS256), `private_key_jwt` or `none`. `auto` selects it by the provider's metadata; when the provider refuses the client, Evergate tries one other method that the metadata allow, and keeps to the one that works until it restarts.",
);

/// The shortest secret that is a key for HS256 (RFC 7518 section 3.2), in bytes.
const MIN_JWT_SECRET_LEN: usize = 32;

/// How the client authenticates. A method that is unreadable is `None`, and reported.
pub(super) struct ClientAuthSettings {
    pub(super) secret: Option<Secret>,
    pub(super) previous_secret: Option<Secret>,
    pub(super) key: Option<ClientKeyFiles>,
    pub(super) method: Option<Option<ClientAuthMethod>>,
}

/// Reads how the client authenticates at `issuer`, and reports what does not fit together.
pub(super) fn read(reader: &mut Reader<'_>, issuer: Option<&str>) -> ClientAuthSettings {
    if reader.is_given(&CLIENT_SECRET_PREVIOUS) && !reader.is_given(&CLIENT_SECRET) {
        reader.problem(&CLIENT_SECRET_PREVIOUS, "needs CODER_OIDC_CLIENT_SECRET, the new one");
    }
    let key = key(reader, issuer);
    let method = reader.parsed(&CLIENT_AUTH_METHOD, method);
    if let Some(Some(method)) = method
        && let Some(message) = contradiction(reader, method)
    {
        reader.problem(&CLIENT_AUTH_METHOD, message);
    }
    ClientAuthSettings {
        secret: reader.text(&CLIENT_SECRET).map(Secret::new),
        previous_secret: reader.text(&CLIENT_SECRET_PREVIOUS).map(Secret::new),
        key,
        method,
    }
}

fn key(reader: &mut Reader<'_>, issuer: Option<&str>) -> Option<ClientKeyFiles> {
    let (key, certificate, id) = (reader.owned(&CLIENT_KEY_FILE), reader.owned(&CLIENT_CERT_FILE), reader.owned(&CLIENT_KEY_ID));
    if key.is_none() {
        for setting in
            [&CLIENT_CERT_FILE, &CLIENT_KEY_ID].into_iter().filter(|setting| reader.is_given(setting)).collect::<Vec<_>>()
        {
            reader.problem(setting, "needs CODER_OIDC_CLIENT_KEY_FILE");
        }
    } else if reader.is_given(&CLIENT_SECRET) {
        reader.problem(&CLIENT_KEY_FILE, "and CODER_OIDC_CLIENT_SECRET exclude each other; leave one out");
    } else if certificate.is_none() && issuer.is_some_and(|issuer| issuer.contains("microsoftonline")) {
        reader.problem(&CLIENT_KEY_FILE, "needs CODER_OIDC_CLIENT_CERT_FILE at Microsoft Entra ID, which finds the key by it");
    }
    Some(ClientKeyFiles { key: key?.into(), certificate: certificate.map(Into::into), id })
}

fn method(text: &str) -> Result<Option<ClientAuthMethod>, String> {
    match text {
        "auto" => Ok(None),
        name => ClientAuthMethod::named(name)
            .map(Some)
            .ok_or_else(|| format!("must be auto or one of {}", ClientAuthMethod::ALL.map(ClientAuthMethod::name).join(", "))),
    }
}

/// Why the client cannot authenticate by this method with what else is set.
fn contradiction(reader: &Reader<'_>, method: ClientAuthMethod) -> Option<String> {
    let (has_secret, has_key) = (reader.is_given(&CLIENT_SECRET), reader.is_given(&CLIENT_KEY_FILE));
    match method {
        ClientAuthMethod::SecretBasic | ClientAuthMethod::SecretPost | ClientAuthMethod::SecretJwt if !has_secret => {
            Some(format!("is {}, which needs CODER_OIDC_CLIENT_SECRET", method.name()))
        }
        ClientAuthMethod::SecretJwt => {
            let is_short = |setting| reader.text(setting).is_some_and(|secret| secret.len() < MIN_JWT_SECRET_LEN);
            let short = [&CLIENT_SECRET, &CLIENT_SECRET_PREVIOUS].into_iter().find(|setting| is_short(setting));
            short.map(|setting| {
                format!("is client_secret_jwt, for which {} is too short: HS256 needs {MIN_JWT_SECRET_LEN} bytes", setting.env())
            })
        }
        ClientAuthMethod::PrivateKeyJwt if !has_key => {
            Some("is private_key_jwt, which needs CODER_OIDC_CLIENT_KEY_FILE".to_owned())
        }
        ClientAuthMethod::None if has_key => Some("is none, and CODER_OIDC_CLIENT_KEY_FILE is set; leave one out".to_owned()),
        ClientAuthMethod::None if has_secret => Some("is none, and CODER_OIDC_CLIENT_SECRET is set; leave one out".to_owned()),
        ClientAuthMethod::SecretBasic
        | ClientAuthMethod::SecretPost
        | ClientAuthMethod::PrivateKeyJwt
        | ClientAuthMethod::None => None,
    }
}
