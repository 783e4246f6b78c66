//! A replica as the others know it: its name, and the age of its heartbeat at which it counts as dead.

use std::{sync::Arc, time::Duration};

use crate::{clock::Timestamp, secret::random_text};

/// The age of the last heartbeat at which a replica counts as dead, for a replica that has seen the database work for as long.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(6);

/// A heartbeat of this replica older than this, by the database's clock, shows that the clock has jumped ahead, or that the heartbeat
/// fails: whatever else seems to have expired may not have.
pub(super) const OWN_BEAT_AGE: Duration = Duration::from_secs(3);

/// A heartbeat that was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    /// How many this replica has written.
    pub(super) count: i64,
    /// The database's time.
    pub(super) at: Timestamp,
}

/// Names this replica by its host and a random suffix, which tells apart two replicas on one host, and one replica before and
/// after a restart.
pub(super) fn replica_name() -> Arc<str> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    Arc::from(format!("{}/{}", if host.is_empty() { "unnamed" } else { host }, random_text::<3>()))
}
