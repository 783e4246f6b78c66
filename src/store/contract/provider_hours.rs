//! Token refreshes as hourly aggregates, which each replica adds to in batches.

use std::time::Duration;

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    reading::Reading,
    store::{
        GrantSample, ProviderHour, StoreError,
        operation::{Read, Write},
    },
};

impl Store {
    /// Counts a token refresh, which is written soon.
    pub fn count_refresh(&self, registration: ClientRegistration<'_>, outcome: &str, took: Duration, at: Timestamp) {
        self.hours.count(registration, outcome, took, at);
    }

    /// Writes what was counted. What surely was not written is kept for the next time; what may have been written is not written
    /// twice.
    pub async fn flush_provider_hours(&self) {
        let rows = self.hours.take();
        if rows.is_empty() {
            return;
        }
        let written = self.write(Write::AddProviderHours, |connection| Box::pin(connection.add_provider_hours(&rows))).await;
        if let Err(error) = written {
            tracing::debug!(%error, "the hourly figures of providers could not be written");
            if error.nothing_was_written() {
                self.hours.put_back(rows);
            }
        }
    }

    /// Reads the aggregates of the hours that began at `since` or later, the earliest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn provider_hours(&self, since: Timestamp) -> Result<Vec<ProviderHour>, StoreError> {
        self.read(Read::ProviderHours, |connection| Box::pin(connection.provider_hours(since))).await.map(Reading::even_if_old)
    }

    /// Looks at the grants of a thousand sessions, which stand for all: at which provider, with which settings, and whether they can be
    /// renewed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn sample_grants(&self) -> Result<Vec<GrantSample>, StoreError> {
        self.read(Read::SampleGrants, |connection| Box::pin(connection.sample_grants())).await.map(Reading::even_if_old)
    }
}
