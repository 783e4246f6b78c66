//! What a request meets, from the gateway inwards: built at the start, and anew at each reload of the settings. What lasts from one
//! to the next, such as the sessions in memory, is in [`Core`].

use std::{collections::BTreeSet, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::{certificate_expiry, collected::Collected, components::Core, email_files, foundations::Foundations};
use crate::{
    administration::Administration,
    admission::Admission,
    app_tokens::{self, AppTokens},
    config::with_targets,
    deprovisioning::Deprovisioning,
    endpoints::{self, Administrators, Endpoints, health::Health},
    forward::{Forwarder, Target},
    gateway::{self, Gateway},
    kept_posts::KeptPosts,
    lock::RwLock,
    personal_tokens::PersonalTokens,
    routing::Routes,
    session::FormSeals,
    sign_in::{LoginParts, SignIn, SignIns},
    sign_out::SignOut,
    tls::{CertificateFile, ClientTls, client_configs},
};

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
        Arc::clone(&self.0.read().gateway)
    }

    /// What answers an app's job that asks now, if jobs may ask.
    pub(super) fn app_tokens(&self) -> Option<Arc<AppTokens>> {
        self.0.read().app_tokens.clone()
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
        settings.routes.share_identities(&self.0.read().routes);
        let front = core.build(settings, targets)?;
        let old = std::mem::replace(&mut *self.0.write(), front);
        old.retired.cancel();
        Ok(())
    }
}

impl Core {
    fn build(&self, settings: gateway::Settings, targets: Vec<(Target, ClientTls)>) -> anyhow::Result<Front> {
        let certificate_files = with_targets(&self.certificate_files, &targets);
        certificate_expiry::tell(&certificate_files, &self.foundations.metrics);
        let targets = client_configs(targets)?;
        let routes = settings.routes.iter().filter_map(|route| route.rule.policy());
        let files = routes.chain(self.policies.iter()).filter_map(|policy| policy.emails.file()).cloned().collect();
        let (exchange, all_routes) = (&settings.exchange, settings.routes.clone());
        let cookies = exchange.cookies.clone();
        let sign_ins = self.sign_ins_of(&settings);
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
        let kept_posts = self.kept_posts(&settings);
        let Foundations { metrics, timings, .. } = self.foundations.clone();
        let telling = certificate_expiry::run(certificate_files.clone(), metrics, timings.housekeeping_interval);
        let endpoints = Endpoints::new(endpoints::Components {
            prefix: settings.prefix.clone(),
            routes: settings.routes.clone(),
            cookies: cookies.clone(),
            branding: Arc::clone(&settings.branding),
            admission: Arc::clone(&admission),
            personal_tokens: self.personal_tokens(&settings, &sign_out),
            form_seals: kept_posts.form_seals.clone(),
            kept_posts: kept_posts.clone(),
            sign_ins,
            deprovisioning: Deprovisioning { sign_out: sign_out.clone() },
            sign_out,
            assertions: Arc::clone(&self.assertions),
            administrators: self.administrators(&settings, certificate_files),
            health: self.health(&settings),
        });
        let app_tokens = self.app_tokens(&settings);
        let gateway = Gateway::new(gateway::Components {
            settings,
            admission,
            endpoints,
            forwarder: Forwarder::new(
                targets,
                &cookies,
                self.shutdown.tunnels.clone(),
                self.shutdown.drain.clone(),
                self.foundations.timings.upstream_min_idle,
                &self.upstream_connections,
            ),
            kept_posts,
            access_log: self.access_log,
            metrics: self.foundations.metrics.clone(),
            tracer: self.tracer,
        });
        let retired = self.shutdown.background.child_token();
        let watching = email_files::run(files, Arc::clone(&self.visitors), self.foundations.timings.email_files_interval);
        let ended = retired.clone();
        self.shutdown.work.spawn(async move { ended.run_until_cancelled(watching).await });
        let ended = retired.clone();
        self.shutdown.work.spawn(async move { ended.run_until_cancelled(telling).await });
        self.foundations.metrics.config_in_force(self.foundations.clock.now().seconds());
        Ok(Front { gateway: Arc::new(gateway), app_tokens, routes: all_routes, retired })
    }

    /// The logins, which come back to the sites of these settings.
    fn sign_ins_of(&self, settings: &gateway::Settings) -> SignIns {
        let parts = Arc::new(LoginParts {
            prefix: settings.prefix.clone(),
            sites: settings.exchange.sites.clone(),
            login_site: settings.login_site(),
            marks_browsers: settings.routes.iter().any(|route| route.keeps_form_posts),
            ..self.sign_ins.parts().clone()
        });
        self.sign_ins.map(|sign_in| SignIn {
            parts: Arc::clone(&parts),
            redirect_uris: settings.callback_uris(sign_in.provider.name()),
            ..sign_in.clone()
        })
    }

    fn kept_posts(&self, settings: &gateway::Settings) -> KeptPosts {
        let Foundations { keys, store, metrics, clock, timings: _, known_clients: _ } = self.foundations.clone();
        KeptPosts {
            prefix: settings.prefix.clone(),
            store,
            keys: keys.clone(),
            cookies: settings.exchange.cookies.clone(),
            sessions: self.sign_ins.parts().sessions.clone(),
            form_seals: FormSeals { keys, clock: clock.clone() },
            clock,
            metrics,
            reads: self.form_reads.clone(),
        }
    }

    fn personal_tokens(&self, settings: &gateway::Settings, sign_out: &SignOut) -> PersonalTokens {
        PersonalTokens {
            settings: self.personal_tokens.clone(),
            routes: names_of_token_routes(&settings.routes),
            administration: self.administration.is_some(),
            store: self.foundations.store.clone(),
            keys: self.foundations.keys.clone(),
            sign_out: sign_out.clone(),
            clock: self.foundations.clock.clone(),
        }
    }

    /// Who administers, and by what, if anybody does.
    fn administrators(&self, settings: &gateway::Settings, certificate_files: Vec<CertificateFile>) -> Option<Administrators> {
        let (who, administration) = self.administration.as_ref()?;
        let signed_out_uris = settings.redirect_uris("signed_out");
        let sign_out = SignOut { signed_out_uris, ..administration.sign_out.clone() };
        Some(Administrators::new(who, Administration { sign_out, ..administration.clone() }, certificate_files))
    }

    fn health(&self, settings: &gateway::Settings) -> Health {
        let exchange = &settings.exchange;
        Health {
            store: self.foundations.store.clone(),
            visitors: Arc::clone(&self.visitors),
            providers: self.providers.clone(),
            certificates: self.certificates.clone(),
            draining: Arc::clone(&self.shutdown.draining),
            access_url_is_plain_http: exchange.serves_tls && !exchange.sites.main().is_https(),
            lacks_group_claim: settings.lacks_group_claim,
        }
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
            providers: self.providers.clone(),
            store: self.foundations.store.clone(),
            logged_user: self.access_log.user,
            clock: self.foundations.clock.clone(),
            metrics: self.foundations.metrics.clone(),
            wait: self.foundations.timings.blocking_refresh_wait,
            shared: Arc::clone(shared),
        })))
    }

    fn warn_of_certificates(&self, targets: &[(Target, ClientTls)]) {
        let mut warned = BTreeSet::new();
        for (_, trust) in targets {
            // One warning per client certificate, however many routes use it.
            if trust.client_certificate.as_ref().is_some_and(|(chain, _)| warned.insert(chain)) {
                trust.warn_of_validity(self.foundations.clock.now());
            }
        }
    }
}

/// The names of the routes that take personal access tokens.
fn names_of_token_routes(routes: &Routes) -> Vec<String> {
    let tokens = routes.iter().filter_map(|route| route.rule.tokens.as_ref());
    tokens.filter(|tokens| tokens.personal).map(|tokens| tokens.route.clone()).collect()
}
