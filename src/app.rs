//! The composition root: the only module that builds the components and starts their tasks.

mod running;

mod collected;
mod components;
mod foundations;
mod providers;

mod front;
mod serving;

mod background;
mod certificate_expiry;
mod email_files;
mod migration;
mod shutdown;

mod descriptors;
mod listeners;
mod metrics_listener;

mod administration;
mod examination;
mod watched_file;

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock, config::Checked, forward::UpstreamConnections, server::ConnectionSlots, session, systemd::Sockets,
    telemetry::metrics::Metrics, timings::Timings,
};

use background::Background;
use collected::Collected;
use components::Core;
use descriptors::{connections_for, raise_descriptor_limit};
use foundations::Foundations;
use front::CurrentFront;
use listeners::{Addresses, Listeners};
use metrics_listener::serve_metrics;
use migration::migrate;
use providers::known_clients;
use shutdown::Shutdown;

pub use administration::administer;
pub use examination::doctors;
pub use foundations::keys;
pub use running::Running;
pub use watched_file::WatchedFile;

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
    let most_connections = connections_for(raise_descriptor_limit());
    let foundations = prepare(&settings, clock, timings).await?;
    let listeners = Listeners::open(sockets, &settings, &foundations.clock).await?;
    let addresses = listeners.addresses()?;
    let drain_deadline = settings.server.drain_deadline;
    let shutdown = Shutdown::new(drain_deadline);
    let certificates = listeners.certificates.clone();
    let core = Core::new(&settings, foundations, shutdown.clone(), UpstreamConnections::new(most_connections), certificates)?;
    let front = Arc::new(CurrentFront::new(&core, settings.gateway, settings.targets)?);
    start_background(&core, settings.session, settings.event_retention);
    let (metrics, slots) = (core.foundations.metrics.clone(), ConnectionSlots::with_reserve(most_connections));
    if let Some(listener) = listeners.metrics {
        shutdown.work.spawn(serve_metrics(listener, metrics.clone(), Arc::clone(&slots), shutdown.background.clone()));
    }
    if let Some(listener) = listeners.jobs {
        let asked = Arc::clone(&front);
        shutdown.work.spawn(listener.serve(shutdown.stop.clone(), move || asked.app_tokens()));
    }
    let serving = listeners.served.start(&front, &slots, &shutdown.stop);
    let Addresses { plain, secure, metrics: metrics_address, ext_authz, administration, jobs } = addresses;
    tracing::info!(address = %plain, tls.address = secure.map(display), connections.most = most_connections, "listening");
    Ok(Running {
        address: plain,
        tls_address: secure,
        metrics_address,
        ext_authz_address: ext_authz,
        admin_address: administration,
        app_token_address: jobs,
        metrics,
        core,
        front,
        drain_deadline,
        serving,
    })
}

/// Opens the store, and brings it up to date.
async fn prepare(settings: &Checked, clock: Clock, timings: Timings) -> anyhow::Result<Foundations> {
    let names: Vec<_> = settings.providers().map(|provider| provider.oidc.name.as_str()).collect();
    let mut foundations = Foundations::new(settings, Metrics::for_providers(&names), clock, timings)?;
    let collected = Collected::for_routes(&settings.renewal.claims, &settings.gateway);
    foundations.store = foundations.store.reading_id_tokens(collected.id_tokens);
    migrate(&foundations.store).await?;
    foundations.known_clients = Box::pin(known_clients(&foundations.store, settings)).await?;
    Ok(foundations)
}

fn start_background(core: &Core, sessions: session::Settings, event_retention: Duration) {
    let Shutdown { background, work, heartbeat, .. } = &core.shutdown;
    Background::of(core, sessions, event_retention).start(background, work);
    let (store, stop) = (core.foundations.store.clone(), heartbeat.clone());
    tokio::spawn(async move { stop.run_until_cancelled(store.run_heartbeat()).await });
}
