//! Grants whose tokens were sealed under a key that this replica does not have. Who they are is known all the same: they are
//! served on for as long as in an outage, and their browsers bring another grant once no replica has the key.

use std::{sync::Arc, time::Duration};

use super::{
    Engine, Renewer, Unusable, Usable,
    decision::{self, RemainingUse},
};
use crate::{
    grant::{EndReason, Grant},
    seal::KeyId,
};

/// A replica that has the key may serve the next request.
const ELSEWHERE: Duration = Duration::from_secs(1);

impl Engine {
    /// Serves what can be served without tokens.
    pub(super) async fn without_tokens(&self, grant: Arc<Grant>, key: KeyId) -> Result<Usable, Unusable> {
        match decision::remaining_use(&grant, &self.settings, self.clock.now()) {
            RemainingUse::Live => Ok(Usable { grant, stale: false }),
            RemainingUse::Grace => Ok(Usable { grant, stale: true }),
            RemainingUse::None if self.nobody_has(key).await => Err(Unusable::SignInAgain(EndReason::KeyLost)),
            RemainingUse::None => Err(Unusable::Unavailable(ELSEWHERE)),
        }
    }

    /// Whether no replica has a key, as far as is known. While the store does not say, somebody may.
    async fn nobody_has(&self, key: KeyId) -> bool {
        !self.store.others_may_have(key).await.unwrap_or(true)
    }
}

impl Renewer {
    /// Whether the grant's tokens are lost for good, so that its browser is to bring another.
    pub async fn has_lost_its_key(&self, grant: &Grant) -> bool {
        match grant.missing_key {
            None => false,
            Some(key) => self.0.nobody_has(key).await,
        }
    }
}
