//! Builds the providers, and what belongs to each.

use std::sync::Arc;

use anyhow::Context;
use tokio_util::task::TaskTracker;

use super::foundations::Foundations;
use crate::{
    client_registration::ClientRegistration,
    clock::Clock,
    config::{Checked, ProviderSettings},
    oidc::{Provider, Providers},
    policy::{Policies, ProviderPolicy},
    sign_in::{BrowserTurns, LoginParts, SignIn, SignIns},
    store::{KnownClients, Store},
    telemetry::logs::causes,
};

/// The providers, none of which is called yet. `known` are the clients that Evergate is or was at them.
///
/// # Errors
/// A client's private key, or a certificate towards a provider, cannot be used.
pub(super) fn providers(settings: &Checked, known: &KnownClients, clock: &Clock) -> anyhow::Result<Providers> {
    let build = |provider: &ProviderSettings| -> anyhow::Result<Arc<Provider>> {
        if provider.trust.client_certificate.is_some() {
            provider.trust.warn_of_validity(clock.now());
        }
        Ok(Arc::new(Provider::new(provider.oidc.clone(), provider.trust.client_config()?, clock.clone())?))
    };
    let further = settings.further_providers.iter().map(build).collect::<anyhow::Result<_>>()?;
    let providers = Providers::new(build(&settings.provider)?, further);
    providers.follow(|registration| known.lineage_of(registration));
    Ok(providers)
}

/// Reads which clients Evergate was, and records those that it is. The log tells of users who were locked out at one that is none of
/// them any more.
///
/// # Errors
/// The store cannot be read.
pub(super) async fn known_clients(store: &Store, settings: &Checked) -> anyhow::Result<KnownClients> {
    let oidc = settings.providers().map(|of| &of.oidc);
    let configured: Vec<_> = oidc.map(|of| ClientRegistration { issuer: &of.issuer, client_id: &of.client_id }).collect();
    let known = match store.record_clients(&configured).await {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!(error = causes(&error), "the store does not record which clients Evergate is");
            store.known_clients().await.context("the store cannot be read")?.after_start(&configured)
        }
    };
    for client in known.iter().filter(|client| client.locked_out > 0) {
        let (issuer, client_id) = (client.issuer.as_str(), client.client_id.as_str());
        let followers = known.lineage_of(ClientRegistration { issuer, client_id });
        let is_it = |of: &ProviderSettings| of.oidc.client_id == client_id || followers.contains(&of.oidc.client_id.as_str());
        let its = |of: &&ProviderSettings| of.oidc.issuer == issuer && is_it(of);
        match settings.providers().find(its) {
            Some(provider) if provider.oidc.scim_secret.is_none() => tracing::warn!(
                oidc.issuer = issuer,
                client.id = client_id,
                users = client.locked_out,
                "users whom a directory has deactivated stay locked out, and no directory can let them in: there is no \
                 CODER_SCIM_AUTH_HEADER any more; docs/deprovisioning.md says how they are let in"
            ),
            Some(_) => {}
            None => tracing::error!(
                oidc.issuer = issuer,
                client.id = client_id,
                users = client.locked_out,
                "users whom a directory has deactivated are let in again: they were locked out at an issuer and a client that no \
                 provider of the settings is, nor has come after; docs/deprovisioning.md says what to do"
            ),
        }
    }
    Ok(known)
}

/// The policies for the users of each provider.
pub(super) fn policies(settings: &Checked) -> Policies {
    Policies::new(settings.providers().map(|provider| ProviderPolicy {
        issuer: provider.oidc.issuer.clone(),
        client_id: provider.oidc.client_id.clone(),
        policy: provider.policy.clone(),
    }))
}

/// The logins at these providers.
pub(super) fn sign_ins(
    settings: &Checked,
    foundations: &Foundations,
    providers: &Providers,
    tasks: &TaskTracker,
) -> anyhow::Result<SignIns> {
    let parts = Arc::new(LoginParts {
        prefix: settings.gateway.prefix.clone(),
        sites: settings.gateway.exchange.sites.clone(),
        shares_login: settings.gateway.shares_login,
        login_site: settings.gateway.login_site(),
        cookies: settings.gateway.exchange.cookies.clone(),
        marks_browsers: false,
        sessions: settings.session.clone(),
        providers: providers.clone(),
        store: foundations.store.clone(),
        store_wait: foundations.timings.login_store_wait,
        return_tos: Arc::default(),
        turns: Arc::new(BrowserTurns::new(foundations.timings.tabs_apart)),
        tasks: tasks.clone(),
        keys: foundations.keys.clone(),
        clock: foundations.clock.clone(),
    });
    let sign_in = |(provider, own): (&Arc<Provider>, &ProviderSettings)| SignIn {
        parts: Arc::clone(&parts),
        provider: Arc::clone(provider),
        redirect_uris: settings.gateway.callback_uris(provider.name()),
        text: own.text.clone(),
        email_domains: own.email_domains.clone(),
        policy: own.policy.clone(),
        metrics: foundations.metrics.of_provider(provider.name()),
        refresh_tokens: Arc::default(),
        exchanges: Arc::default(),
    };
    let mut all = providers.iter().zip(settings.providers()).map(sign_in);
    let first = all.next().context("there is no provider")?;
    Ok(SignIns::new(first, all.collect()))
}
