//! Connections that outlive their request (WebSockets, event streams, long downloads), so that they can be cut when their
//! session ends.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::{
    SessionHash, Settings,
    cache::{Held, SessionCache},
};
use crate::{clock::Clock, grant::GrantId};

/// The long-lived connections of one replica.
#[derive(Debug)]
pub struct Connections {
    cache: Arc<SessionCache>,
    settings: Settings,
    clock: Clock,
    open: [Mutex<HashMap<SessionHash, Open>>; SHARDS],
    count: AtomicUsize,
    opened: AtomicU64,
}

/// Connections that begin and end at once should not wait for each other.
const SHARDS: usize = 16;

/// Those of one session.
#[derive(Debug)]
struct Open {
    /// Tells this entry from one that the same session had before.
    id: u64,
    /// Counts what was opened; what is opened while the session is looked at has not been looked at.
    newest: u64,
    held: Arc<Held>,
    grant: GrantId,
    connections: usize,
    ended: CancellationToken,
    /// Nobody has looked yet whether the session ended while the connection was being made.
    is_new: bool,
}

/// The right to register connections of one visitor's.
#[derive(Clone, Debug)]
pub struct Watch {
    connections: Arc<Connections>,
    held: Arc<Held>,
}

/// One long-lived connection. Dropping it says that it is over.
#[derive(Debug)]
pub struct Connection {
    watch: Watch,
    entry: u64,
    ended: CancellationToken,
}

/// What is known of a session that has connections.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its name when its connections were made.
    pub hash: SessionHash,
    /// Its name by now: its user may have logged in again in the same browser.
    pub current: SessionHash,
    /// The grant that it pointed to when it was last looked at.
    pub grant: GrantId,
    /// The newest of its connections.
    newest: u64,
    /// Not looked at yet.
    pub is_new: bool,
    /// By what this replica knows, it has reached a limit.
    pub reached_a_limit: bool,
}

impl Connections {
    /// None, for sessions within these limits.
    pub fn new(cache: Arc<SessionCache>, settings: Settings, clock: Clock) -> Self {
        Self { cache, settings, clock, open: Default::default(), count: AtomicUsize::new(0), opened: AtomicU64::new(0) }
    }

    fn shard(&self, hash: SessionHash) -> MutexGuard<'_, HashMap<SessionHash, Open>> {
        let [first, ..] = hash.0;
        let [zeroth, rest @ ..] = &self.open;
        let shard = rest.get(usize::from(first) % SHARDS).unwrap_or(zeroth);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the session's requests.
    pub fn watch(self: &Arc<Self>, held: Arc<Held>) -> Watch {
        Watch { connections: Arc::clone(self), held }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The sessions that have any.
    pub fn sessions(&self) -> Vec<Seen> {
        let now = self.clock.now();
        let mut all = Vec::new();
        for shard in &self.open {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.iter().map(|(hash, open)| Seen {
                hash: *hash,
                current: open.held.session.hash,
                grant: open.grant,
                newest: open.newest,
                is_new: open.is_new,
                reached_a_limit: self.settings.reached(&open.held.session, SessionCache::last_seen(&open.held), now).is_some(),
            }));
        }
        all
    }

    /// Notes that a session was looked at as it was `seen`, and lives as `held` says.
    pub fn lives(&self, seen: &Seen, held: Arc<Held>) {
        if let Some(open) = self.shard(seen.hash).get_mut(&seen.hash) {
            open.grant = held.session.grant;
            open.is_new &= open.newest != seen.newest;
            open.held = held;
        }
    }

    /// Cuts the connections of a session that has ended.
    pub fn cut(&self, hash: SessionHash) {
        if let Some(open) = self.shard(hash).remove(&hash) {
            open.ended.cancel();
        }
    }
}

impl Watch {
    /// Registers a connection.
    pub fn open(&self) -> Connection {
        let session = &self.held.session;
        let number = self.connections.opened.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.connections.shard(session.hash);
        let open = shard.entry(session.hash).or_insert_with(|| Open {
            id: number,
            newest: number,
            held: Arc::clone(&self.held),
            grant: session.grant,
            connections: 0,
            ended: CancellationToken::new(),
            is_new: true,
        });
        open.connections += 1;
        open.is_new = true;
        open.newest = number;
        self.connections.count.fetch_add(1, Ordering::Relaxed);
        Connection { entry: open.id, ended: open.ended.clone(), watch: self.clone() }
    }
}

impl Connection {
    /// Cancelled when its session has ended.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Notes that its user sent something, which is use of the session as much as a request is.
    pub fn used(&self) {
        let connections = &self.watch.connections;
        let hash = self.watch.held.session.hash;
        // Its session may have followed the one with which it was opened.
        let held = connections.shard(hash).get(&hash).filter(|open| open.id == self.entry).map(|open| Arc::clone(&open.held));
        let held = held.as_ref().unwrap_or(&self.watch.held);
        connections.cache.touch(held, &connections.settings, connections.clock.now());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let connections = &self.watch.connections;
        connections.count.fetch_sub(1, Ordering::Relaxed);
        let hash = self.watch.held.session.hash;
        let mut shard = connections.shard(hash);
        if let Some(open) = shard.get_mut(&hash).filter(|open| open.id == self.entry) {
            open.connections = open.connections.saturating_sub(1);
            if open.connections == 0 {
                shard.remove(&hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::ready, time::Duration};

    use super::*;
    use crate::session::Session;

    #[tokio::test]
    async fn connections_are_cut_with_their_session_and_forgotten_with_their_last() {
        let cache = Arc::new(SessionCache::default());
        let clock = Clock::manual();
        let hour = Duration::from_secs(3600);
        let settings = Settings { idle: hour, absolute: 10 * hour, sliding: true };
        let connections = Arc::new(Connections::new(Arc::clone(&cache), settings, clock.clone()));
        let session =
            Session { hash: SessionHash([7; 32]), grant: GrantId([1; 16]), created_at: clock.now(), last_seen: clock.now() };
        let held = cache.session(session.hash, clock.now(), || ready(Ok::<_, Infallible>(Some(session.clone())))).await;
        let held = held.unwrap().unwrap();
        let watch = connections.watch(Arc::clone(&held));

        let first = watch.open();
        let looked_at = connections.sessions()[0];
        let second = watch.open();
        assert_eq!((connections.count(), connections.sessions().len()), (2, 1));
        connections.lives(&looked_at, Arc::clone(&held));
        assert!(connections.sessions().iter().all(|seen| seen.is_new), "the second came while the session was looked at");
        connections.lives(&connections.sessions()[0], held);
        assert!(connections.sessions().iter().all(|seen| !seen.is_new && !seen.reached_a_limit));
        clock.advance(2 * hour);
        assert!(connections.sessions().iter().all(|seen| seen.reached_a_limit));
        first.used();
        assert!(connections.sessions().iter().all(|seen| !seen.reached_a_limit), "what its user sends is use");
        assert_eq!(cache.take_touched().len(), 1);

        // Its user logs in again in the same browser: what they send is use of the session that followed.
        let next = Session { hash: SessionHash([8; 32]), last_seen: clock.now(), ..session.clone() };
        let follows = cache.session(next.hash, clock.now(), || ready(Ok::<_, Infallible>(Some(next.clone())))).await;
        connections.lives(&connections.sessions()[0], follows.unwrap().unwrap());
        clock.advance(hour / 2);
        first.used();
        assert_eq!(cache.take_touched().into_iter().map(|(hash, _)| hash).collect::<Vec<_>>(), [next.hash]);

        connections.cut(session.hash);
        assert!(first.ended().is_cancelled() && second.ended().is_cancelled());
        let late = watch.open();
        drop((first, second));
        assert_eq!(connections.sessions().len(), 1, "those that were cut take no later one along");
        drop(late);
        assert_eq!((connections.count(), connections.sessions().len()), (0, 0));
    }
}
