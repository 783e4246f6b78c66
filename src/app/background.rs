//! Background tasks: provider discovery, change notifications, last-seen times, housekeeping.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{components::Core, foundations::Foundations};
use crate::{
    clock::Clock,
    deprovisioning::Deprovisioning,
    oidc::Providers,
    renewal::Renewer,
    session::{self, cache::SessionCache},
    sign_out::SignOut,
    store::{Change, Expired, Hearing, Store},
    telemetry::metrics::Metrics,
    timings::Timings,
    tls::CertResolver,
    visitor::Visitors,
};

/// How often missing encryption keys are looked for, which reads all rows.
const KEY_CHECK_INTERVAL: Duration = Duration::from_secs(3600);
const TOUCH_BATCH: usize = 200;

/// The components that the background tasks use.
#[derive(Clone)]
pub(super) struct Background {
    pub(super) providers: Providers,
    pub(super) store: Store,
    pub(super) visitors: Arc<Visitors>,
    pub(super) certificates: Option<Arc<CertResolver>>,
    pub(super) cache: Arc<SessionCache>,
    pub(super) sessions: session::Settings,
    pub(super) event_retention: Duration,
    pub(super) renewer: Renewer,
    pub(super) sign_out: SignOut,
    pub(super) clock: Clock,
    pub(super) timings: Timings,
    pub(super) metrics: Metrics,
    /// Whether last-seen times wait to be written.
    pub(super) has_unwritten_last_seen: Arc<AtomicBool>,
}

impl Background {
    /// The tasks of a gateway of these components.
    pub(super) fn of(core: &Core, sessions: session::Settings, event_retention: Duration) -> Self {
        let Foundations { keys: _, store, metrics, clock, timings, known_clients: _ } = core.foundations.clone();
        Self {
            providers: core.providers.clone(),
            store,
            visitors: Arc::clone(&core.visitors),
            certificates: core.certificates.clone(),
            cache: Arc::clone(&core.cache),
            sessions,
            event_retention,
            renewer: core.renewer.clone(),
            sign_out: core.sign_out.clone(),
            clock,
            timings,
            metrics,
            has_unwritten_last_seen: Arc::default(),
        }
    }

    pub(super) fn start(self, stop: &CancellationToken, tracker: &TaskTracker) {
        let spawn = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let stop = stop.clone();
            tracker.spawn(async move { stop.run_until_cancelled(task).await });
        };
        let all = self;
        for provider in all.providers.iter().map(Arc::clone) {
            spawn(Box::pin(async move { provider.run_discovery().await }));
        }
        for provider in all.providers.iter().filter(|provider| provider.polls_for_events()).map(Arc::clone) {
            let (deprovisioning, timings) = (Deprovisioning { sign_out: all.sign_out.clone() }, all.timings);
            let stop = stop.clone();
            // Not cancelled but notified, so that it gives its turn back.
            tracker.spawn(async move { Box::pin(deprovisioning.poll(&provider, timings, stop)).await });
        }
        let this = all.clone();
        spawn(Box::pin(async move {
            let visitors = Arc::clone(&this.visitors);
            this.store.run_listener(move |hearing| visitors.set_listener_connected(hearing != Hearing::Nothing)).await;
        }));
        let this = all.clone();
        spawn(Box::pin(async move { this.apply_changes().await }));
        let this = all.clone();
        spawn(Box::pin(async move { this.check_for_missing_keys().await }));
        let this = all.clone();
        spawn(Box::pin(async move { this.sign_out.run_revocations(this.timings.revocation_interval).await }));
        let this = all.clone();
        spawn(Box::pin(async move { this.visitors.cut_ended_connections().await }));
        let this = all.clone();
        spawn(Box::pin(async move { this.visitors.follow_ended_users().await }));
        let store = all.store.clone();
        spawn(Box::pin(async move { store.run_repairs().await }));
        let store = all.store.clone();
        spawn(Box::pin(async move { store.run_end_memory().await }));
        let this = all.clone();
        spawn(Box::pin(async move { this.visitors.reload_changed_grants().await }));
        let this = all.clone();
        spawn(Box::pin(async move { this.run_housekeeping().await }));
        if let Some(certificates) = all.certificates.clone() {
            spawn(Box::pin(async move { certificates.run_reload().await }));
        }
        let this = all.clone();
        spawn(Box::pin(async move { this.renewer.refresh_before_idle_expiry().await }));
        // These are not cancelled but notified, so that they write the last events, announcements and last-seen times.
        let (store, stop_events) = (all.store.clone(), stop.clone());
        tracker.spawn(async move { store.run_event_writer(stop_events).await });
        let (store, stop_announcements) = (all.store.clone(), stop.clone());
        tracker.spawn(async move { store.run_announcer(stop_announcements).await });
        let stop = stop.clone();
        tracker.spawn(async move { all.write_last_seen(stop).await });
    }

    async fn apply_changes(&self) {
        use tokio::sync::broadcast::error::RecvError;
        let mut changes = self.store.changes();
        loop {
            let change = match changes.recv().await {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => Change::Everything,
                Err(RecvError::Closed) => return,
            };
            self.visitors.apply(change);
        }
    }

    async fn write_last_seen(&self, stop: CancellationToken) {
        loop {
            let stopped = stop.run_until_cancelled(tokio::time::sleep(self.timings.last_seen_interval)).await.is_none();
            let mut unwritten = Vec::new();
            // In small batches, each committed by itself, so that a slow store makes progress.
            for batch in self.cache.take_touched().chunks(TOUCH_BATCH) {
                if !unwritten.is_empty() {
                    // The store has just failed a batch, and would fail the others.
                    unwritten.extend_from_slice(batch);
                } else if let Err(error) = self.store.touch_sessions(batch).await {
                    tracing::debug!(%error, "last-seen times could not be written and are retried");
                    unwritten.extend_from_slice(batch);
                }
            }
            self.has_unwritten_last_seen.store(!unwritten.is_empty(), Ordering::Release);
            self.cache.give_back(unwritten);
            if stopped {
                return;
            }
        }
    }

    async fn check_for_missing_keys(&self) {
        loop {
            let pause = match self.store.check_for_missing_keys().await {
                Ok(()) => KEY_CHECK_INTERVAL,
                Err(error) => {
                    tracing::debug!(%error, "missing encryption keys could not be checked");
                    self.timings.housekeeping_interval
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn run_housekeeping(&self) {
        loop {
            for provider in self.providers.iter() {
                self.metrics.of_provider(provider.name()).provider_ready(provider.is_ready());
            }
            let (sessions, grants) = self.cache.sizes();
            self.metrics.cached(sessions, grants);
            self.store.measure_memory();
            if let Some(expiry) = self.certificates.as_ref().and_then(|certificates| certificates.first_expiry()) {
                self.metrics.certificate_expiry(expiry.seconds());
            }
            match self.store.counts().await {
                Ok(counts) => self.metrics.sessions(counts.sessions, counts.with_refresh_token),
                Err(error) => tracing::debug!(%error, "the store's figures could not be read"),
            }
            if self.agrees_with_the_store().await {
                self.sweep().await;
            }
            if let Err(error) = self.store.forget_announcements().await {
                tracing::debug!(%error, "old announcements could not be deleted");
            }
            tokio::time::sleep(self.timings.housekeeping_interval).await;
        }
    }

    /// Whether this machine's clock agrees with the database's. A machine with a wrong clock must not sweep live sessions. Logs when that
    /// changes.
    async fn agrees_with_the_store(&self) -> bool {
        let Clock::System = self.clock else { return true };
        let agreed = self.store.clock_agrees();
        let Ok(skew) = self.store.compare_clock(self.clock.now()).await else { return false };
        match (agreed, self.store.clock_agrees()) {
            (true, false) => tracing::warn!(
                skew.seconds = skew.as_secs(),
                "this machine's clock is not the database's; until they agree nothing is swept, and sessions end by the database's"
            ),
            (false, true) => tracing::info!("this machine's clock agrees with the database's again"),
            (true, true) | (false, false) => {}
        }
        self.store.clock_agrees()
    }

    /// Removes what has expired, in batches so that no statement holds many rows for long.
    async fn sweep(&self) {
        // A session that is idle in the store may have been used a moment ago.
        if self.has_unwritten_last_seen.load(Ordering::Acquire) {
            return;
        }
        let now = self.clock.now();
        let (oldest, limit) = self.sessions.oldest();
        // Twice the granularity: last-seen times that a replica has not written yet must not cost a session.
        let idle = self.sessions.idle + 2 * self.sessions.granularity() + self.timings.last_seen_interval;
        let expired = Expired {
            created_before: now.minus(oldest),
            limit,
            seen_before: self.sessions.sliding.then(|| now.minus(idle)),
            tokens_made_before: now.minus(self.sessions.longest_token),
            events_before: now.minus(self.event_retention),
            now,
        };
        loop {
            match self.store.sweep(&expired).await {
                Ok(swept) => {
                    if swept.removed > 0 {
                        tracing::debug!(removed = swept.removed, "expired rows were removed");
                    }
                    if swept.is_done {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "expired rows could not be swept");
                    return;
                }
            }
        }
    }
}
