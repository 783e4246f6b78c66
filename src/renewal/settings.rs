//! The settings of token refresh.

use std::time::Duration;

/// Settings of token refresh.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_OIDC_RENEW_BEFORE`: how long before expiry the background refresh begins; for short-lived tokens a third of their
    /// lifetime.
    pub renew_before: Duration,
    /// `CODER_OIDC_OUTAGE_GRACE`: how long after expiry the last verified identity is used while the provider cannot refresh it.
    pub outage_grace: Duration,
    /// `CODER_OIDC_MAX_CONCURRENT_RENEWALS`.
    pub max_concurrent: usize,
    /// The paths of the claims that headers and rules of routes name. A grant that was never asked for one of them is refreshed before
    /// its time.
    pub claims: Vec<String>,
}
