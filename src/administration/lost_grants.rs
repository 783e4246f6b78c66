//! What the rows of grants do not tell: that they have ended for want of what the settings had, as those of a provider or a client that is
//! not configured any more, and those whose refresh token is encrypted under a key that no replica has; and that they are not served
//! because the provider renews nothing ([`super::recent_renewals`]).

use std::{collections::BTreeMap, time::Duration};

use super::{Administration, recent_renewals};
use crate::{
    client_registration::ClientRegistration,
    grant::{EndReason, Ended, Grant},
    seal::KeyId,
    store::{ListPosition, ListedSession, StoreError},
};

/// A provider that failed longer ago may be well by now, when nobody has asked it since.
const RECENT: Duration = Duration::from_secs(2 * 3600);

/// Keys that this process does not have, and whether no replica has them: each is asked for once.
#[derive(Default)]
struct Keys(Vec<(KeyId, bool)>);

impl Administration {
    /// A part of the list of all sessions, and where the next one begins.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list_sessions(&self, after: ListPosition) -> Result<(Vec<ListedSession>, Option<ListPosition>), StoreError> {
        let (page, next) = self.store.list_sessions(after).await?;
        Ok((self.judged(page).await, next))
    }

    /// The sessions whose identifier, or whose grant's, begins so.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sessions_by_prefix(&self, prefix: &str) -> Result<Vec<ListedSession>, StoreError> {
        Ok(self.judged(self.store.sessions_by_prefix(prefix).await?).await)
    }

    /// Adds what the rows do not tell.
    pub(super) async fn judged(&self, mut sessions: Vec<ListedSession>) -> Vec<ListedSession> {
        let (mut keys, mut failures) = (Keys::default(), BTreeMap::new());
        for ListedSession { grant, .. } in sessions.iter_mut().filter(|listed| listed.grant.ended.is_none()) {
            let key = grant.refresh_key.filter(|key| !self.sign_out.keys.has(*key));
            let registration = ClientRegistration { issuer: &grant.issuer, client_id: &grant.client_id };
            grant.ended = self.lost(registration, key, &mut keys).await;
            if self.limits.is_over(grant, self.clock.now()) {
                grant.unserved = self.last_failure(&grant.issuer, &mut failures).await;
            }
        }
        sessions
    }

    /// What the provider said when it was last asked for a renewal, if it makes none for anybody. Whether it was asked lately is not known
    /// if the store fails.
    async fn last_failure(&self, issuer: &str, known: &mut BTreeMap<String, Option<String>>) -> Option<String> {
        if let Some(failure) = known.get(issuer) {
            return failure.clone();
        }
        let since = self.clock.now().minus(RECENT);
        let recent = self.store.recent_renewals(issuer, since, recent_renewals::MOST_READ).await.unwrap_or_default();
        let failure = recent_renewals::failure_for_all(recent).map(|event| event.words().unwrap_or(event.reason));
        known.insert(issuer.to_owned(), failure.clone());
        failure
    }

    /// The same of a grant.
    pub(super) async fn judged_grant(&self, mut grant: Grant) -> Grant {
        if grant.ended.is_none() {
            let key = grant.missing_key.filter(|_| grant.has_refresh_token);
            grant.ended = self.lost(grant.registration(), key, &mut Keys::default()).await;
        }
        grant
    }

    async fn lost(&self, registration: ClientRegistration<'_>, key: Option<KeyId>, keys: &mut Keys) -> Option<Ended> {
        let reason = match key {
            _ if self.sign_out.providers.of(registration).is_none() => EndReason::OtherProvider,
            Some(key) if self.is_lost(key, keys).await => EndReason::KeyLost,
            Some(_) | None => return None,
        };
        Some(Ended { reason, code: None })
    }

    /// Whether no replica has a key. If the store cannot be read, one may have it.
    async fn is_lost(&self, key: KeyId, Keys(known): &mut Keys) -> bool {
        if let Some((_, is_lost)) = known.iter().find(|(other, _)| *other == key) {
            return *is_lost;
        }
        let is_lost = !self.store.others_may_have(key).await.unwrap_or(true);
        known.push((key, is_lost));
        is_lost
    }
}
