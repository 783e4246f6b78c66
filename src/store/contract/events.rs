//! The history: events are buffered by whoever makes them and written in batches by a task of their own, so that no renewal
//! waits for its own history. What is read of it is told, even if it is old.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Store;
use crate::{
    backoff::back_off,
    clock::Timestamp,
    grant::GrantId,
    history::Event,
    reading::Reading,
    store::{
        EventFilter, EventPart, EventPlace, EventsOf, RecentRenewal, StoreError, StoredEvent,
        event_buffer::EventBuffer,
        operation::{Read, Write},
        statements::PrefixRange,
    },
};

/// Events are written when a batch is full, and after this time in any case.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// The pauses between tries that fail grow up to this.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// The hourly figures of providers are written once in so many rounds.
const ROUNDS_TO_FIGURES: u32 = 10;

impl Store {
    /// After this time an event is in the history, if the store takes it.
    pub const HISTORY_DELAY: Duration = FLUSH_INTERVAL.saturating_mul(2);

    /// Reads somebody's events behind a place, the newest first, and `most` of them at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn events(
        &self,
        of: &EventsOf,
        filter: EventFilter,
        after: EventPlace,
        most: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(Read::Events, |connection| Box::pin(connection.events(of, filter, after, most))).await.map(Reading::even_if_old)
    }

    /// Finds the users who have an event under this name, which is an e-mail address or a user name, in whichever case, or a `sub`: each by
    /// issuer and `sub`, the issuer empty where no event tells it. [`MOST_FOUND`](Self::MOST_FOUND) at most, of each kind of name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn event_users(&self, name: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.read(Read::EventUsers, |connection| Box::pin(connection.event_users(name))).await.map(Reading::even_if_old)
    }

    /// Finds the sessions that have an event, and whose short hash begins so or is what the longer identifier begins with, each with the
    /// grant that it had.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn event_sessions(&self, prefix: &str) -> Result<Vec<(String, GrantId)>, StoreError> {
        let Some(range) = PrefixRange::of(prefix) else { return Ok(Vec::new()) };
        self.read(Read::EventSessions, |connection| Box::pin(connection.event_sessions(&range))).await.map(Reading::even_if_old)
    }

    /// Finds the grants that have an event, and whose identifier begins so.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn event_grants(&self, prefix: &str) -> Result<Vec<GrantId>, StoreError> {
        let Some(range) = PrefixRange::of(prefix).filter(|_| prefix.len() <= 32) else { return Ok(Vec::new()) };
        self.read(Read::EventGrants, |connection| Box::pin(connection.event_grants(&range))).await.map(Reading::even_if_old)
    }

    /// The maximum number of users, sessions or grants that a name finds in the history.
    pub const MOST_FOUND: usize = 64;

    /// Reads what administrators did behind a place, the newest first, and `most` of it at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn events_of_administrators(&self, after: EventPlace, most: usize) -> Result<EventPart, StoreError> {
        self.read(Read::EventsOfAdministrators, |connection| Box::pin(connection.events_of_administrators(after, most)))
            .await
            .map(Reading::even_if_old)
    }

    /// Reads the newest token refreshes at the provider with this issuer since a time, the newest first, and `most` at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn recent_renewals(&self, issuer: &str, since: Timestamp, most: i64) -> Result<Vec<RecentRenewal>, StoreError> {
        self.read(Read::RecentRenewals, |connection| Box::pin(connection.recent_renewals(issuer, since, most)))
            .await
            .map(Reading::even_if_old)
    }

    /// Buffers an event, which is written soon.
    pub fn enqueue_event(&self, event: Event) {
        self.events.push(event);
    }

    /// Writes buffered events until `stop`, and then once more.
    pub async fn run_event_writer(&self, stop: CancellationToken) {
        let (mut failures, mut rounds) = (0, 0);
        loop {
            let is_stopped = if failures > 0 {
                stop.run_until_cancelled(self.until_worth_flushing(failures)).await.is_none()
            } else {
                tokio::select! {
                    () = stop.cancelled() => true,
                    () = self.events.full() => false,
                    () = tokio::time::sleep(FLUSH_INTERVAL) => false,
                }
            };
            failures = if self.flush_events().await { 0 } else { failures + 1 };
            rounds += 1;
            if is_stopped || rounds % ROUNDS_TO_FIGURES == 0 {
                self.flush_provider_hours().await;
            }
            if is_stopped {
                return;
            }
        }
    }

    /// Waits before the next try after a failure, however many events come meanwhile: until the database takes writes, if it is
    /// known not to, and otherwise for a pause that grows.
    async fn until_worth_flushing(&self, failures: u32) {
        if self.is_writable() {
            tokio::time::sleep(back_off(failures, FLUSH_INTERVAL, MAX_BACKOFF)).await;
        } else {
            self.until_writable().await;
        }
    }

    /// Writes the buffered events; those that cannot be written stay in the buffer. `false`: some do.
    pub async fn flush_events(&self) -> bool {
        let events = self.events.take();
        let mut written = 0;
        for batch in events.chunks(EventBuffer::BATCH) {
            if let Err(error) = self.write_batch(batch).await {
                tracing::debug!(%error, waiting = events.len() - written, "events cannot be written yet");
                break;
            }
            written += batch.len();
        }
        let is_all = written >= events.len();
        self.events.put_back(events.into_iter().skip(written));
        is_all
    }

    /// Writes a batch in one transaction. If the database refuses it, writes the events one by one, and drops those that are
    /// refused by themselves.
    async fn write_batch(&self, batch: &[Event]) -> Result<(), StoreError> {
        match self.record_events(batch).await {
            Err(error) if error.is_refusal() => {}
            result => return result,
        }
        for event in batch {
            match self.record_events(std::slice::from_ref(event)).await {
                Err(error) if error.is_refusal() => {
                    tracing::warn!(%error, kind = event.kind.as_str(), grant.id = %event.grant, "the store refuses an event; it is left out");
                }
                result => result?,
            }
        }
        Ok(())
    }

    async fn record_events(&self, events: &[Event]) -> Result<(), StoreError> {
        self.write(Write::RecordEvents, |connection| Box::pin(connection.record_events(events, &self.replica))).await
    }
}
