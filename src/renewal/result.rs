//! What a token refresh comes to, for its grant and for the request that needs it.

use std::{sync::Arc, time::Duration};

use crate::grant::{EndReason, Grant};

/// A grant that a request may use.
#[derive(Debug)]
pub struct Usable {
    /// The grant.
    pub grant: Arc<Grant>,
    /// Whether the access token has expired and cannot be refreshed now, within the outage grace.
    pub stale: bool,
}

/// Why a request cannot use its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The user must sign in again, for which silent re-authentication may suffice.
    SignInAgain(EndReason),
    /// The provider refuses to refresh this grant without ending it. A new grant may work.
    Refused,
    /// The session has ended meanwhile.
    Gone,
    /// The token refresh did not finish; retry after this long. The user stays logged in.
    Unavailable(Duration),
}

/// The outcome of a token refresh.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// The grant has been refreshed, by this attempt or another.
    Renewed(Arc<Grant>),
    /// The grant has ended.
    Ended(Arc<Grant>),
    /// The grant has been removed.
    Gone,
    /// The provider refuses this grant without ending it.
    Refused,
    /// The provider's rate limit is reached; retry after this long.
    Busy(Duration),
    /// The provider or the store is unavailable; retry after this long.
    Unavailable(Duration),
}
