//! What requests for tokens are answered with.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use super::settings::Settings;
use crate::{
    assertion::{Assertions, SessionName},
    clock::Clock,
    oidc::Providers,
    policy::Policies,
    renewal::Renewer,
    routing::Routes,
    session::SessionHash,
    store::Store,
    telemetry::{LoggedUser, metrics::Metrics},
    visitor::Visitors,
};

/// What requests for tokens are answered with.
#[derive(Debug)]
pub struct Components {
    /// What the administrator allows.
    pub settings: Settings,
    /// `CODER_PATH_PREFIX`, as on the other listeners.
    pub prefix: String,
    /// The routes, whose apps may ask or not.
    pub routes: Routes,
    /// The policies that every user must pass.
    pub policies: Policies,
    /// Finds sessions.
    pub visitors: Arc<Visitors>,
    /// Keeps their grants fresh.
    pub renewer: Renewer,
    /// Reads assertions, by which apps name sessions.
    pub assertions: Arc<Assertions>,
    /// Exchange tokens, each those that it has given.
    pub providers: Providers,
    /// Finds the sessions of a user.
    pub store: Store,
    /// How log lines name users.
    pub logged_user: LoggedUser,
    /// The time.
    pub clock: Clock,
    /// Counts requests.
    pub metrics: Metrics,
    /// How long a request waits for another one's exchange, or for its turn.
    pub wait: Duration,
    /// What lasts from one reload of the settings to the next.
    pub shared: Arc<Shared>,
}

/// What lasts from one reload of the settings to the next.
#[derive(Debug)]
pub struct Shared {
    /// Sessions by the names that apps know. A name always means the same session, so that nothing here is ever outdated.
    pub(super) names: Cache<SessionName, SessionHash>,
    /// A permit for each exchange that may be under way.
    pub(super) exchanges: Semaphore,
}

/// How many sessions' names are remembered.
const MAX_NAMES: usize = 16_384;
/// How many tokens are exchanged concurrently.
const MAX_EXCHANGES: usize = 16;

impl Default for Shared {
    fn default() -> Self {
        Self { names: Cache::new(MAX_NAMES), exchanges: Semaphore::new(MAX_EXCHANGES) }
    }
}

/// Answers apps' jobs.
#[derive(Debug)]
pub struct AppTokens {
    pub(super) parts: Components,
}

impl AppTokens {
    /// Answers with these components.
    pub fn new(parts: Components) -> Self {
        Self { parts }
    }
}
