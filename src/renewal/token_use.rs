//! How an attempt presents a refresh token, and within which times.

use std::time::Duration;

use super::recovery::MAX_INTENT_AGE;
use crate::{grant::Grant, store::ExpiredAttempt};

/// How a refresh token is presented.
#[derive(Clone, Copy)]
pub(super) enum TokenUse {
    /// For the first time.
    First,
    /// Again, after an attempt whose outcome is unknown, where that is known to be harmless.
    Again(ExpiredAttempt),
    /// Again, within a reuse interval; so long after the intent at the latest.
    InTime(ExpiredAttempt, Duration),
    /// Again, if introspection says that it is still active.
    IfActive(ExpiredAttempt),
}

impl TokenUse {
    pub(super) fn follows(self) -> Option<ExpiredAttempt> {
        match self {
            Self::First => None,
            Self::Again(expired) | Self::InTime(expired, _) | Self::IfActive(expired) => Some(expired),
        }
    }

    /// How old its intent may be when the token is presented.
    pub(super) fn latest(self) -> Duration {
        match self {
            Self::First | Self::Again(_) | Self::IfActive(_) => MAX_INTENT_AGE,
            Self::InTime(_, latest) => latest,
        }
    }

    /// How long after that there must be a connection that the token is sent over, if that is limited.
    pub(super) fn sent_within(self) -> Option<Duration> {
        match self {
            Self::First | Self::Again(_) | Self::IfActive(_) => None,
            Self::InTime(_, latest) => Some(latest),
        }
    }

    /// How long the token may still be presented, if that is limited.
    pub(super) fn window(self, grant: &Grant) -> Option<Duration> {
        let within = self.follows()?.within?;
        Some(within.saturating_sub(grant.presented_ago.unwrap_or_default()))
    }
}

/// What to do with a token whose last attempt's lease has expired.
pub(super) enum Recovered {
    /// Present it in this way.
    Use(TokenUse),
    /// Nothing: the grant has ended, and the outcome stays unknown.
    Abandoned,
    /// Nothing: something else has happened to the grant.
    Outdone,
    /// It cannot be decided yet; retry after this long.
    NotYet(Duration),
}
