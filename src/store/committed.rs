//! What this replica saw committed in the last minutes: the renewals that it made, the intents of those under way, and the sessions and
//! users that were ended. A database that goes back in time (a failover to a standby that lags, a restored backup) is put right from it.
//!
//! Tokens are kept as they are stored: encrypted.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use super::{NewIntent, rows::GrantRow};
use crate::{
    clock::{Stopwatch, Timestamp},
    grant::{AttemptId, GrantId, Rotation},
    lock::{Mutex, MutexGuard},
    session::{SessionHash, UserName},
};

/// How long it is remembered: longer than a standby lags that anybody lets take over.
const RETENTION: Duration = Duration::from_secs(15 * 60);
/// How many bytes of tokens are kept; the oldest go first.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How many ended sessions are remembered, and how many users.
const MAX_ENDED: usize = 100_000;
/// How many writes are kept in order at least.
const MIN_ORDER: usize = 1024;
/// What an entry takes besides its tokens.
const OVERHEAD: usize = 400;

/// A renewal as it was saved.
#[derive(Clone, Debug)]
pub(super) struct CommittedRenewal {
    pub(super) generation: i64,
    pub(super) attempt: AttemptId,
    pub(super) access: Vec<u8>,
    /// The newest refresh token, whether or not this renewal brought it.
    pub(super) refresh: Vec<u8>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) expires_at: Timestamp,
    pub(super) lifetime: Duration,
    pub(super) refresh_life: Option<Duration>,
    pub(super) scopes: Option<String>,
    pub(super) rotation: Rotation,
    pub(super) at: Timestamp,
    pub(super) unverified_since: Option<Timestamp>,
    pub(super) retry_at: Option<Timestamp>,
    /// The identity as it is stored, if the renewal changed it.
    pub(super) identity: Option<String>,
}

/// An intent whose attempt may have presented the refresh token.
#[derive(Clone, Debug)]
pub(super) struct CommittedIntent {
    pub(super) generation: i64,
    pub(super) attempt: AttemptId,
    begun: Stopwatch,
    lease: Duration,
    refresh: Arc<Vec<u8>>,
}

impl CommittedIntent {
    /// How long ago it was written.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What is left of its lease.
    pub(super) fn lease_left(&self) -> Duration {
        self.lease.saturating_sub(self.age())
    }
}

/// What a row has lost.
#[derive(Clone, Debug)]
pub(super) enum Lost {
    /// A renewal.
    Renewal(Arc<CommittedRenewal>),
    /// That its refresh token may have been presented.
    Intent(CommittedIntent),
}

/// What this replica saw committed.
#[derive(Debug, Default)]
pub(super) struct Committed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    grants: HashMap<GrantId, Known>,
    /// The grants in the order in which they were last written, with the number of that write.
    order: VecDeque<(GrantId, u64)>,
    writes: u64,
    bytes: usize,
    sessions: Recent<SessionHash, ()>,
    /// When users were ended, by what was read last.
    users: Recent<UserName, Option<Timestamp>>,
}

/// What was learnt of late, the oldest of which goes when it is too old or too much.
#[derive(Debug)]
struct Recent<K, V> {
    entries: HashMap<K, (V, Stopwatch)>,
    order: VecDeque<K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Recent<K, V> {
    fn learn(&mut self, key: K, value: V) {
        if self.entries.insert(key, (value, Stopwatch::start())).is_none() {
            self.order.push_back(key);
        }
        while let Some(oldest) = self.order.front() {
            let is_too_old = self.entries.get(oldest).is_none_or(|(_, since)| since.elapsed() > RETENTION);
            if !is_too_old && self.entries.len() <= MAX_ENDED {
                break;
            }
            self.entries.remove(oldest);
            self.order.pop_front();
        }
    }

    fn all(&self) -> impl Iterator<Item = (K, V)> {
        self.entries.iter().map(|(key, (value, _))| (*key, *value))
    }
}

#[derive(Debug)]
struct Known {
    write: u64,
    since: Stopwatch,
    renewal: Option<Arc<CommittedRenewal>>,
    intent: Option<CommittedIntent>,
}

impl Known {
    fn size(&self) -> usize {
        let renewal = self.renewal.as_ref().map_or(0, |renewal| {
            let id = renewal.id.as_ref().map_or(0, Vec::len);
            renewal.access.len() + renewal.refresh.len() + id + renewal.identity.as_ref().map_or(0, String::len)
        });
        OVERHEAD + renewal + self.intent.as_ref().map_or(0, |intent| intent.refresh.len())
    }
}

impl State {
    /// Changes what is known of a grant, and forgets what is too old or too much.
    fn write(&mut self, id: GrantId, change: impl FnOnce(&mut Known)) {
        self.writes += 1;
        let write = self.writes;
        let known = self.grants.remove(&id);
        self.bytes = self.bytes.saturating_sub(known.as_ref().map_or(0, Known::size));
        let mut known = known.unwrap_or(Known { write, since: Stopwatch::start(), renewal: None, intent: None });
        change(&mut known);
        (known.write, known.since) = (write, Stopwatch::start());
        self.bytes += known.size();
        self.grants.insert(id, known);
        self.order.push_back((id, write));
        // One grant that is not written again must not keep in line all later writes of the others.
        if self.order.len() > 2 * self.grants.len() + MIN_ORDER {
            let grants = &self.grants;
            self.order.retain(|(id, write)| grants.get(id).is_some_and(|known| known.write == *write));
        }
        while let Some((oldest, written)) = self.order.front().copied() {
            let known = self.grants.get(&oldest).filter(|known| known.write == written);
            let (is_newest, is_too_old) = (known.is_some(), known.is_none_or(|known| known.since.elapsed() > RETENTION));
            if !is_too_old && self.bytes <= MAX_BYTES {
                break;
            }
            self.order.pop_front();
            if is_newest {
                self.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, id: &GrantId) {
        if let Some(known) = self.grants.remove(id) {
            self.bytes = self.bytes.saturating_sub(known.size());
        }
    }

    fn intent(&self, id: &GrantId, attempt: AttemptId) -> Option<&CommittedIntent> {
        self.grants.get(id)?.intent.as_ref().filter(|intent| intent.attempt == attempt)
    }
}

impl Committed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// An intent was committed, with this refresh token.
    pub(super) fn begun(&self, id: GrantId, intent: &NewIntent, refresh: &[u8]) {
        let NewIntent { attempt, generation, lease, .. } = *intent;
        let refresh = Arc::new(refresh.to_vec());
        let intent = CommittedIntent { generation, attempt, begun: Stopwatch::start(), lease, refresh };
        self.state().write(id, |known| known.intent = Some(intent));
    }

    /// The attempt had no effect. To be called before its intent is released, so that nobody restores one that was.
    pub(super) fn released(&self, id: GrantId, attempt: AttemptId) {
        let mut state = self.state();
        if state.intent(&id, attempt).is_some() {
            state.write(id, |known| known.intent = None);
        }
    }

    /// The attempt's outcome is unknown, and its lease expires after `settling`.
    pub(super) fn lease_expires(&self, id: GrantId, attempt: AttemptId, settling: Duration) {
        let mut state = self.state();
        if state.intent(&id, attempt).is_some()
            && let Some(intent) = state.grants.get_mut(&id).and_then(|known| known.intent.as_mut())
        {
            intent.lease = intent.age().saturating_add(settling);
        }
    }

    /// A renewal was committed. `renewal` is given the refresh token that was presented, for one that brought none.
    pub(super) fn renewed(
        &self,
        id: GrantId,
        attempt: AttemptId,
        renewal: impl FnOnce(Option<Vec<u8>>) -> Option<CommittedRenewal>,
    ) {
        let mut state = self.state();
        let presented = state.intent(&id, attempt).map(|intent| intent.refresh.to_vec());
        match renewal(presented) {
            Some(renewal) => state.write(id, |known| {
                (known.intent, known.renewal) = (None, Some(Arc::new(renewal)));
            }),
            // Half of what a row has is worth nothing.
            None => state.remove(&id),
        }
    }

    /// Changes a renewal that is remembered, as its row was.
    pub(super) fn amend(&self, id: GrantId, generation: i64, amend: impl FnOnce(&mut CommittedRenewal)) {
        let mut state = self.state();
        let renewal = state.grants.get(&id).and_then(|known| known.renewal.as_ref());
        if renewal.is_some_and(|renewal| renewal.generation == generation) {
            state.write(id, |known| {
                if let Some(renewal) = known.renewal.as_mut() {
                    amend(Arc::make_mut(renewal));
                }
            });
        }
    }

    /// The grant has ended, or is gone.
    pub(super) fn grant_ended(&self, id: GrantId) {
        self.state().remove(&id);
    }

    /// The session has ended.
    pub(super) fn session_ended(&self, hash: SessionHash) {
        self.state().sessions.learn(hash, ());
    }

    /// This was read of a user after it was announced that it changes: when they were ended.
    pub(super) fn user_ended(&self, name: UserName, ended_at: Option<Timestamp>) {
        self.state().users.learn(name, ended_at);
    }

    /// The users who are remembered to have been ended, and when.
    pub(super) fn users(&self) -> Vec<(UserName, Timestamp)> {
        self.state().users.all().filter_map(|(name, at)| Some((name, at?))).collect()
    }

    /// Whether the session is remembered to have ended.
    pub(super) fn has_ended(&self, hash: &SessionHash) -> bool {
        self.state().sessions.entries.contains_key(hash)
    }

    /// What is missing in a row. A row that has ended is missing nothing, unless it ended because an outcome was unknown.
    pub(super) fn lost(&self, row: &GrantRow) -> Option<Lost> {
        let state = self.state();
        let known = state.grants.get(&row.id)?;
        if !row.takes_renewals() {
            return None;
        }
        if let Some(renewal) = known.renewal.as_ref().filter(|renewal| renewal.generation > row.generation) {
            return Some(Lost::Renewal(Arc::clone(renewal)));
        }
        let is_lost = |intent: &&CommittedIntent| {
            let is_untouched = row.attempt.is_none() && row.presented == 0 && row.ended_reason.is_none();
            // Without a token there is nothing that anybody could present again.
            intent.generation == row.generation && is_untouched && row.refresh_token_head.is_some()
        };
        known.intent.as_ref().filter(is_lost).cloned().map(Lost::Intent)
    }

    /// Whether a renewal beyond the grant's `generation`, or an intent of it, is remembered.
    pub(super) fn knows_more_of(&self, id: GrantId, generation: i64) -> bool {
        let state = self.state();
        state.grants.get(&id).is_some_and(|known| {
            known.renewal.as_ref().is_some_and(|renewal| renewal.generation > generation)
                || known.intent.as_ref().is_some_and(|intent| intent.generation >= generation)
        })
    }

    /// How many grants and ended sessions are remembered.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let state = self.state();
        (state.grants.len(), state.sessions.entries.len())
    }

    /// All grants and all ended sessions that are remembered.
    pub(super) fn all(&self) -> (Vec<GrantId>, Vec<SessionHash>) {
        let state = self.state();
        (state.grants.keys().copied().collect(), state.sessions.all().map(|(hash, ())| hash).collect())
    }
}

#[cfg(test)]
mod tests;
