//! What a request meets, from the gateway inwards: built at the start, and anew at each reload of the settings. What lasts from one
//! to the next, such as the sessions in memory, is in [`Core`].

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicBool},
};

use anyhow::bail;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::email_files;
use crate::{
    administration::{self, Administration},
    admission::Admission,
    app_tokens::{self, AppTokens},
    assertion::Assertions,
    bearer::BearerTokens,
    clock::Clock,
    deprovisioning::Deprovisioning,
    endpoints::{self, Administrators, Endpoints, health::Health},
    forward::{Drain, Forwarder, Target},
    gateway::{self, Gateway},
    kept_posts::{self, KeptPosts},
    personal_tokens::{self, PersonalTokens},
    policy::Policies,
    renewal::Renewer,
    routing::Routes,
    session::FormSeals,
    sign_in::{SignIn, SignIns},
    sign_out::SignOut,
    store::Store,
    telemetry::{AccessLog, metrics::Metrics, traces::Tracer},
    timings::Timings,
    tls::{CertResolver, ClientTls},
    visitor::Visitors,
};

/// What a gateway is built from besides its settings.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) store: Store,
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
    pub(super) certificates: Option<Arc<CertResolver>>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) drain: Drain,
    pub(super) tunnels: TaskTracker,
    pub(super) policies: Policies,
    /// Limits how many forms are read to be kept.
    pub(super) form_reads: kept_posts::Reads,
    pub(super) access_log: AccessLog,
    pub(super) tracer: Option<Tracer>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) timings: Timings,
    /// What logins are asked for.
    pub(super) collected: Collected,
    /// Background work, which ends with it.
    pub(super) background: CancellationToken,
    pub(super) work: TaskTracker,
}

/// What is kept of a user's tokens beyond what every route needs. What a route needs besides has to be asked for from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Collected {
    /// The paths of claims.
    pub(super) claims: Vec<String>,
    /// Whether ID tokens are read.
    pub(super) id_tokens: bool,
}

impl Collected {
    /// What these settings need.
    pub(super) fn for_routes(claims: &[String], settings: &gateway::Settings) -> Self {
        let id_tokens = settings.routes.iter().any(|route| route.identity.has_id_token());
        Self { claims: claims.to_vec(), id_tokens }
    }

    /// # Errors
    /// Something that `wanted` has is missing.
    fn check(&self, wanted: &Self) -> anyhow::Result<()> {
        if let Some(claim) = wanted.claims.iter().find(|claim| !self.claims.contains(claim)) {
            bail!("a route needs the claim {claim}, which is not kept of users since the start; it takes a restart");
        }
        if wanted.id_tokens && !self.id_tokens {
            bail!("a route sends the ID token, which is not read since the start; it takes a restart");
        }
        Ok(())
    }
}

/// The gateway that takes new requests.
#[derive(Debug)]
pub(super) struct CurrentFront(RwLock<Front>);

#[derive(Debug)]
struct Front {
    gateway: Arc<Gateway>,
    app_tokens: Option<Arc<AppTokens>>,
    routes: Routes,
    /// Ends what watches its files.
    retired: CancellationToken,
}

impl CurrentFront {
    /// The first one.
    ///
    /// # Errors
    /// A file that a target names cannot be used.
    pub(super) fn new(core: &Core, settings: gateway::Settings, targets: Vec<(Target, ClientTls)>) -> anyhow::Result<Self> {
        core.warn_of_certificates(&targets);
        core.build(settings, targets).map(|front| Self(RwLock::new(front)))
    }

    /// The gateway for a request that arrives now. It keeps it to the end.
    pub(super) fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).gateway)
    }

    /// What answers an app's job that asks now, if jobs may ask.
    pub(super) fn app_tokens(&self) -> Option<Arc<AppTokens>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).app_tokens.clone()
    }

    /// Has new requests meet these settings. Requests under way and tunnels go on as they are.
    ///
    /// # Errors
    /// They need what is not collected of users, or a file that a target names cannot be used. Nothing is changed.
    pub(super) fn replace(
        &self,
        core: &Core,
        claims: &[String],
        settings: gateway::Settings,
        targets: Vec<(Target, ClientTls)>,
    ) -> anyhow::Result<()> {
        core.collected.check(&Collected::for_routes(claims, &settings))?;
        core.warn_of_certificates(&targets);
        let mut settings = settings;
        settings.routes.share_identities(&self.0.read().unwrap_or_else(PoisonError::into_inner).routes);
        let front = core.build(settings, targets)?;
        let old = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), front);
        old.retired.cancel();
        Ok(())
    }
}

impl Core {
    fn build(&self, settings: gateway::Settings, targets: Vec<(Target, ClientTls)>) -> anyhow::Result<Front> {
        let targets = targets.into_iter().map(|(target, trust)| Ok((target, trust.client_config()?)));
        let targets = targets.collect::<anyhow::Result<_>>()?;
        let routes = settings.routes.iter().filter_map(|route| route.rule.policy());
        let files = routes.chain(self.policies.iter()).filter_map(|policy| policy.emails.file()).cloned().collect();
        let (exchange, all_routes) = (&settings.exchange, settings.routes.clone());
        let cookies = exchange.cookies.clone();
        let sign_ins = self.sign_ins.map(|sign_in| SignIn {
            redirect_uris: settings.callback_uris(sign_in.provider.name()),
            prefix: settings.prefix.clone(),
            marks_browsers: settings.routes.iter().any(|route| route.keeps_form_posts),
            ..sign_in.clone()
        });
        let sign_out = SignOut { signed_out_uris: settings.redirect_uris("signed_out"), ..self.sign_out.clone() };
        let admission = Arc::new(Admission {
            visitors: Arc::clone(&self.visitors),
            renewer: self.renewer.clone(),
            sign_ins: sign_ins.clone(),
            policies: self.policies.clone(),
            cross_origin: exchange.cross_origin.clone(),
            assertions: Arc::clone(&self.assertions),
            bearer: Arc::clone(&self.bearer),
        });
        let form_seals = FormSeals { keys: self.sign_out.keys.clone(), clock: self.clock.clone() };
        let kept_posts = KeptPosts {
            prefix: settings.prefix.clone(),
            store: self.store.clone(),
            keys: self.sign_out.keys.clone(),
            cookies: cookies.clone(),
            sessions: self.sign_ins.first().sessions.clone(),
            form_seals: form_seals.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            reads: self.form_reads.clone(),
        };
        let endpoints = Endpoints::new(endpoints::Components {
            prefix: settings.prefix.clone(),
            routes: settings.routes.clone(),
            cookies: cookies.clone(),
            branding: Arc::clone(&settings.branding),
            admission: Arc::clone(&admission),
            personal_tokens: PersonalTokens {
                settings: self.personal_tokens.clone(),
                routes: names_of_token_routes(&settings.routes),
                administration: self.administration.is_some(),
                store: self.store.clone(),
                keys: self.sign_out.keys.clone(),
                sign_out: sign_out.clone(),
                clock: self.clock.clone(),
            },
            form_seals,
            kept_posts: kept_posts.clone(),
            sign_ins,
            deprovisioning: Deprovisioning { sign_out: sign_out.clone() },
            sign_out,
            assertions: Arc::clone(&self.assertions),
            administrators: self.administration.as_ref().map(|(who, administration)| {
                let sign_out =
                    SignOut { signed_out_uris: settings.redirect_uris("signed_out"), ..administration.sign_out.clone() };
                Administrators::new(who, Administration { sign_out, ..administration.clone() })
            }),
            health: Health {
                store: self.store.clone(),
                certificates: self.certificates.clone(),
                draining: Arc::clone(&self.draining),
                access_url_is_plain_http: exchange.serves_tls && !exchange.sites.main().is_https(),
                lacks_group_claim: settings.lacks_group_claim,
            },
        });
        let app_tokens = self.app_tokens(&settings);
        let gateway = Gateway::new(gateway::Components {
            settings,
            admission,
            endpoints,
            forwarder: Forwarder::new(targets, &cookies, self.tunnels.clone(), self.drain.clone()),
            kept_posts,
            access_log: self.access_log,
            metrics: self.metrics.clone(),
            tracer: self.tracer,
        });
        let retired = self.background.child_token();
        let watching = email_files::run(files, Arc::clone(&self.visitors), self.timings.email_files_interval);
        let ended = retired.clone();
        self.work.spawn(async move { ended.run_until_cancelled(watching).await });
        self.metrics.config_in_force(self.clock.now().seconds());
        Ok(Front { gateway: Arc::new(gateway), app_tokens, routes: all_routes, retired })
    }

    /// What answers apps' jobs, if they may ask.
    fn app_tokens(&self, settings: &gateway::Settings) -> Option<Arc<AppTokens>> {
        let (allowed, shared) = self.app_tokens.as_ref()?;
        Some(Arc::new(AppTokens::new(app_tokens::Components {
            settings: allowed.clone(),
            prefix: settings.prefix.clone(),
            routes: settings.routes.clone(),
            policies: self.policies.clone(),
            visitors: Arc::clone(&self.visitors),
            renewer: self.renewer.clone(),
            assertions: Arc::clone(&self.assertions),
            providers: self.sign_out.providers.clone(),
            store: self.store.clone(),
            logged_user: self.access_log.user,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            wait: self.timings.blocking_refresh_wait,
            shared: Arc::clone(shared),
        })))
    }

    fn warn_of_certificates(&self, targets: &[(Target, ClientTls)]) {
        let mut warned = BTreeSet::new();
        for (_, trust) in targets {
            // One warning per client certificate, however many routes use it.
            if trust.client_certificate.as_ref().is_some_and(|(chain, _)| warned.insert(chain)) {
                trust.warn_of_validity(self.clock.now());
            }
        }
    }
}

/// The names of the routes that take personal access tokens.
fn names_of_token_routes(routes: &Routes) -> Vec<String> {
    let tokens = routes.iter().filter_map(|route| route.rule.tokens.as_ref());
    tokens.filter(|tokens| tokens.personal).map(|tokens| tokens.route.clone()).collect()
}
