//! The cached keys of the provider, and how often they are fetched.
//!
//! Who can cause a fetch differs: a login's token comes from the token endpoint, a logout token or an API client's from anybody. So each purpose
//! has a rate limit of its own, and fetches that one of them wastes do not delay the others.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Timestamp,
    jose::{KeySet, UnknownKeyIds},
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
    set: RwLock<Fetched>,
    login: FetchLimit,
    renewal: FetchLimit,
    logout: FetchLimit,
    access_token: FetchLimit,
    logout_hint: FetchLimit,
}

/// Keys, and when they were fetched; `None`: never.
type Fetched = (Arc<KeySet>, Option<Timestamp>);

/// When a fetch was last under way; locked during a fetch, so that others with the same purpose wait for it.
pub(super) type FetchLimit = tokio::sync::Mutex<Option<Timestamp>>;

impl KeyCache {
    /// The cached keys.
    pub(super) fn current(&self) -> Arc<KeySet> {
        self.fetched().0
    }

    /// The same, with when they were fetched.
    pub(super) fn fetched(&self) -> Fetched {
        let (keys, at) = &*self.set.read();
        (Arc::clone(keys), *at)
    }

    /// Replaces the cached keys.
    pub(super) fn replace(&self, keys: Arc<KeySet>, now: Timestamp) {
        *self.set.write() = (keys, Some(now));
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
