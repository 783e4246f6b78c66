//! What all components are built on, and those of them that the gateway, its administration and the subcommands have alike.

use std::sync::Arc;

use anyhow::Context;
use tokio_util::task::TaskTracker;

use crate::{
    administration::{Administration, Limits},
    clock::Clock,
    config::{Checked, EncryptionKeys},
    oidc::Providers,
    renewal::Renewer,
    seal::KeyRing,
    session::cache::SessionCache,
    sign_out::SignOut,
    store::{KnownClients, Store},
    telemetry::{logs::causes, metrics::Metrics},
    timings::Timings,
};

/// What all components are built on. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Foundations {
    /// What encrypts tokens at rest.
    pub(super) keys: KeyRing,
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) timings: Timings,
    /// The clients that Evergate is or was at providers; none before the store was asked.
    pub(super) known_clients: KnownClients,
}

impl Foundations {
    /// Nothing is asked of the store yet.
    ///
    /// # Errors
    /// There are no keys, or the store cannot be opened.
    pub(super) fn new(settings: &Checked, metrics: Metrics, clock: Clock, timings: Timings) -> anyhow::Result<Self> {
        let keys = keys(settings.keys.clone())?;
        let store = Store::open(&settings.store, keys.clone(), metrics.clone()).context("cannot open the store")?;
        Ok(Self { keys, store, metrics, clock, timings, known_clients: KnownClients::default() })
    }

    /// The token refresh at these providers.
    pub(super) fn renewer(&self, settings: &Checked, providers: &Providers) -> Renewer {
        Renewer::new(&settings.renewal, self.timings, providers, self.store.clone(), self.clock.clone(), &self.metrics)
    }

    /// The logout at these providers. What it has begun is finished by `tasks`.
    pub(super) fn sign_out(
        &self,
        settings: &Checked,
        providers: &Providers,
        cache: Arc<SessionCache>,
        tasks: TaskTracker,
    ) -> SignOut {
        SignOut {
            providers: providers.clone(),
            store: self.store.clone(),
            signed_out_uris: settings.gateway.redirect_uris("signed_out"),
            keys: self.keys.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            tasks,
            cache,
            pending_ends: Arc::default(),
        }
    }

    /// What administrators are shown and do.
    pub(super) fn administration(&self, settings: &Checked, sign_out: SignOut, renewer: Renewer) -> Administration {
        Administration {
            store: self.store.clone(),
            sign_out,
            renewer,
            limits: Limits { sessions: settings.session.clone(), outage_grace: settings.renewal.outage_grace },
            clock: self.clock.clone(),
            ends_everyone: Arc::default(),
        }
    }
}

/// Loads the keys that encrypt tokens.
///
/// # Errors
/// The key file can be neither read nor created.
pub fn keys(from: EncryptionKeys) -> anyhow::Result<KeyRing> {
    match from {
        EncryptionKeys::Given(ring) => Ok(ring),
        EncryptionKeys::GivenBeside(ring, path) if !path.exists() => Ok(ring),
        EncryptionKeys::GivenBeside(ring, path) => match KeyRing::from_file(&path) {
            Ok(former) => Ok(ring.opening_also(&former)),
            // What a broken file encrypted is lost in any case.
            Err(error) => {
                tracing::warn!(file.path = %path.display(), error = causes(&error), "the keys of a file that was used before cannot be read");
                Ok(ring)
            }
        },
        EncryptionKeys::File(path) => KeyRing::from_file(&path).with_context(|| format!("cannot use {}", path.display())),
    }
}
