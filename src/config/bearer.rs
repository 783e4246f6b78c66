//! Settings of `bearer`: which bearer tokens a route takes, and how they are verified.

use super::{
    reader::Reader,
    route_reader::RouteReader,
    setting::{Setting, ValueType, setting},
    values,
};
use crate::{
    address::AccessUrl,
    bearer,
    policy::{AcceptedTokens, Rule, TokenIssuer},
    renewal,
};

pub(super) const INTROSPECTION_CACHE: Setting = setting(
    "oidc_introspection_cache",
    ValueType::Duration,
    "30s",
    "How long Evergate uses the answer of token introspection (RFC 7662) about an API client's opaque access token, and never beyond the token's `exp`: a revoked token passes for so long. `0` asks for each request. While the provider does not answer, the last answer is used for `CODER_OIDC_OUTAGE_GRACE`.",
);

pub(super) const BEARER_TOKENS: Setting = setting(
    "bearer_tokens",
    ValueType::List,
    "",
    "Whose bearer tokens (`Authorization: Bearer`, RFC 6750) authenticate requests besides the session cookie: `provider`, for access tokens of the provider. A JWT is verified by the provider's keys, an opaque token by introspection. Not set: none, and the header is the app's.",
);
pub(super) const BEARER_AUDIENCES: Setting = setting(
    "bearer_audiences",
    ValueType::List,
    "",
    "The audiences (`aud`) of which a bearer token must name one. Default: the route's URL, unless `bearer_clients` is set.",
);
pub(super) const BEARER_CLIENTS: Setting = setting(
    "bearer_clients",
    ValueType::List,
    "",
    "The clients (`client_id`, `azp`) of which one must have obtained a bearer token.",
);
pub(super) const BEARER_SCOPES: Setting =
    setting("bearer_scopes", ValueType::List, "", "The scopes that a bearer token must have, all of them; another gets 403.");
pub(super) const BEARER_PASS: Setting = setting(
    "bearer_pass",
    ValueType::Bool,
    "",
    "Whether the app gets the `Authorization` header with the bearer token. Default false: the app is told who it is, and cannot use the token elsewhere.",
);

/// How tokens are verified.
pub(super) fn read(reader: &mut Reader<'_>, renewal: Option<&renewal::Settings>) -> Option<bearer::Settings> {
    let introspection_cache = reader.duration(&INTROSPECTION_CACHE);
    Some(bearer::Settings { introspection_cache: introspection_cache?, outage_grace: renewal?.outage_grace })
}

impl RouteReader<'_> {
    /// The bearer tokens that a route takes, whose place is `prefix` on `site`.
    pub(super) fn bearer_tokens(&mut self, rule: &Rule, site: &AccessUrl, prefix: &str) -> Option<AcceptedTokens> {
        let issuers = self.parsed(&BEARER_TOKENS, |text| {
            let names = values::list(text);
            let issuers =
                names.iter().map(|name| (name == "provider").then_some(TokenIssuer::Provider)).collect::<Option<Vec<_>>>();
            issuers.filter(|issuers| !issuers.is_empty()).ok_or_else(|| "must be [\"provider\"]".to_owned())
        });
        let (audiences, clients) = (self.list(&BEARER_AUDIENCES), self.list(&BEARER_CLIENTS));
        let scopes = self.list(&BEARER_SCOPES);
        let passes_authorization = self.parsed(&BEARER_PASS, values::boolean).unwrap_or(false);
        let Some(issuers) = issuers else {
            for key in [&BEARER_AUDIENCES, &BEARER_CLIENTS, &BEARER_SCOPES, &BEARER_PASS] {
                if self.is_given(key) && !self.is_given(&BEARER_TOKENS) {
                    self.problem(key, "is about bearer tokens, and bearer_tokens is not set");
                }
            }
            return None;
        };
        if rule.permit_anybody().is_some() {
            self.problem(&BEARER_TOKENS, "is set on a public route, where nobody is authenticated");
        }
        let is_plain = |scope: &String| scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        if !scopes.iter().all(is_plain) {
            self.problem(&BEARER_SCOPES, "must be scopes, which have no spaces and no quotes (RFC 6749 section 3.3)");
        }
        let own = || [site.at(prefix), site.at(&format!("{prefix}/"))].into();
        let audiences = if audiences.is_empty() && clients.is_empty() { own() } else { audiences };
        Some(AcceptedTokens { issuers, audiences, clients, scopes, passes_authorization })
    }
}
