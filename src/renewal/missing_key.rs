//! Grants whose tokens are encrypted under a key that this replica does not have. Their identity can be read: they are served for
//! as long as in an outage, and replaced by a new login once no replica has the key.

use std::{sync::Arc, time::Duration};

use super::{
    Renewer,
    decision::{self, RemainingUse},
    engine::Engine,
    result::{Unusable, Usable},
};
use crate::{
    grant::{EndReason, Grant},
    seal::KeyId,
};

/// The `Retry-After` of such a request: a replica that has the key may serve the next one.
const RETRY_ON_ANOTHER_REPLICA: Duration = Duration::from_secs(1);

impl Engine {
    /// Returns the grant if it can be used without its tokens. A lost key brings no grant back that has ended, nor one that no refresh
    /// token keeps.
    pub(super) async fn serve_without_tokens(&self, grant: Arc<Grant>, key: KeyId) -> Result<Usable, Unusable> {
        match decision::remaining_use_without_refresh(&grant, &self.settings, self.clock.now()) {
            RemainingUse::Live => Ok(Usable { grant, stale: false }),
            RemainingUse::Grace => Ok(Usable { grant, stale: true }),
            RemainingUse::None => Err(match &grant.ended {
                Some(ended) => Unusable::SignInAgain(ended.reason),
                None if !grant.has_refresh_token => Unusable::SignInAgain(EndReason::Expired),
                None if self.no_replica_has(key).await => Unusable::SignInAgain(EndReason::KeyLost),
                None => Unusable::Unavailable(RETRY_ON_ANOTHER_REPLICA),
            }),
        }
    }

    /// Whether no replica has a key. If the store cannot be read, one may have it.
    async fn no_replica_has(&self, key: KeyId) -> bool {
        !self.store.others_may_have(key).await.unwrap_or(true)
    }
}

impl Renewer {
    /// Whether the grant's tokens are lost permanently, so that its browser needs a new login.
    pub async fn has_lost_its_key(&self, grant: &Grant) -> bool {
        match grant.missing_key {
            None => false,
            Some(key) => match self.engine_of(grant) {
                Some(engine) => engine.no_replica_has(key).await,
                None => false,
            },
        }
    }
}
