//! Settings of `bearer`: which bearer tokens a route takes, and how they are verified.

use super::{
    reader::Reader,
    route_reader::RouteReader,
    setting::{Setting, ValueType, setting},
    values,
};
use crate::{
    address::AccessUrl,
    bearer, personal_tokens,
    policy::{AcceptedTokens, Rule},
    renewal,
    routing::{RouteHost, route_name},
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
    "Whose bearer tokens (`Authorization: Bearer`, RFC 6750) authenticate requests besides the session cookie: `provider`, for access tokens of the provider: a JWT is verified by the provider's keys, an opaque token by introspection; `personal`, for the tokens that users make at `/oauth2/tokens` or with `evergate login`, also as the password of Basic authentication; the name of a `[[token_issuer]]`, for its tokens. Not set: none, and the header is the app's.",
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

pub(super) const MAX_TOKEN_LIFETIME: Setting = setting(
    "max_token_lifetime",
    ValueType::Duration,
    "90d",
    "How long a personal access token may live, counted from when it was made: a shorter time holds for those that there are. It also ends with its user's grant at the provider.",
);
pub(super) const DEFAULT_TOKEN_LIFETIME: Setting = setting(
    "default_token_lifetime",
    ValueType::Duration,
    "30d",
    "How long a personal access token lives whose user does not say it.",
);

/// How long personal access tokens may live.
pub(super) fn personal(reader: &mut Reader<'_>) -> Option<personal_tokens::Settings> {
    let (longest, default) = (reader.positive(&MAX_TOKEN_LIFETIME), reader.positive(&DEFAULT_TOKEN_LIFETIME));
    let (longest, default) = (longest?, default?);
    if default > longest && reader.is_chosen(&DEFAULT_TOKEN_LIFETIME) {
        reader.warn(&DEFAULT_TOKEN_LIFETIME, format!("is longer than {}, which is the lifetime then", MAX_TOKEN_LIFETIME.env()));
    }
    Some(personal_tokens::Settings { longest, default })
}

/// How tokens are verified.
pub(super) fn read(reader: &mut Reader<'_>, renewal: Option<&renewal::Settings>) -> Option<bearer::Settings> {
    let introspection_cache = reader.duration(&INTROSPECTION_CACHE);
    Some(bearer::Settings { introspection_cache: introspection_cache?, outage_grace: renewal?.outage_grace })
}

impl RouteReader<'_> {
    /// The bearer tokens that a route takes, whose place is `prefix` on `site`.
    pub(super) fn bearer_tokens(
        &mut self,
        rule: &Rule,
        site: &AccessUrl,
        (host, prefix): (Option<&RouteHost>, &str),
        known_issuers: &[String],
    ) -> Option<AcceptedTokens> {
        let route = route_name(host, prefix);
        let taken = self.parsed(&BEARER_TOKENS, |text| {
            let names = values::list(text);
            let is_known = |name: &String| matches!(name.as_str(), "provider" | "personal") || known_issuers.contains(name);
            let is_good = !names.is_empty() && names.iter().all(is_known);
            let wrong = || "must be a list of provider, personal and names of token_issuer".to_owned();
            if is_good { Ok(names) } else { Err(wrong()) }
        });
        let (audiences, clients) = (self.list(&BEARER_AUDIENCES), self.list(&BEARER_CLIENTS));
        let scopes = self.list(&BEARER_SCOPES);
        let passes_authorization = self.parsed(&BEARER_PASS, values::boolean).unwrap_or(false);
        let Some(names) = taken else {
            for key in [&BEARER_AUDIENCES, &BEARER_CLIENTS, &BEARER_SCOPES, &BEARER_PASS] {
                if self.is_given(key) && !self.is_given(&BEARER_TOKENS) {
                    self.problem(key, "is about bearer tokens, and bearer_tokens is not set");
                }
            }
            return None;
        };
        let has = |name: &str| names.iter().any(|found| found == name);
        let (of_provider, personal) = (has("provider"), has("personal"));
        let issuers: Vec<_> = names.iter().filter(|name| !matches!(name.as_str(), "provider" | "personal")).cloned().collect();
        if rule.permit_anybody().is_some() {
            self.problem(&BEARER_TOKENS, "is set on a public route, where nobody is authenticated");
        }
        let is_plain = |scope: &String| scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        if !scopes.iter().all(is_plain) {
            self.problem(&BEARER_SCOPES, "must be scopes, which have no spaces and no quotes (RFC 6749 section 3.3)");
        }
        let own = || [site.at(prefix), site.at(&format!("{prefix}/"))].into();
        let audiences = if audiences.is_empty() && clients.is_empty() { own() } else { audiences };
        if !of_provider && issuers.is_empty() {
            for key in [&BEARER_AUDIENCES, &BEARER_CLIENTS, &BEARER_SCOPES, &BEARER_PASS] {
                if self.is_given(key) {
                    self.problem(key, "is about tokens of an issuer, and bearer_tokens names none");
                }
            }
        }
        Some(AcceptedTokens {
            route,
            of_provider,
            providers: rule.providers.clone(),
            issuers,
            personal,
            audiences,
            clients,
            scopes,
            passes_authorization,
        })
    }
}
