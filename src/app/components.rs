//! The components that last as long as the process.

use std::sync::Arc;

use super::{
    collected::Collected,
    foundations::Foundations,
    providers::{policies, providers, sign_ins},
    shutdown::Shutdown,
};
use crate::{
    administration::{self, Administration},
    app_tokens,
    assertion::Assertions,
    bearer::BearerTokens,
    config::Checked,
    forward::UpstreamConnections,
    kept_posts,
    oidc::{Providers, TokenIssuer},
    personal_tokens,
    policy::Policies,
    renewal::Renewer,
    session::cache::SessionCache,
    sign_in::SignIns,
    sign_out::SignOut,
    telemetry::{AccessLog, traces::Tracer},
    tls::{CertResolver, CertificateFile},
    visitor::{Sources, Visitors},
};

/// What a gateway is built from besides its settings: it lasts from one reload to the next, as the sessions in memory do.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) foundations: Foundations,
    pub(super) shutdown: Shutdown,
    /// The connections to all apps, whatever the settings say of them.
    pub(super) upstream_connections: UpstreamConnections,
    /// The certificates that are served, with TLS.
    pub(super) certificates: Option<Arc<CertResolver>>,
    /// Those that are presented and trusted, without those of the targets.
    pub(super) certificate_files: Vec<CertificateFile>,
    pub(super) providers: Providers,
    pub(super) policies: Policies,
    pub(super) cache: Arc<SessionCache>,
    pub(super) visitors: Arc<Visitors>,
    pub(super) renewer: Renewer,
    /// With the redirect URIs of the start.
    pub(super) sign_ins: SignIns,
    /// Likewise.
    pub(super) sign_out: SignOut,
    pub(super) assertions: Arc<Assertions>,
    pub(super) bearer: Arc<BearerTokens>,
    pub(super) personal_tokens: personal_tokens::Settings,
    /// Who administers, and with what, if anybody does.
    pub(super) administration: Option<(administration::Settings, Administration)>,
    /// What apps' jobs are answered with, if they are.
    pub(super) app_tokens: Option<(app_tokens::Settings, Arc<app_tokens::Shared>)>,
    /// Limits how many forms are read to be kept.
    pub(super) form_reads: kept_posts::Reads,
    pub(super) access_log: AccessLog,
    pub(super) tracer: Option<Tracer>,
    /// What logins are asked for.
    pub(super) collected: Collected,
}

impl Core {
    /// Builds everything, and starts nothing.
    ///
    /// # Errors
    /// A file that is named for a provider or an issuer cannot be used.
    pub(super) fn new(
        settings: &Checked,
        foundations: Foundations,
        shutdown: Shutdown,
        upstream_connections: UpstreamConnections,
        certificates: Option<Arc<CertResolver>>,
    ) -> anyhow::Result<Self> {
        let (providers, policies) = (providers(settings, &foundations.known_clients, &foundations.clock)?, policies(settings));
        let cache = Arc::new(SessionCache::new(&settings.session_cache, foundations.metrics.clone()));
        let visitors = Visitors::new(Sources {
            cookies: settings.gateway.exchange.cookies.clone(),
            settings: settings.session.clone(),
            cache: Arc::clone(&cache),
            store: foundations.store.clone(),
            policies: policies.clone(),
            clock: foundations.clock.clone(),
        });
        let renewer = foundations.renewer(settings, &providers);
        let sign_out = foundations.sign_out(settings, &providers, Arc::clone(&cache), shutdown.work.clone());
        let administration = settings.administration.clone().map(|who| {
            let administration = foundations.administration(settings, sign_out.clone(), renewer.clone());
            (who, administration)
        });
        Ok(Self {
            upstream_connections,
            certificates,
            certificate_files: settings.certificate_files(),
            visitors: Arc::new(visitors),
            sign_ins: sign_ins(settings, &foundations, &providers, &shutdown.work)?,
            assertions: Arc::new(assertions(settings, &foundations)),
            bearer: Arc::new(bearer(settings, &foundations, &providers)?),
            personal_tokens: settings.personal_tokens.clone(),
            administration,
            app_tokens: settings.app_tokens.clone().map(|allowed| (allowed, Arc::default())),
            form_reads: kept_posts::Reads::default(),
            access_log: settings.telemetry.access_log,
            tracer: settings.telemetry.traces.as_ref().map(Tracer::from),
            collected: Collected::for_routes(&settings.renewal.claims, &settings.gateway),
            foundations,
            shutdown,
            providers,
            policies,
            cache,
            renewer,
            sign_out,
        })
    }
}

fn bearer(settings: &Checked, foundations: &Foundations, providers: &Providers) -> anyhow::Result<BearerTokens> {
    let clock = &foundations.clock;
    let issuers = settings.token_issuers.iter();
    let issuers = issuers.map(|(issuer, trust)| Ok(TokenIssuer::new(issuer.clone(), trust.client_config()?, clock.clone())));
    let issuers = issuers.collect::<anyhow::Result<_>>()?;
    let (clock, metrics) = (clock.clone(), foundations.metrics.clone());
    Ok(BearerTokens::new(settings.bearer.clone(), providers.clone(), issuers, clock, metrics))
}

fn assertions(settings: &Checked, foundations: &Foundations) -> Assertions {
    let issuer = settings.gateway.exchange.sites.main().at("");
    Assertions::new(foundations.keys.clone(), issuer, foundations.clock.clone())
}
