//! Users whom their provider has had ended, as the store has them: this replica follows what any of them records.

use std::time::Duration;

use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};

use super::{Sources, Visitors};
use crate::{
    reading::Reading,
    store::{Change, Hearing, StoreError},
};

/// How long a replica that hears of no changes goes without asking.
const UNHEARD: Duration = Duration::from_millis(500);
/// The pause after the store has failed.
const PAUSE: Duration = Duration::from_millis(500);

impl Visitors {
    /// Follows, for as long as it runs, who was ended, so that bearer tokens of theirs are refused and what is open with them is cut.
    pub async fn follow_ended_users(&self) {
        loop {
            // Subscribed before they are read, so that none is missed in between.
            let (changes, hearing) = (self.sources.store.changes(), self.sources.store.watch_hearing());
            if let Err(error) = self.follow(changes, hearing).await {
                tracing::debug!(%error, "users who were ended could not be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Reads all of them, and then those that are announced, until all have to be read again: also whenever announcements come in another
    /// way than when all were read, because one may have been missed in between.
    async fn follow(
        &self,
        mut changes: broadcast::Receiver<Change>,
        mut hearing: watch::Receiver<Hearing>,
    ) -> Result<(), StoreError> {
        let Sources { store, cache, .. } = &self.sources;
        match store.ended_users().await? {
            Reading::Current(all) => cache.ended_users().replace(all),
            Reading::PerhapsOld(all) => {
                cache.ended_users().begin_with(all);
                return Err(StoreError::Standby);
            }
        }
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
                _ = looks.tick() => if !cache.is_listener_connected() {
                    return Ok(());
                },
            }
        }
    }
}
