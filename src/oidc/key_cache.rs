//! The cached keys of the provider, and how often they are fetched.
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

use crate::{
    clock::Timestamp,
    jose::{JoseError, KeySet, UnknownKeyIds},
    lock::RwLock,
};

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
#[derive(Debug, Default)]
pub(super) struct KeyCache {
    newest: RwLock<Fetched>,
    /// How many fetches have begun.
    begun: AtomicU64,
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

/// A fetch, by the order in which they begin. A token is certainly older than a fetch that begins after it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FetchNumber(u64);

/// The rate limit of one purpose.
#[derive(Debug, Default)]
pub(super) struct FetchLimit {
    /// When a fetch was last under way; locked during a fetch, so that others with the same purpose wait for it.
    pub(super) last: tokio::sync::Mutex<Option<Timestamp>>,
    failures: AtomicU64,
}

impl FetchLimit {
    /// How many fetches have failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// Counts one.
    pub(super) fn record_failure(&self) {
        self.failures.fetch_add(1, Ordering::AcqRel);
    }
}

impl KeyCache {
    /// The cached keys.
    pub(super) fn current(&self) -> Arc<KeySet> {
        self.fetched().keys
    }

    /// The same, with when they were fetched.
    pub(super) fn fetched(&self) -> Fetched {
        self.newest.read().clone()
    }

    /// The last fetch that has begun so far.
    pub(super) fn last_begun(&self) -> FetchNumber {
        FetchNumber(self.begun.load(Ordering::Acquire))
    }

    /// Counts a fetch that begins.
    pub(super) fn begin(&self) -> FetchNumber {
        FetchNumber(self.begun.fetch_add(1, Ordering::AcqRel).saturating_add(1))
    }

    /// The keys that a fetch has found which began after another.
    pub(super) fn begun_after(&self, other: FetchNumber) -> Option<Arc<KeySet>> {
        let newest = self.fetched();
        (newest.begun > other).then_some(newest.keys)
    }

    /// Keeps what a fetch has found, unless one that began later is known already.
    pub(super) fn replace(&self, keys: Arc<KeySet>, begun: FetchNumber, now: Timestamp) {
        let mut newest = self.newest.write();
        if newest.begun < begun {
            *newest = Fetched { keys, at: Some(now), begun };
        }
    }

    pub(super) fn fetch_limit(&self, purpose: KeyPurpose) -> &FetchLimit {
        match purpose {
            KeyPurpose::Login => &self.login,
            KeyPurpose::Renewal => &self.renewal,
            KeyPurpose::Logout => &self.logout,
            KeyPurpose::AccessToken => &self.access_token,
            KeyPurpose::LogoutHint => &self.logout_hint,
        }
    }
}
