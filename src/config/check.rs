//! Checks all settings together: every module's settings are built, and every problem is reported.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use super::{
    Problem, Problems, Raw, administration, app_tokens, bearer, claims, ext_authz, forward, gateway,
    provider_settings::ProviderSettings,
    providers,
    raw::RouteTable,
    reader::Reader,
    renewal, server, session,
    store::{self, EncryptionKeys},
    telemetry, token_issuers, values,
};
use crate::{forward::Target, gateway::Entrance, identity::AUTH_TIME, tls::ClientTls};

/// Settings that are complete and make sense.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Listening and connections.
    pub server: crate::server::Settings,
    /// Addresses, routes and Evergate's own pages.
    pub gateway: crate::gateway::Settings,
    /// The provider, or the first of several.
    pub provider: ProviderSettings,
    /// The others.
    pub further_providers: Vec<ProviderSettings>,
    /// How API clients' tokens are verified.
    pub bearer: crate::bearer::Settings,
    /// Issuers of bearer tokens besides the provider, each with the certificates that it is trusted by.
    pub token_issuers: Vec<(crate::oidc::TokenIssuerSettings, ClientTls)>,
    /// Who administers, if anybody does.
    pub administration: Option<crate::administration::Settings>,
    /// Where apps' jobs ask for tokens, and which they get, if they may.
    pub app_tokens: Option<crate::app_tokens::Settings>,
    /// How long personal access tokens may live.
    pub personal_tokens: crate::personal_tokens::Settings,
    /// When access tokens are renewed.
    pub renewal: crate::renewal::Settings,
    /// How long sessions live.
    pub session: crate::session::Settings,
    /// How many sessions are kept in memory.
    pub session_cache: crate::session::cache::Settings,
    /// How long events are kept.
    pub event_retention: Duration,
    /// The database.
    pub store: crate::store::Settings,
    /// What encrypts tokens at rest.
    pub keys: EncryptionKeys,
    /// The targets of the gateway's routes, each with the certificates that its connections trust and present.
    pub targets: Vec<(Target, ClientTls)>,
    /// Logs and metrics.
    pub telemetry: crate::telemetry::Settings,
    /// Oddities that prevent nothing from working.
    pub warnings: Vec<Problem>,
}

impl Checked {
    /// All providers, of which there is one at least.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderSettings> {
        std::iter::once(&self.provider).chain(&self.further_providers)
    }
}

/// Checks all settings.
///
/// # Errors
/// Every problem, those of `problems` first; only those where the file could not be read.
pub fn check(raw: &Raw, problems: Problems) -> Result<Checked, Problems> {
    if raw.is_file_unread {
        return Err(problems);
    }
    let mut reader = Reader::new(raw, problems);
    let server = server::read(&mut reader);
    let default_target = forward::read(&mut reader);
    let (gateway, targets) = gateway::read(&mut reader, default_target).unzip();
    let ext_authz = ext_authz::read(&mut reader);
    let app_tokens = app_tokens::read(&mut reader, gateway.as_ref().map(|gateway| &gateway.routes));
    let mut providers = providers::read(&mut reader);
    let administration = administration::read(&mut reader, providers.as_deref().unwrap_or_default());
    let has_own_listener = administration.as_ref().is_some_and(|administration| administration.address.is_some());
    let administered_at = if has_own_listener { Entrance::Administration } else { Entrance::Public };
    warn_of_foreign_addresses(&mut reader, providers.as_deref().unwrap_or_default());
    let lacks_group_claim = lacks_group_claim(&mut reader, providers.as_deref().unwrap_or_default());
    let personal_tokens = bearer::personal(&mut reader);
    let (mut renewal, session) = (renewal::read(&mut reader), session::read(&mut reader, personal_tokens.as_ref()));
    let claims = claims_of_routes(gateway.as_ref());
    providers.iter_mut().flatten().for_each(|provider| provider.oidc.mapping.further.clone_from(&claims));
    renewal.iter_mut().for_each(|renewal| renewal.claims.clone_from(&claims));
    let bearer = bearer::read(&mut reader, renewal.as_ref());
    let providers_known = providers.as_deref().unwrap_or_default();
    let issuers: Vec<_> = providers_known.iter().map(|provider| provider.oidc.issuer.clone()).collect();
    let proxy = providers_known.first().map(|provider| provider.oidc.proxy.clone());
    let mut token_issuers = token_issuers::read(&mut reader, &issuers, &proxy.unwrap_or_default());
    token_issuers.iter_mut().for_each(|(issuer, _)| issuer.claims.clone_from(&claims));
    let session_cache = session::cache(&mut reader);
    let event_retention = store::event_retention(&mut reader);
    let (store, keys) = store::read(&mut reader);
    let telemetry = telemetry::read(&mut reader);
    let warnings = std::mem::take(&mut reader.warnings);
    let checked = || {
        let mut providers = providers?.into_iter();
        Some(Checked {
            server: crate::server::Settings { ext_authz: ext_authz?, ..server? },
            gateway: crate::gateway::Settings { lacks_group_claim, administered_at, ..gateway? },
            provider: providers.next()?,
            further_providers: providers.collect(),
            bearer: bearer?,
            token_issuers,
            administration,
            app_tokens,
            personal_tokens: personal_tokens?,
            renewal: renewal?,
            session: session?,
            session_cache: session_cache?,
            event_retention: event_retention?,
            store: store?,
            keys: keys?,
            targets: targets?,
            telemetry: telemetry?,
            warnings,
        })
    };
    checked().filter(|_| reader.problems.0.is_empty()).ok_or(reader.problems)
}

/// The paths of the claims that routes need, each once.
fn claims_of_routes(gateway: Option<&crate::gateway::Settings>) -> Vec<String> {
    let mut claims = BTreeSet::new();
    for route in gateway.into_iter().flat_map(|gateway| gateway.routes.iter()) {
        claims.extend(route.rule.policy().into_iter().flat_map(|policy| &policy.claims).map(|rule| rule.path.as_str()));
        claims.extend(route.identity.claims());
        claims.extend(route.assertion.as_ref().map(|_| AUTH_TIME));
    }
    claims.into_iter().map(str::to_owned).collect()
}

/// Warns of e-mail addresses that prove nothing. Any tenant's administrator may give an account of theirs any address (nOAuth, 2023), and
/// Microsoft Entra ID says of none whether it is verified.
fn warn_of_foreign_addresses(reader: &mut Reader<'_>, providers: &[ProviderSettings]) {
    let believes_all =
        |provider: &&ProviderSettings| provider.oidc.serves_many_tenants() && provider.oidc.mapping.ignore_email_verified;
    let asks = |table: &RouteTable| ["email_domains", "emails", "emails_file"].iter().any(|key| table.contains_key(*key));
    let routes_ask = reader.routes().iter().any(asks);
    let asks_or_rules = |provider: &ProviderSettings| {
        !provider.policy.email_domains.is_empty() || provider.policy.emails.is_given() || routes_ask
    };
    if providers.iter().filter(believes_all).any(asks_or_rules) {
        reader.warn(
            &claims::IGNORE_EMAIL_VERIFIED,
            "is set, the issuer is for the accounts of every organization, and a rule asks for an e-mail address or its \
             domain: whoever administers any organization can write such an address (nOAuth); name the tenant in CODER_OIDC_ISSUER_URL, \
             or let groups decide",
        );
    }
}

/// Whether routes ask for groups while no claim holds any, so that nobody passes them.
fn lacks_group_claim(reader: &mut Reader<'_>, providers: &[ProviderSettings]) -> bool {
    let has_no_claim = !providers.is_empty() && providers.iter().all(|provider| provider.oidc.mapping.groups.is_none());
    let lacks = has_no_claim && reader.routes().iter().any(|table| table.contains_key("groups"));
    if lacks {
        reader.warn(&claims::GROUP_FIELD, "is not set, so that nobody may take the routes that ask for groups");
    }
    lacks
}

impl Raw {
    /// Where a health check finds the server, whatever else is wrong with the settings.
    pub fn own_address(&self) -> Option<(SocketAddr, String)> {
        let mut reader = Reader::new(self, Problems::default());
        let address = reader.parsed(&server::HTTP_ADDRESS, values::address)?;
        Some((address, reader.parsed(&gateway::PATH_PREFIX, gateway::path_prefix)?))
    }

    /// The store and its keys, for commands that need nothing else.
    ///
    /// # Errors
    /// The problems of these settings; only those found before where the file could not be read.
    pub fn store(&self, problems: Problems) -> Result<(crate::store::Settings, EncryptionKeys), Problems> {
        if self.is_file_unread {
            return Err(problems);
        }
        let mut reader = Reader::new(self, problems);
        match store::read(&mut reader) {
            (Some(store), Some(keys)) if reader.problems.0.is_empty() => Ok((store, keys)),
            (_, _) => Err(reader.problems),
        }
    }
}
