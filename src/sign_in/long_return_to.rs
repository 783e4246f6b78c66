//! Stores the addresses of pages that are too long for `state` until their login attempts return. Few are stored, so that nobody can
//! fill the store with them.

use std::time::Duration;

use super::{
    SignIn,
    attempt::{Attempt, LIFE},
    return_to::ReturnTo,
};
use crate::{address::AccessUrl, clock::Timestamp};

/// How many are stored: some sixteen megabytes at the most.
const LIMIT: i64 = 2000;
/// How long an attempt waits for the ones before it.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// While there is no room, the store is asked again after this long.
const FULL_FOR: Duration = Duration::from_secs(10);
const PLACE: &str = "parked address";

/// A lock that is held while an address is stored; it tells until when there is no room for more.
#[derive(Debug, Default)]
pub struct StoredReturnTos(tokio::sync::Mutex<Timestamp>);

impl SignIn {
    /// Stores the address to which an attempt leads. `false`: it leads to the front page instead.
    pub(super) async fn store_return_to(&self, attempt: &Attempt, return_to: &ReturnTo) -> bool {
        // One at a time, and none while there is no room: strangers must not keep the store busy with it.
        let Ok(mut full_until) = tokio::time::timeout(LONGEST_WAIT, self.return_tos.0.lock()).await else { return false };
        if attempt.at() < *full_until {
            return false;
        }
        let Ok(sealed) = self.keys.seal(PLACE, return_to.path().as_bytes()) else { return false };
        // Kept for longer than the attempt, which may begin again when it is too old.
        let expires_at = attempt.at().plus(2 * LIFE);
        match self.store.save_return_to(attempt.name(PLACE), &sealed, expires_at, LIMIT).await {
            Ok(is_stored) => {
                if !is_stored {
                    *full_until = attempt.at().plus(FULL_FOR);
                }
                is_stored
            }
            Err(error) => {
                tracing::debug!(%error, "the long address of a page could not be kept for a login");
                false
            }
        }
    }

    /// The page to which an attempt leads.
    pub(super) async fn destination(&self, attempt: &Attempt, site: &AccessUrl) -> ReturnTo {
        let path = match attempt.return_to() {
            Some(path) => Some(path.to_owned()),
            None => {
                let sealed = self.store.return_to(attempt.name(PLACE)).await.ok().flatten();
                let plain = sealed.and_then(|sealed| self.keys.open(PLACE, &sealed).ok());
                plain.and_then(|plain| String::from_utf8(plain).ok())
            }
        };
        path.map_or_else(ReturnTo::front_page, |path| ReturnTo::parse(&path, site))
    }
}
