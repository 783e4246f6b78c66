//! What ends sessions without anybody's doing.

use std::time::Duration;

use crate::{clock::Timestamp, session, store::ListedGrant};

/// What ends sessions without anybody's doing.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long they live.
    pub sessions: session::Settings,
    /// How long after its access token's expiry a session is served whose renewal fails (`CODER_OIDC_OUTAGE_GRACE`).
    pub outage_grace: Duration,
}

impl Limits {
    /// Whether a grant that lives is not served without being renewed: its access token is over, and the grace after it.
    pub(super) fn is_over(&self, grant: &ListedGrant, now: Timestamp) -> bool {
        let stale_from = grant.unverified_since.map_or(grant.expires_at, |since| since.min(grant.expires_at));
        grant.has_refresh_token && grant.ended.is_none() && now >= stale_from.plus(self.outage_grace)
    }
}
