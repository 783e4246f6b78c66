//! Grants whose tokens are encrypted under a key that this replica does not have. Their identity can be read: they are served for
//! as long as in an outage, and replaced by a new login once no replica has the key. Their rows stay as they are, because the key may come
//! back, as those of grants of a provider that is not configured any more; so the history tells it once.

use std::{sync::Arc, time::Duration};

use super::{
    Renewer,
    decision::{self, RemainingUse},
    engine::Engine,
    result::{Unusable, Usable},
};
use crate::{
    grant::{EndReason, Grant},
    history::Event,
    seal::KeyId,
    secret::sha256,
};

/// How long all replicas remember that it is told.
const TOLD_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// The `Retry-After` of such a request: a replica that has the key may serve the next one.
const RETRY_ON_ANOTHER_REPLICA: Duration = Duration::from_secs(1);

impl Engine {
    /// Returns the grant if it can be used without its tokens. A lost key brings no grant back that has ended, nor one that no refresh
    /// token keeps.
    async fn serve_without_tokens(&self, grant: Arc<Grant>, key: KeyId) -> Result<Usable, Unusable> {
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
    /// The same, and records that the key is lost where the user is sent to a login for it.
    pub(super) async fn serve_without_tokens(&self, engine: &Engine, grant: Arc<Grant>, key: KeyId) -> Result<Usable, Unusable> {
        let served = engine.serve_without_tokens(Arc::clone(&grant), key).await;
        if let Err(Unusable::SignInAgain(EndReason::KeyLost)) = served {
            self.record_lost(&grant, EndReason::KeyLost).await;
        }
        served
    }

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

impl Renewer {
    /// Sends the user of such a grant to a login.
    pub(super) async fn sign_in_for(&self, grant: &Grant, reason: EndReason) -> Unusable {
        self.record_lost(grant, reason).await;
        Unusable::SignInAgain(reason)
    }

    /// Records, once for all replicas, that the user of such a grant is sent to a login.
    pub async fn record_lost(&self, grant: &Grant, reason: EndReason) {
        if !self.lost.add(grant.id, reason) {
            return;
        }
        let (now, name) = (self.clock.now(), format!("lost {} {}", grant.id, reason.as_str()));
        match self.store.consume_once(sha256(name.as_bytes()), now.plus(TOLD_FOR)).await {
            Ok(false) => {}
            // The next request tells it.
            Err(error) if error.nothing_was_written() => self.lost.forget(grant.id, reason),
            // It may be this call's own mark that the next one finds: told twice is better than never.
            Ok(true) | Err(_) => {
                self.store.enqueue_event(Event::renewal(grant, now, "dead", reason.as_str()));
                tracing::info!(grant.id = %grant.id, reason = reason.as_str(), "a grant cannot be renewed any more");
            }
        }
    }
}
