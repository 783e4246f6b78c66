//! The cached keys of an issuer: verifies signatures with them, and has them fetched again for a token that none of them verifies.
//!
//! Who can cause a fetch differs: a login's token comes from the token endpoint, a logout token or an API client's from anybody. So each purpose
//! has a rate limit of its own, and fetches that one of them wastes do not delay the others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::id_token::was_issued_before;
use crate::{
    clock::{Clock, Timestamp},
    jose::{JoseError, KeySet, UnknownKeyIds},
    lock::{Mutex, RwLock},
};

/// Keys that are older than this are fetched anew, because one may have been withdrawn. It is a little longer than discovery's hour, whose
/// reads come first where they succeed.
const KEYS_ARE_FRESH_FOR: Duration = Duration::from_secs(3900);
/// The shortest time between two fetches of keys for their age.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// What a signature is verified for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyPurpose {
    Login,
    Renewal,
    Logout,
    AccessToken,
    /// To tell whether the provider can still verify an `id_token_hint`.
    LogoutHint,
}

/// What becomes of a token that no known key verifies, while the rate limit allows no fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhileLimited {
    /// It waits for the next fetch: its user has just logged in, and few others can be the cause.
    Waits,
    /// It cannot be judged, unless the keys are newer than it is: anybody may have used up the limit.
    IsPutOff,
    /// The same, unless the key that it names is known and has not signed it: then it is refused, so that its client does not send it again.
    IsPutOffUnlessForged,
    /// It is refused, which ends nothing.
    IsRefused,
}

impl WhileLimited {
    /// Whether a token that the known keys do not verify is left unjudged.
    pub(super) fn puts_off(self, error: &JoseError) -> bool {
        match self {
            Self::Waits | Self::IsPutOff => error.may_need_newer_keys(),
            Self::IsPutOffUnlessForged => error.may_need_newer_keys() && !error.is_by_no_named_key(),
            Self::IsRefused => false,
        }
    }
}

impl KeyPurpose {
    /// The shortest time between two fetches.
    pub(super) fn min_fetch_interval(self) -> Duration {
        match self {
            Self::Login => Duration::from_secs(3),
            Self::Renewal => Duration::from_secs(30),
            Self::Logout | Self::AccessToken => Duration::from_secs(10),
            Self::LogoutHint => Duration::from_secs(60),
        }
    }

    pub(super) fn while_limited(self) -> WhileLimited {
        match self {
            Self::Login => WhileLimited::Waits,
            // One that is refused is lost: nobody sends it again.
            Self::Logout => WhileLimited::IsPutOff,
            Self::AccessToken => WhileLimited::IsPutOffUnlessForged,
            Self::Renewal | Self::LogoutHint => WhileLimited::IsRefused,
        }
    }

    pub(super) fn unknown_key_ids(self) -> UnknownKeyIds {
        match self {
            Self::Login | Self::Logout | Self::AccessToken | Self::LogoutHint => UnknownKeyIds::Reject,
            Self::Renewal => UnknownKeyIds::Accept,
        }
    }
}

/// The keys that were last fetched, and the rate limits of fetching them.
#[derive(Debug)]
pub(super) struct KeyCache {
    clock: Clock,
    newest: RwLock<Fetched>,
    /// How many fetches have begun.
    begun: AtomicU64,
    /// When keys were last fetched, or were to be, for their age.
    refreshed_at: Mutex<Option<Timestamp>>,
    login: FetchLimit,
    renewal: FetchLimit,
    logout: FetchLimit,
    access_token: FetchLimit,
    logout_hint: FetchLimit,
}

/// Keys, as one fetch has found them.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetched {
    pub(super) keys: Arc<KeySet>,
    /// When the fetch ended; `None`: there was none.
    pub(super) at: Option<Timestamp>,
    begun: FetchNumber,
}

/// Keys that are newer than a token, or why there are none.
pub(super) enum NewerKeys {
    /// They were asked for after the token had come.
    Fetched(Arc<KeySet>),
    /// Others were asked for a moment ago.
    Limited,
}

/// A fetch, by the order in which they begin. A token is certainly older than a fetch that begins after it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FetchNumber(u64);

/// The rate limit of one purpose.
#[derive(Debug, Default)]
struct FetchLimit {
    /// When a fetch was last under way; locked during a fetch, so that others with the same purpose wait for it.
    last: tokio::sync::Mutex<Option<Timestamp>>,
    /// How many fetches have failed.
    failures: AtomicU64,
}

impl KeyCache {
    /// A cache that has no keys yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            newest: RwLock::default(),
            begun: AtomicU64::default(),
            refreshed_at: Mutex::default(),
            login: FetchLimit::default(),
            renewal: FetchLimit::default(),
            logout: FetchLimit::default(),
            access_token: FetchLimit::default(),
            logout_hint: FetchLimit::default(),
        }
    }

    /// The cached keys.
    pub(super) fn current(&self) -> Arc<KeySet> {
        self.fetched().keys
    }

    /// The same, with when they were fetched.
    pub(super) fn fetched(&self) -> Fetched {
        self.newest.read().clone()
    }

    /// Verifies a token's signature, as `verify` does by some keys, by the cached ones, or else by newer ones, which `fetch` finds. A token
    /// that newer keys might verify is refused by keys that were asked for after it had come, and by no others.
    ///
    /// # Errors
    /// Why it cannot be judged now.
    pub(super) async fn verify<T>(
        &self,
        token: &str,
        purpose: KeyPurpose,
        verify: impl Fn(&KeySet) -> Result<T, JoseError>,
        fetch: impl Future<Output = Result<KeySet, String>>,
    ) -> Result<Result<T, JoseError>, String> {
        let (begun, known) = (self.last_begun(), self.fetched());
        match verify(&known.keys) {
            Err(error) if error.may_need_newer_keys() => {}
            judged => return Ok(judged),
        }
        if let NewerKeys::Fetched(newer) = self.newer(begun, purpose, fetch).await? {
            return Ok(verify(&newer));
        }
        let known = self.fetched();
        match verify(&known.keys) {
            Err(error) if purpose.while_limited().puts_off(&error) && !was_issued_before(token, known.at) => {
                Err(format!("they were asked for a moment ago, and by those {error}"))
            }
            judged => Ok(judged),
        }
    }

    /// Keys that are asked for after `begun`: those that another task has just fetched, or else by a fetch. The rate limit counts from a
    /// fetch's end, so that whoever has waited for one that failed does not begin the next, and from its begin, if it is cancelled.
    pub(super) async fn newer(
        &self,
        begun: FetchNumber,
        purpose: KeyPurpose,
        fetch: impl Future<Output = Result<KeySet, String>>,
    ) -> Result<NewerKeys, String> {
        let (limit, interval) = (self.fetch_limit(purpose), purpose.min_fetch_interval());
        let failures = limit.failures.load(Ordering::Acquire);
        let mut last = limit.last.lock().await;
        let by_another = || self.begun_after(begun).map(NewerKeys::Fetched);
        if let Some(newer) = by_another() {
            return Ok(newer);
        }
        if limit.failures.load(Ordering::Acquire) != failures {
            return Err("another task has just asked for them in vain".to_owned());
        }
        let now = self.clock.now();
        if let Some(at) = last.filter(|at| now.is_within(interval, *at)) {
            match purpose.while_limited() {
                WhileLimited::Waits => tokio::time::sleep(interval.saturating_sub(now.since(at))).await,
                WhileLimited::IsPutOff | WhileLimited::IsPutOffUnlessForged | WhileLimited::IsRefused => {
                    return Ok(NewerKeys::Limited);
                }
            }
            if let Some(newer) = by_another() {
                return Ok(newer);
            }
        }
        *last = Some(self.clock.now());
        let fetched = self.keep(fetch).await;
        if fetched.is_err() {
            limit.failures.fetch_add(1, Ordering::AcqRel);
        }
        *last = Some(self.clock.now());
        fetched.map(NewerKeys::Fetched)
    }

    /// Keeps what a fetch finds that begins now, unless what one has found that began later is known when it ends.
    pub(super) async fn keep(&self, fetch: impl Future<Output = Result<KeySet, String>>) -> Result<Arc<KeySet>, String> {
        let begun = FetchNumber(self.begun.fetch_add(1, Ordering::AcqRel).saturating_add(1));
        let keys = Arc::new(fetch.await?);
        let mut newest = self.newest.write();
        if newest.begun < begun {
            *newest = Fetched { keys: Arc::clone(&keys), at: Some(self.clock.now()), begun };
        }
        Ok(keys)
    }

    /// Whether the keys are old, and whoever asks is the one in a minute that is to have them fetched anew. Nobody is to wait for it: while
    /// the issuer is away, its keys are the best that is known.
    pub(super) fn begin_refresh(&self) -> bool {
        let now = self.clock.now();
        let is_within = |span, at: Option<Timestamp>| at.is_some_and(|at| now.is_within(span, at));
        let fetched_at = self.newest.read().at;
        if fetched_at.is_none() || is_within(KEYS_ARE_FRESH_FOR, fetched_at) {
            return false;
        }
        let mut refreshed_at = self.refreshed_at.lock();
        if is_within(MIN_REFRESH_INTERVAL, *refreshed_at) {
            return false;
        }
        *refreshed_at = Some(now);
        true
    }

    /// The last fetch that has begun so far.
    pub(super) fn last_begun(&self) -> FetchNumber {
        FetchNumber(self.begun.load(Ordering::Acquire))
    }

    /// The keys that a fetch has found which began after another.
    fn begun_after(&self, other: FetchNumber) -> Option<Arc<KeySet>> {
        let newest = self.fetched();
        (newest.begun > other).then_some(newest.keys)
    }

    fn fetch_limit(&self, purpose: KeyPurpose) -> &FetchLimit {
        match purpose {
            KeyPurpose::Login => &self.login,
            KeyPurpose::Renewal => &self.renewal,
            KeyPurpose::Logout => &self.logout,
            KeyPurpose::AccessToken => &self.access_token,
            KeyPurpose::LogoutHint => &self.logout_hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn keys_that_are_old_are_fetched_anew_by_one_caller_a_minute() {
        let clock = Clock::manual();
        let cache = KeyCache::new(clock.clone());
        let begun = || [cache.begin_refresh(), cache.begin_refresh()];
        assert_eq!(begun(), [false, false], "whoever needs the first ones waits for them");
        cache.keep(async { Ok(KeySet::default()) }).await.unwrap();
        clock.advance(KEYS_ARE_FRESH_FOR.saturating_sub(Duration::from_secs(1)));
        assert_eq!(begun(), [false, false]);
        clock.advance(Duration::from_secs(1));
        assert_eq!(begun(), [true, false]);
        cache.keep(async { Err("the issuer is away".to_owned()) }).await.unwrap_err();
        clock.advance(MIN_REFRESH_INTERVAL);
        assert_eq!(begun(), [true, false], "they are no newer");
        cache.keep(async { Ok(KeySet::default()) }).await.unwrap();
        clock.advance(MIN_REFRESH_INTERVAL);
        assert_eq!(begun(), [false, false]);
    }

    /// A fetch that is over once it is `released`, and finds nothing.
    async fn slow_fetch(released: oneshot::Receiver<()>) -> Result<KeySet, String> {
        released.await.map_err(|error| error.to_string())?;
        Ok(KeySet::default())
    }

    #[tokio::test]
    async fn a_token_is_refused_by_no_keys_that_were_asked_for_before_it_came() {
        let unknown = |_: &KeySet| Err::<(), _>(JoseError::NoKey { algorithm: "ES256", id: None });
        let cache = KeyCache::new(Clock::manual());
        let (release, released) = oneshot::channel();
        let first = cache.verify("", KeyPurpose::Logout, unknown, slow_fetch(released));
        // It comes while the first one waits for its keys.
        let second = cache.verify("", KeyPurpose::Logout, unknown, async { Err("they are not to be fetched again".to_owned()) });
        let (first, second, ()) = tokio::join!(first, second, async { release.send(()).unwrap() });
        assert!(matches!(first, Ok(Err(JoseError::NoKey { .. }))), "{first:?}");
        assert!(second.is_err_and(|why| why.starts_with("they were asked for a moment ago")));
    }

    #[tokio::test]
    async fn what_an_older_fetch_finds_replaces_no_newer_keys() {
        let cache = KeyCache::new(Clock::manual());
        let (release, released) = oneshot::channel();
        let newer = async {
            let found = cache.keep(async { Ok(KeySet::default()) }).await.unwrap();
            release.send(()).unwrap();
            found
        };
        let (_, newer) = tokio::join!(cache.keep(slow_fetch(released)), newer);
        assert!(Arc::ptr_eq(&cache.current(), &newer));
    }
}
