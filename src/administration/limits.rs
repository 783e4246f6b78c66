//! What ends sessions without anybody's doing.

use std::time::Duration;

use crate::session;

/// What ends sessions without anybody's doing.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long they live.
    pub sessions: session::Settings,
    /// How long after its access token's expiry a session is served whose renewal fails (`CODER_OIDC_OUTAGE_GRACE`).
    pub outage_grace: Duration,
}
