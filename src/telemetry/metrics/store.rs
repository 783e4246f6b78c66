//! What the store does, and what of it is in memory.

use std::time::Instant;

use super::{
    Metrics, Record, StoreTimer,
    counted::VOICES,
    labels::{Operation, Voice},
};

impl Metrics {
    /// Begins to time a call to the store. `operation` is one of a fixed list.
    #[expect(clippy::disallowed_methods, reason = "how long a call took is measured, not decided by")]
    pub fn store_call(&self, operation: &'static str) -> StoreTimer {
        let operation = Operation { operation };
        let (seconds, failures) = (&self.0.store_seconds, &self.0.store_failures);
        StoreTimer {
            seconds: seconds.get_or_create(&operation).clone(),
            failures: failures.get_or_create(&operation).clone(),
            started: Instant::now(),
        }
    }

    /// Registers the store's operations, so that each is exported at zero before it is first called.
    pub fn store_operations(&self, operations: impl Iterator<Item = &'static str>) {
        for operation in operations.map(|operation| Operation { operation }) {
            drop(self.0.store_seconds.get_or_create(&operation));
            drop(self.0.store_failures.get_or_create(&operation));
        }
    }

    /// Says by which voice changes in the store are heard of: `notifications`, `polling` or `none`.
    pub fn store_voice(&self, heard: &str) {
        self.0.store_listener_connected.set(i64::from(heard != "none"));
        for voice in VOICES {
            self.0.store_voices.get_or_create(&Voice { voice }).set(i64::from(heard == voice));
        }
    }

    /// Counts a record that was not in memory.
    pub fn loaded(&self, record: Record) {
        let [sessions, grants] = &self.0.cache_loads;
        match record {
            Record::Session => sessions.inc(),
            Record::Grant => grants.inc(),
        };
    }

    /// Counts a request that was served from memory because the store could not be asked.
    pub fn served_from_memory(&self) {
        self.0.served_from_memory.inc();
    }

    /// Counts that the database was found to be older than what was committed.
    pub fn store_rollback(&self) {
        self.0.store_rollbacks.inc();
    }

    /// Sets how many ended sessions and renewed grants would be put right in an older database.
    pub fn remembered(&self, sessions: usize, grants: usize) {
        for (gauge, count) in self.0.remembered.iter().zip([sessions, grants]) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts a record that an older database had lost and that was put right.
    pub fn put_right(&self, record: Record) {
        let [sessions, grants] = &self.0.put_right;
        match record {
            Record::Session => sessions.inc(),
            Record::Grant => grants.inc(),
        };
    }

    /// Sets how many sessions and grants are in memory.
    pub fn cached(&self, sessions: usize, grants: usize) {
        for (gauge, count) in self.0.cache_entries.iter().zip([sessions, grants]) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Sets the figures that the store was asked for.
    pub fn sessions(&self, all: i64, with_refresh_token: i64) {
        self.0.sessions.set(all);
        self.0.sessions_with_refresh_token.set(with_refresh_token);
    }

    /// Says whether the store takes writes.
    pub fn store_writable(&self, writable: bool) {
        self.0.store_writable.set(i64::from(writable));
    }

    /// Sets how many keys that stored tokens need are not this replica's.
    pub fn encryption_keys_missing(&self, count: usize) {
        self.0.encryption_keys_missing.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
