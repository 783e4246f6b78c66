//! Users whom their provider has had ended, as the store has them: this replica follows what any of them records.

use std::time::Duration;

use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};

use super::{Sources, Visitors};
use crate::{
    clock::Stopwatch,
    reading::Reading,
    session::{OwnerStanding, TokenOwner},
    store::{Change, Condition, Hearing, StoreError},
    telemetry::logs::causes,
};

/// How long a replica that hears of no changes goes without asking.
const UNHEARD: Duration = Duration::from_millis(500);
/// The pause after the store has failed.
const PAUSE: Duration = Duration::from_millis(500);
/// For how long reads fail before that is told: an outage of the store has a line of its own.
const TOLD_AFTER: Duration = Duration::from_secs(5);
/// How long a request waits until it is known who was ended: longer than a replica that is well goes without saying so.
const KNOWN_WAIT: Duration = Duration::from_secs(3);

impl Visitors {
    /// Whether the user of a bearer token was ended since it was issued. Waits a moment while that is not known, unless the store is away.
    pub async fn standing(&self, owner: &TokenOwner) -> OwnerStanding {
        let Sources { cache, clock, .. } = &self.sources;
        let ended_users = cache.ended_users();
        let standing = ended_users.standing(owner, clock.now());
        if standing != OwnerStanding::Unknown || self.sources.store.condition() == Condition::Unavailable {
            return standing;
        }
        let _is_known = tokio::time::timeout(KNOWN_WAIT, ended_users.until_known(|| clock.now())).await;
        ended_users.standing(owner, clock.now())
    }

    /// Whether this replica knows who was ended.
    pub fn knows_ended_users(&self) -> bool {
        self.sources.cache.ended_users().is_known(self.sources.clock.now())
    }

    /// Follows, for as long as it runs, who was ended, so that bearer tokens of theirs are refused and what is open with them is cut.
    pub async fn follow_ended_users(&self) {
        let (mut failing_since, mut is_told) = (None, false);
        loop {
            // Subscribed before they are read, so that none is missed in between.
            let (changes, hearing) = (self.sources.store.changes(), self.sources.store.watch_hearing());
            let asked = Stopwatch::start();
            let read = self.read_ended_users().await;
            if let Err(error) = &read {
                let since = *failing_since.get_or_insert(asked);
                if !is_told && since.elapsed() >= TOLD_AFTER && self.sources.store.condition() != Condition::Unavailable {
                    is_told = true;
                    tracing::warn!(
                        error = causes(error),
                        "users who were ended cannot be read: bearer tokens of the providers are refused for now (503)"
                    );
                }
            } else {
                failing_since = None;
                if std::mem::take(&mut is_told) {
                    tracing::info!("users who were ended can be read again");
                }
            }
            if !matches!(read, Ok(true)) {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if let Err(error) = self.follow(changes, hearing).await {
                tracing::debug!(%error, "users who were ended could not be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Reads all of them, and returns whether they are as they are now. What a standby has counts like the sessions that it has: they are
    /// served while there is nothing better.
    async fn read_ended_users(&self) -> Result<bool, StoreError> {
        let Sources { store, cache, clock, .. } = &self.sources;
        let begun_at = clock.now();
        let read = store.ended_users().await?;
        let is_current = read.is_current();
        match read {
            Reading::Current(all) => cache.ended_users().replace(all),
            Reading::PerhapsOld(all) => cache.ended_users().begin_with(all),
        }
        cache.ended_users().confirm(begun_at);
        Ok(is_current)
    }

    /// Reads those that are announced, until all have to be read again: also whenever announcements come in another way than when all
    /// were read, because one may have been missed in between.
    async fn follow(
        &self,
        mut changes: broadcast::Receiver<Change>,
        mut hearing: watch::Receiver<Hearing>,
    ) -> Result<(), StoreError> {
        let Sources { store, cache, clock, .. } = &self.sources;
        // Not a timeout of the next change: this replica's own come all the time where many log in.
        let mut looks = tokio::time::interval(UNHEARD);
        looks.reset();
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(Change::User(name)) => cache.ended_users().set(name, store.changed_user(name).await?),
                    Ok(Change::Session(_) | Change::Grant(_)) => {}
                    Ok(Change::Everything) | Err(RecvError::Lagged(_)) => return Ok(()),
                    // The process ends.
                    Err(RecvError::Closed) => return std::future::pending().await,
                },
                _another = hearing.changed() => return Ok(()),
                _ = looks.tick() => {
                    if !cache.is_listener_connected() {
                        return Ok(());
                    }
                    cache.ended_users().confirm(clock.now());
                }
            }
        }
    }
}
