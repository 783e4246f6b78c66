//! The composition root: the only module that builds the components and starts their tasks.

mod administration;
mod background;
mod descriptors;
mod email_files;
mod examination;
mod front;
mod listeners;
mod migration;
mod providers;
mod watched_file;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use futures_util::future::{OptionFuture, join_all};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    administration::Administration,
    app_tokens,
    assertion::Assertions,
    bearer::BearerTokens,
    clock::Clock,
    config::{Checked, EncryptionKeys, ProviderSettings},
    forward::Drain,
    gateway::{Caller, Entrance},
    oidc::{Provider, TokenIssuer},
    renewal::Renewer,
    seal::KeyRing,
    server,
    session::cache::SessionCache,
    sign_in::SignIn,
    sign_out::SignOut,
    store::Store,
    systemd::Sockets,
    telemetry::{metrics::Metrics, traces::Tracer},
    timings::Timings,
    tls::CertResolver,
    visitor::{Sources, Visitors},
};

use background::Background;
use descriptors::{connections_for, raise_descriptor_limit};
use front::{Collected, Core, CurrentFront};
use listeners::{Listeners, listen_for_jobs, serve_metrics};
use migration::migrate;
use providers::{policies, providers, sign_ins};

pub use administration::administer;
pub use examination::doctors;
pub use watched_file::WatchedFile;

/// Loads the keys that encrypt tokens.
///
/// # Errors
/// The key file can be neither read nor created.
pub fn keys(from: EncryptionKeys) -> anyhow::Result<KeyRing> {
    match from {
        EncryptionKeys::Given(ring) => Ok(ring),
        EncryptionKeys::File(path) => KeyRing::from_file(&path).with_context(|| format!("cannot use {}", path.display())),
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Running {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// The address that it listens on for TLS.
    pub tls_address: Option<SocketAddr>,
    /// The address of its metrics.
    pub metrics_address: Option<SocketAddr>,
    /// The address at which ingresses ask over gRPC.
    pub ext_authz_address: Option<SocketAddr>,
    /// The address at which the administration is reached, if it has one of its own.
    pub admin_address: Option<SocketAddr>,
    /// The address at which apps' jobs ask for tokens, on loopback.
    pub app_token_address: Option<SocketAddr>,
    /// Its metrics.
    pub metrics: Metrics,
    core: Core,
    front: Arc<CurrentFront>,
    /// The certificates that are served, with TLS.
    cert_resolver: Option<Arc<CertResolver>>,
    drain_deadline: Duration,
    unready_before_stop: Duration,
    draining: Arc<AtomicBool>,
    drain: Drain,
    stop: CancellationToken,
    background: CancellationToken,
    work: TaskTracker,
    tunnels: TaskTracker,
    serving: tokio::task::JoinHandle<()>,
    renewer: Renewer,
    store: Store,
    /// Stops the heartbeat, which goes on until the last token refresh is saved.
    heartbeat: CancellationToken,
}

/// How long the last events and heartbeat may take to be written.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// Starts a gateway with `settings`, whose background work and waits take `timings`.
///
/// # Errors
/// There are no keys, the store cannot be brought up to date, or an address cannot be listened on.
pub async fn start(settings: Checked, clock: Clock, timings: Timings) -> anyhow::Result<Running> {
    start_on(Sockets::default(), settings, clock, timings).await
}

/// The same, on sockets that were open before this process.
///
/// # Errors
/// As above, or nothing is served on one of the sockets.
pub async fn start_on(sockets: Sockets, settings: Checked, clock: Clock, timings: Timings) -> anyhow::Result<Running> {
    let names: Vec<_> = settings.providers().map(|provider| provider.oidc.name.as_str()).collect();
    let (metrics, keys) = (Metrics::for_providers(&names), keys(settings.keys.clone())?);
    let most_connections = connections_for(raise_descriptor_limit());
    let collected = Collected::for_routes(&settings.renewal.claims, &settings.gateway);
    let store = Store::open(&settings.store, keys.clone(), metrics.clone()).context("cannot open the store")?;
    let store = store.reading_id_tokens(collected.id_tokens);
    migrate(&store).await?;
    let (metrics_address, hosts) = (settings.telemetry.metrics_address, settings.gateway.exchange.sites.certificate_hosts());
    let admin_address = settings.administration.as_ref().and_then(|administration| administration.address);
    let Listeners { plain, secure, ext_authz, metrics: metrics_listener, administration: admin_listener } =
        Listeners::open(sockets, &settings.server, (metrics_address, admin_address), hosts, &clock).await?;
    let admin_address = admin_listener.as_ref().map(|listener| listener.socket.local_addr()).transpose()?;
    let (secure, cert_resolver) = secure.unzip();
    let address = plain.socket.local_addr()?;
    let tls_address = secure.as_ref().map(|listener| listener.socket.local_addr()).transpose()?;
    let ext_authz_address = ext_authz.as_ref().map(|listener| listener.socket.local_addr()).transpose()?;
    let metrics_address = metrics_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let app_token_listener = listen_for_jobs(settings.app_tokens.as_ref()).await?;
    let app_token_address = app_token_listener.as_ref().and_then(app_tokens::Listener::address);

    let (work, tunnels, background) = (TaskTracker::new(), TaskTracker::new(), CancellationToken::new());
    let (stop, draining) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
    let drain = Drain::new(settings.server.drain_deadline);
    let (providers, policies) = (providers(&settings, &clock)?, policies(&settings));
    let cache = Arc::new(SessionCache::new(&settings.session_cache, metrics.clone()));
    let renewer = Renewer::new(&settings.renewal, timings, &providers, store.clone(), clock.clone(), &metrics);
    let cookies = settings.gateway.exchange.cookies.clone();
    let sign_out = SignOut {
        providers: providers.clone(),
        store: store.clone(),
        signed_out_uris: settings.gateway.redirect_uris("signed_out"),
        keys: keys.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        tasks: work.clone(),
        revocations: Arc::default(),
        cache: Arc::clone(&cache),
        pending_ends: Arc::default(),
    };
    let visitors = Arc::new(Visitors::new(Sources {
        cookies: cookies.clone(),
        settings: settings.session.clone(),
        cache: Arc::clone(&cache),
        store: store.clone(),
        policies: policies.clone(),
        clock: clock.clone(),
    }));
    let issuers = settings.token_issuers.iter();
    let issuers = issuers.map(|(issuer, trust)| Ok(TokenIssuer::new(issuer.clone(), trust.client_config()?, clock.clone())));
    let issuers = issuers.collect::<anyhow::Result<_>>()?;
    let bearer = BearerTokens::new(settings.bearer.clone(), providers.clone(), issuers, clock.clone(), metrics.clone());
    let issuer = settings.gateway.exchange.sites.main().at("");
    let assertions = Arc::new(Assertions::new(keys.clone(), issuer, clock.clone()));
    let sign_in = |provider: &Arc<Provider>, own: &ProviderSettings| SignIn {
        redirect_uris: settings.gateway.callback_uris(provider.name()),
        prefix: settings.gateway.prefix.clone(),
        shares_login: settings.gateway.shares_login,
        cookies: cookies.clone(),
        sessions: settings.session.clone(),
        provider: Arc::clone(provider),
        providers: providers.clone(),
        policy: own.policy.clone(),
        text: own.text.clone(),
        email_domains: own.email_domains.clone(),
        marks_browsers: false,
        store: store.clone(),
        keys: keys.clone(),
        clock: clock.clone(),
        metrics: metrics.of_provider(provider.name()),
        refresh_tokens: Arc::default(),
        return_tos: Arc::default(),
        exchanges: Arc::default(),
        store_wait: timings.login_store_wait,
    };
    let sign_ins = sign_ins(&settings, &providers, sign_in)?;
    let administration = settings.administration.map(|who| {
        let administration = Administration {
            store: store.clone(),
            sign_out: sign_out.clone(),
            renewer: renewer.clone(),
            limits: settings.session.clone(),
            clock: clock.clone(),
            ends_everyone: Arc::default(),
        };
        (who, administration)
    });
    let core = Core {
        administration,
        store: store.clone(),
        visitors: Arc::clone(&visitors),
        renewer: renewer.clone(),
        sign_ins,
        sign_out: sign_out.clone(),
        assertions,
        bearer: Arc::new(bearer),
        personal_tokens: settings.personal_tokens,
        app_tokens: settings.app_tokens.map(|allowed| (allowed, Arc::default())),
        certificates: cert_resolver.clone(),
        draining: Arc::clone(&draining),
        drain: drain.clone(),
        tunnels: tunnels.clone(),
        policies,
        form_reads: Default::default(),
        access_log: settings.telemetry.access_log,
        tracer: settings.telemetry.traces.as_ref().map(Tracer::from),
        clock: clock.clone(),
        metrics: metrics.clone(),
        timings,
        collected,
        background: background.clone(),
        work: work.clone(),
    };
    let front = Arc::new(CurrentFront::new(&core, settings.gateway, settings.targets)?);
    let kept_store = store.clone();
    let tasks = Background {
        providers,
        store,
        visitors,
        certificates: cert_resolver.clone(),
        cache,
        sessions: settings.session,
        event_retention: settings.event_retention,
        renewer: renewer.clone(),
        sign_out,
        clock,
        timings,
        metrics: metrics.clone(),
        has_unwritten_last_seen: Arc::default(),
    };
    tasks.start(&background, &work);
    let heartbeat = CancellationToken::new();
    let (heartbeat_store, heartbeat_stop) = (kept_store.clone(), heartbeat.clone());
    tokio::spawn(async move { heartbeat_stop.run_until_cancelled(heartbeat_store.run_heartbeat()).await });
    if let Some(listener) = metrics_listener {
        work.spawn(serve_metrics(listener, metrics.clone(), background.clone()));
    }
    if let Some(listener) = app_token_listener {
        let asked = Arc::clone(&front);
        work.spawn(listener.serve(stop.clone(), move || asked.app_tokens()));
    }
    let served = Arc::clone(&front);
    let make_service = |entrance| {
        let served = Arc::clone(&served);
        move |peer: server::Peer| {
            let (front, caller) = (Arc::clone(&served), Arc::new(Caller::at(entrance, peer)));
            let (refusing, unread) = (Arc::clone(&served), Arc::clone(&caller));
            server::ConnectionService {
                respond: move |request| front.gateway().handle(Arc::clone(&caller), request),
                reject: Box::new(move |status| refusing.gateway().refuse_unread(&unread, status)),
            }
        }
    };
    if let Some(cert_resolver) = cert_resolver.clone() {
        let stop = background.clone();
        work.spawn(async move { stop.run_until_cancelled(cert_resolver.run_reload()).await });
    }
    let slots = Arc::new(Semaphore::new(most_connections));
    let serve = |entrance, listener| server::serve(listener, Arc::clone(&slots), stop.clone(), make_service(entrance));
    let asked = Arc::clone(&front);
    let make_call_service = move |peer: server::Peer| {
        let (front, caller) = (Arc::clone(&asked), Arc::new(Caller::at(Entrance::Public, peer)));
        let (refusing, unread) = (Arc::clone(&asked), Arc::clone(&caller));
        server::ConnectionService {
            respond: move |request| front.gateway().handle_call(Arc::clone(&caller), request),
            reject: Box::new(move |status| refusing.gateway().refuse_unread(&unread, status)),
        }
    };
    let serve_calls = |listener| server::serve(listener, Arc::clone(&slots), stop.clone(), make_call_service);
    let serving_calls = OptionFuture::from(ext_authz.map(serve_calls));
    let mut listeners = vec![serve(Entrance::Public, plain)];
    listeners.extend(secure.map(|listener| serve(Entrance::Public, listener)));
    listeners.extend(admin_listener.map(|listener| serve(Entrance::Administration, listener)));
    let serving = tokio::spawn(async move {
        tokio::join!(join_all(listeners), serving_calls);
    });
    tracing::info!(%address, tls.address = tls_address.map(tracing::field::display), connections.most = most_connections, "listening");
    Ok(Running {
        address,
        tls_address,
        metrics_address,
        ext_authz_address,
        admin_address,
        app_token_address,
        metrics,
        core,
        front,
        cert_resolver,
        drain_deadline: settings.server.drain_deadline,
        unready_before_stop: timings.unready_before_stop,
        draining,
        drain,
        stop,
        background,
        work,
        tunnels,
        serving,
        renewer,
        store: kept_store,
        heartbeat,
    })
}

impl Running {
    /// Reloads the certificates of `CODER_TLS_CERT_FILE` without waiting for the files to change.
    pub fn read_certificates_again(&self) {
        match &self.cert_resolver {
            Some(cert_resolver) => {
                let _is_logged = cert_resolver.reload();
            }
            None => tracing::info!("there are no certificates to reload, because CODER_TLS_ENABLE is not set"),
        }
    }

    /// Has new requests meet the routes of `settings`, which differ from those of the start in nothing else that matters to one that
    /// runs ([`Raw::reloaded`](crate::config::Raw::reloaded)). No connection ends.
    ///
    /// # Errors
    /// They need what takes a restart, or a file that they name cannot be used. Nothing is changed.
    pub fn reload(&self, settings: Checked) -> anyhow::Result<()> {
        let reloaded = self.front.replace(&self.core, &settings.renewal.claims, settings.gateway, settings.targets);
        reloaded.inspect_err(|_| self.metrics.config_refused())
    }

    /// Says that settings could not even be read.
    pub fn refuse_settings(&self) {
        self.metrics.config_refused();
    }

    /// The longest time that [`Self::stop`] takes.
    pub fn longest_stop(&self) -> Duration {
        self.unready_before_stop + self.drain_deadline + self.renewer.longest_finish() + LAST_WRITES
    }

    /// Shuts down gracefully: reports unready, stops accepting connections, lets requests finish, and ends tunnels and event
    /// streams one after the other in the second half of the drain. What has not finished by the deadline is cut off, except
    /// token refreshes, which are always saved. Returns `false` if something was cut off.
    pub async fn stop(self) -> bool {
        self.draining.store(true, Ordering::Release);
        tokio::time::sleep(self.unready_before_stop).await;
        self.stop.cancel();
        self.drain.begin();
        let finish = async {
            let _served = self.serving.await;
            self.tunnels.close();
            self.tunnels.wait().await;
            // Last, because while a tunnel is open, this replica must learn of the end of its session.
            self.background.cancel();
            self.work.close();
            self.work.wait().await;
        };
        let finished = tokio::time::timeout(self.drain_deadline, finish).await.is_ok();
        self.background.cancel();
        if !finished {
            tracing::warn!(
                deadline.seconds = self.drain_deadline.as_secs(),
                "requests were cut off because the shutdown deadline passed"
            );
        }
        let renewed = self.renewer.finish().await;
        // Token refreshes that finished after the event writer had stopped left events.
        self.store.flush_events().await;
        self.store.flush_provider_hours().await;
        self.heartbeat.cancel();
        self.store.stop_heartbeat().await;
        renewed && finished
    }

    /// Stops immediately, as a crash would: nothing is finished, nothing is written.
    pub fn abort(self) {
        self.serving.abort();
        self.stop.cancel();
        self.background.cancel();
        self.heartbeat.cancel();
    }
}
