//! `[[token_issuer]]` tables: issuers of bearer tokens at which nobody logs in.

use std::path::PathBuf;

use super::{
    oidc::provider_url,
    raw::RouteTable,
    reader::Reader,
    route_reader::RouteReader,
    setting::{Setting, ValueType, setting},
};
use crate::{
    oidc::{IssuerMetadata, ProxySettings, TokenIssuerSettings},
    tls::ClientTls,
};

/// The keys of a `[[token_issuer]]` table, in the order of the reference.
pub(super) const KEYS: &[&Setting] = &[&NAME, &ISSUER, &SUBJECTS, &JWKS_URL, &ISSUER_CA_FILE, &TOKEN_FILE];

const NAME: Setting = setting(
    "name",
    ValueType::Text,
    "",
    "Required. The name by which a route takes its tokens (`bearer_tokens = [\"kubernetes\"]`). Apps are told a subject behind it, as in `kubernetes:system:serviceaccount:ci:deployer`.",
);
const ISSUER: Setting = setting("issuer", ValueType::Url, "", "Required. The issuer, exactly as the tokens have it (`iss`).");
const SUBJECTS: Setting = setting(
    "subjects",
    ValueType::List,
    "",
    "Required. The subjects (`sub`) that may come, as in `[\"system:serviceaccount:ci:*\"]`; a star at the end stands for any end.",
);
const JWKS_URL: Setting = setting(
    "jwks_url",
    ValueType::Url,
    "",
    "Where its keys are (JWKS). Not set: where its metadata say (`/.well-known/openid-configuration`).",
);
const ISSUER_CA_FILE: Setting = setting(
    "issuer_ca_file",
    ValueType::Text,
    "",
    "PEM file of the CA bundle that its certificate is verified with, as `/var/run/secrets/kubernetes.io/serviceaccount/ca.crt`.",
);
const TOKEN_FILE: Setting = setting(
    "token_file",
    ValueType::Text,
    "",
    "A file with the bearer token that it wants for its metadata and keys, as `/var/run/secrets/kubernetes.io/serviceaccount/token`; read each time.",
);

/// All of them, each with the certificates that it is trusted by.
pub(super) fn read(
    reader: &mut Reader<'_>,
    providers: &[String],
    proxy: &ProxySettings,
) -> Vec<(TokenIssuerSettings, ClientTls)> {
    let mut all: Vec<(TokenIssuerSettings, ClientTls)> = Vec::new();
    for (at, given) in reader.token_issuers().iter().enumerate() {
        let mut table = RouteReader { kind: "token_issuer", number: at + 1, given, problems: &mut reader.problems };
        let Some((settings, trust)) = table.token_issuer(proxy) else { continue };
        if all.iter().any(|(other, _)| other.name == settings.name) {
            table.problem(&NAME, "is another issuer's too");
        }
        if providers.contains(&settings.issuer) || all.iter().any(|(other, _)| other.issuer == settings.issuer) {
            table.problem(&ISSUER, "is a provider's, or another issuer's too");
        }
        all.push((settings, trust));
    }
    all
}

impl RouteReader<'_> {
    fn token_issuer(&mut self, proxy: &ProxySettings) -> Option<(TokenIssuerSettings, ClientTls)> {
        self.refuse_unknown_keys(KEYS);
        for key in [&NAME, &ISSUER, &SUBJECTS] {
            if !self.is_given(key) {
                self.problem(key, "is required");
            }
        }
        let name = self.parsed(&NAME, |text| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            match text {
                // Subjects of the provider's clients begin with `client:`.
                "provider" | "personal" | "client" => Err("is a name that has a meaning already".to_owned()),
                text if !text.is_empty() && text.bytes().all(is_plain) => Ok(text.to_owned()),
                _ => Err("must be letters, digits, - and _".to_owned()),
            }
        });
        let issuer = self.parsed(&ISSUER, |text| provider_url(text).map(|_| text.to_owned()));
        let jwks_url = self.parsed(&JWKS_URL, provider_url);
        let subjects = self.list(&SUBJECTS);
        let mut file = |key: &Setting| self.parsed(key, |path| Ok(PathBuf::from(path)));
        let (ca_file, token_file) = (file(&ISSUER_CA_FILE), file(&TOKEN_FILE));
        let settings = TokenIssuerSettings {
            name: name?,
            issuer: issuer?,
            jwks_url,
            metadata: IssuerMetadata::OpenIdConnect,
            token_file,
            subjects,
            // `check` fills this in, from the routes.
            claims: Vec::new(),
            proxy: proxy.clone(),
        };
        Some((settings, ClientTls { ca_file, client_certificate: None }))
    }
}

/// The names by which routes may take tokens, whatever else is wrong with the tables.
pub(super) fn names(tables: &[RouteTable]) -> Vec<String> {
    tables.iter().filter_map(|table| table.get(NAME.name)?.as_ref().ok().cloned()).collect()
}
