//! Registers connections that outlive their request (WebSockets, Server-Sent Events, long downloads), so that they can be cut
//! when their session ends, or the token ends that they were opened with.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    SessionHash, Settings, TokenOwner,
    cache::{CachedSession, SessionCache},
    ended_users::EndedUsers,
};
use crate::{
    clock::{Clock, Timestamp},
    grant::GrantId,
    lock::{Mutex, MutexGuard},
};

/// The sessions of one replica that have long-lived connections.
#[derive(Debug)]
pub struct LiveSessions {
    cache: Arc<SessionCache>,
    settings: Settings,
    clock: Clock,
    shards: [Mutex<HashMap<SessionHash, LiveSession>>; SHARDS],
    count: AtomicUsize,
    opened: AtomicU64,
}

/// Connections that begin and end concurrently should not wait for each other.
const SHARDS: usize = 16;

/// A session and its long-lived connections.
#[derive(Debug)]
struct LiveSession {
    /// Distinguishes this entry from an earlier one of the same session.
    id: u64,
    /// The number of its newest connection: one that is opened during a check has not been checked.
    newest: u64,
    cached: Arc<CachedSession>,
    grant: GrantId,
    connections: usize,
    ended: CancellationToken,
    /// Whether it has not been checked yet that the session did not end while its newest connection was being made.
    is_new: bool,
}

/// Registers connections of one session, or of a bearer token.
#[derive(Clone, Debug)]
pub struct Watch(Watched);

#[derive(Clone, Debug)]
enum Watched {
    Session(WatchedSession),
    Token(WatchedToken),
}

#[derive(Clone, Debug)]
struct WatchedSession {
    connections: Arc<LiveSessions>,
    cached: Arc<CachedSession>,
}

/// A bearer token, which ends at a time, or before it with its user.
#[derive(Clone, Debug)]
pub struct WatchedToken {
    /// When it expires.
    pub end: Timestamp,
    /// Whose it is.
    pub owner: TokenOwner,
    /// Users who were ended.
    pub ended_users: Arc<EndedUsers>,
    /// The time.
    pub clock: Clock,
}

/// One long-lived connection. Dropping it unregisters it.
#[derive(Debug)]
pub struct Connection {
    ended: CancellationToken,
    registration: Registration,
}

#[derive(Debug)]
enum Registration {
    Session {
        session: WatchedSession,
        /// The entry of the registry.
        entry: u64,
    },
    Token(#[expect(dead_code, reason = "it ends with the connection")] AbortOnDropHandle<()>),
}

/// How often the clock is looked at, which may have been set, or have gone on while the machine slept.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(2);

/// A live session as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// The session's hash when its connections were made.
    pub hash: SessionHash,
    /// The session's hash now: its user may have logged in again in the same browser.
    pub current: SessionHash,
    /// The grant that it pointed to at the last check.
    pub grant: GrantId,
    /// The newest of its connections.
    newest: u64,
    /// Whether it has not been checked yet.
    pub is_new: bool,
    /// Whether it has reached a limit, by what this replica knows.
    pub reached_a_limit: bool,
}

impl LiveSessions {
    /// Creates an empty registry for sessions with these limits.
    pub fn new(cache: Arc<SessionCache>, settings: Settings, clock: Clock) -> Self {
        Self { cache, settings, clock, shards: Default::default(), count: AtomicUsize::new(0), opened: AtomicU64::new(0) }
    }

    fn shard(&self, hash: SessionHash) -> MutexGuard<'_, HashMap<SessionHash, LiveSession>> {
        let [first, ..] = hash.0;
        let [zeroth, rest @ ..] = &self.shards;
        let shard = rest.get(usize::from(first) % SHARDS).unwrap_or(zeroth);
        shard.lock()
    }

    /// Returns the handle that registers connections of this session.
    pub fn watch(self: &Arc<Self>, cached: Arc<CachedSession>) -> Watch {
        Watch(Watched::Session(WatchedSession { connections: Arc::clone(self), cached }))
    }

    /// The number of long-lived connections.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns a snapshot of each session that has any.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let now = self.clock.now();
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            all.extend(shard.iter().map(|(hash, open)| Snapshot {
                hash: *hash,
                current: open.cached.session.hash,
                grant: open.grant,
                newest: open.newest,
                is_new: open.is_new,
                reached_a_limit: open.cached.reached(&self.settings, now).is_some(),
            }));
        }
        all
    }

    /// Records that a check of the session as it was `seen` found it alive, now as `cached`.
    pub fn confirm(&self, seen: &Snapshot, cached: Arc<CachedSession>) {
        if let Some(open) = self.shard(seen.hash).get_mut(&seen.hash) {
            open.grant = cached.session.grant;
            open.is_new &= open.newest != seen.newest;
            open.cached = cached;
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
    /// Registers connections that were opened with a bearer token.
    pub fn token(token: WatchedToken) -> Self {
        Self(Watched::Token(token))
    }

    /// Registers a connection.
    pub fn open(&self) -> Connection {
        match &self.0 {
            Watched::Session(session) => session.open(),
            Watched::Token(token) => {
                let (token, ended) = (token.clone(), CancellationToken::new());
                let at_the_end = ended.clone();
                let waiting = tokio::spawn(async move {
                    token.until_ended().await;
                    at_the_end.cancel();
                });
                Connection { ended, registration: Registration::Token(AbortOnDropHandle::new(waiting)) }
            }
        }
    }
}

impl WatchedToken {
    async fn until_ended(&self) {
        let expired = async {
            loop {
                let rest = self.end.since(self.clock.now());
                if rest.is_zero() {
                    return;
                }
                tokio::time::sleep(rest.min(LOOK_AT_CLOCK)).await;
            }
        };
        tokio::select! {
            () = expired => {}
            () = self.ended_users.until_included(&self.owner) => {}
        }
    }
}

impl WatchedSession {
    fn open(&self) -> Connection {
        let session = &self.cached.session;
        let number = self.connections.opened.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.connections.shard(session.hash);
        let open = shard.entry(session.hash).or_insert_with(|| LiveSession {
            id: number,
            newest: number,
            cached: Arc::clone(&self.cached),
            grant: session.grant,
            connections: 0,
            ended: CancellationToken::new(),
            is_new: true,
        });
        open.connections += 1;
        open.is_new = true;
        open.newest = number;
        self.connections.count.fetch_add(1, Ordering::Relaxed);
        let registration = Registration::Session { session: self.clone(), entry: open.id };
        Connection { ended: open.ended.clone(), registration }
    }

    /// Records that the user sent something.
    fn used(&self, entry: u64) {
        let hash = self.cached.session.hash;
        let connections = &self.connections;
        // Its session may have followed the one with which it was opened.
        let cached = connections.shard(hash).get(&hash).filter(|open| open.id == entry).map(|open| Arc::clone(&open.cached));
        let cached = cached.as_ref().unwrap_or(&self.cached);
        connections.cache.touch(cached, &connections.settings, connections.clock.now());
    }

    fn close(&self, entry: u64) {
        let connections = &self.connections;
        connections.count.fetch_sub(1, Ordering::Relaxed);
        let hash = self.cached.session.hash;
        let mut shard = connections.shard(hash);
        if let Some(open) = shard.get_mut(&hash).filter(|open| open.id == entry) {
            open.connections = open.connections.saturating_sub(1);
            if open.connections == 0 {
                shard.remove(&hash);
            }
        }
    }
}

impl Connection {
    /// The token that is cancelled when the session ends.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Records that the user sent something, which is use of the session as much as a request is.
    pub fn used(&self) {
        if let Registration::Session { session, entry } = &self.registration {
            session.used(*entry);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Registration::Session { session, entry } = &self.registration {
            session.close(*entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::ready, time::Duration};

    use super::*;
    use crate::{reading::Reading, session::Session};

    #[tokio::test]
    async fn connections_are_cut_with_their_session_and_forgotten_with_their_last() {
        let cache = Arc::new(SessionCache::default());
        let clock = Clock::manual();
        let hour = Duration::from_secs(3600);
        let settings = Settings { idle: hour, absolute: 10 * hour, sliding: true, longest_token: 10 * hour };
        let connections = Arc::new(LiveSessions::new(Arc::clone(&cache), settings, clock.clone()));
        let session = Session {
            hash: SessionHash([7; 32]),
            grant: GrantId([1; 16]),
            created_at: clock.now(),
            last_seen: clock.now(),
            provider_session: None,
            site: None,
            token: None,
            login: None,
        };
        let cached = cache
            .session(session.hash, clock.now(), || ready(Ok::<_, Infallible>(Some(Reading::Current(session.clone())))))
            .await;
        let cached = cached.unwrap().unwrap();
        let watch = connections.watch(Arc::clone(&cached));

        let first = watch.open();
        let looked_at = connections.snapshots()[0];
        let second = watch.open();
        assert_eq!((connections.count(), connections.snapshots().len()), (2, 1));
        connections.confirm(&looked_at, Arc::clone(&cached));
        assert!(connections.snapshots().iter().all(|seen| seen.is_new), "the second came while the session was looked at");
        connections.confirm(&connections.snapshots()[0], cached);
        assert!(connections.snapshots().iter().all(|seen| !seen.is_new && !seen.reached_a_limit));
        clock.advance(2 * hour);
        assert!(connections.snapshots().iter().all(|seen| seen.reached_a_limit));
        first.used();
        assert!(connections.snapshots().iter().all(|seen| !seen.reached_a_limit), "what its user sends is use");
        assert_eq!(cache.take_touched().len(), 1);

        // Its user logs in again in the same browser: what they send is use of the session that followed.
        let next = Session { hash: SessionHash([8; 32]), last_seen: clock.now(), ..session.clone() };
        let follows =
            cache.session(next.hash, clock.now(), || ready(Ok::<_, Infallible>(Some(Reading::Current(next.clone()))))).await;
        connections.confirm(&connections.snapshots()[0], follows.unwrap().unwrap());
        clock.advance(hour / 2);
        first.used();
        assert_eq!(cache.take_touched().into_iter().map(|(hash, _)| hash).collect::<Vec<_>>(), [next.hash]);

        connections.cut(session.hash);
        assert!(first.ended().is_cancelled() && second.ended().is_cancelled());
        let late = watch.open();
        drop((first, second));
        assert_eq!(connections.snapshots().len(), 1, "those that were cut take no later one along");
        drop(late);
        assert_eq!((connections.count(), connections.snapshots().len()), (0, 0));
    }
}
