//! Stores return addresses that are too long for `state` until their login attempts complete. Their number is limited, so that
//! nobody can fill the store with them.

use std::time::Duration;

use super::{
    LoginParts,
    attempt::{Attempt, LIFE},
    return_to::ReturnTo,
};
use crate::address::AccessUrl;

/// How many are stored: about sixteen megabytes at most.
const LIMIT: i64 = 2000;
/// How long an attempt waits for the lock.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How long no address is stored after the limit was reached.
const FULL_RETRY: Duration = Duration::from_secs(10);
const CONTEXT: &str = "parked address";

impl LoginParts {
    /// Stores an attempt's return address. Returns `false` if it was not stored, so that the login leads to the front page.
    pub(super) async fn store_return_to(&self, attempt: &Attempt, return_to: &ReturnTo) -> bool {
        // One at a time, and none while the limit is reached: unauthenticated clients must not keep the store busy.
        let Ok(mut full_until) = tokio::time::timeout(MAX_WAIT, self.return_tos.lock()).await else { return false };
        if attempt.at() < *full_until {
            return false;
        }
        let Ok(sealed) = self.keys.seal(CONTEXT, return_to.path().as_bytes()) else { return false };
        // Kept for longer than the attempt, which may be retried after it has expired.
        let expires_at = attempt.at().plus(2 * LIFE);
        match self.store.save_return_to(attempt.name(CONTEXT), &sealed, expires_at, LIMIT).await {
            Ok(is_stored) => {
                if !is_stored {
                    *full_until = attempt.at().plus(FULL_RETRY);
                }
                is_stored
            }
            Err(error) => {
                tracing::debug!(%error, "a long return address could not be stored");
                false
            }
        }
    }

    /// Returns an attempt's return address.
    pub(super) async fn destination(&self, attempt: &Attempt, site: &AccessUrl) -> ReturnTo {
        let path = match attempt.return_to() {
            Some(path) => Some(path.to_owned()),
            None => {
                let sealed = self.store.return_to(attempt.name(CONTEXT)).await.ok().flatten();
                let plain = sealed.and_then(|sealed| self.keys.open(CONTEXT, &sealed).ok());
                plain.and_then(|plain| String::from_utf8(plain).ok())
            }
        };
        path.map_or_else(ReturnTo::front_page, |path| ReturnTo::parse(&path, site))
    }
}
