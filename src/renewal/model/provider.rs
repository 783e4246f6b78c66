//! The provider: what becomes of a refresh token that is presented.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use crate::oidc::{FetchError, TokenFailure};

/// What a provider does with a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// It stays good.
    Reusable,
    /// A new one replaces it, and whoever presents it again is a thief.
    ReuseDetection,
    /// A new one replaces it, and whoever presents it again so many ticks later is a thief.
    ReuseInterval(u8),
    /// A new one replaces it, and it is refused.
    SingleUse,
}

/// The provider's side of the grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Issuer {
    /// The refresh tokens by their number, each with how long ago it was used.
    tokens: Vec<Option<u8>>,
    /// It has ended the grant.
    pub(super) revoked: bool,
}

/// A token call under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) token: u8,
    /// Who waits for the response.
    pub(super) asker: Option<u8>,
    /// Before so many ticks have passed the provider has acted on it, or never will.
    pub(super) left: u8,
    /// What the provider said, once it has.
    pub(super) reply: Option<Reply>,
}

/// What came of a token call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reply {
    /// Tokens, with a new refresh token or without one.
    Tokens(Option<u8>),
    /// `invalid_grant`.
    InvalidGrant,
    /// Nothing was done, and the provider says so.
    Unavailable,
    /// No answer came.
    Broken,
}

impl Reply {
    /// The failure as the code is told of it.
    pub(super) fn failure(self) -> TokenFailure {
        let refused = |status, code: Option<&str>| TokenFailure::Refused {
            status,
            code: code.map(str::to_owned),
            description: None,
            retry_after: Some(Duration::from_secs(1)),
            may_hide_an_answer: false,
        };
        match self {
            Self::Tokens(_) => TokenFailure::Unusable("the model takes these tokens for unusable"),
            Self::InvalidGrant => refused(StatusCode::BAD_REQUEST, Some("invalid_grant")),
            Self::Unavailable => refused(StatusCode::SERVICE_UNAVAILABLE, None),
            Self::Broken => TokenFailure::NoResponse(FetchError::Broken(Arc::new(std::io::Error::other("reset")))),
        }
    }
}

impl Issuer {
    pub(super) fn new() -> Self {
        Self { tokens: vec![None], revoked: false }
    }

    pub(super) fn tick(&mut self, oldest: u8) {
        for ago in self.tokens.iter_mut().flatten() {
            *ago = (*ago + 1).min(oldest);
        }
    }

    pub(super) fn is_used(&self, token: u8) -> bool {
        self.tokens[usize::from(token)].is_some()
    }

    /// What introspection (RFC 7662) says of a token.
    pub(super) fn is_active(&self, token: u8) -> bool {
        !self.revoked && !self.is_used(token)
    }

    /// Acts on a token that is presented. An error is what must never happen.
    pub(super) fn act(&mut self, token: u8, habit: Habit) -> Result<Reply, &'static str> {
        if self.revoked {
            return Ok(Reply::InvalidGrant);
        }
        match (habit, self.tokens[usize::from(token)]) {
            (Habit::Reusable, _) => return Ok(Reply::Tokens(None)),
            (Habit::SingleUse, Some(_)) => return Ok(Reply::InvalidGrant),
            (Habit::ReuseDetection, Some(_)) => return Err("a used token was presented"),
            (Habit::ReuseInterval(interval), Some(ago)) if ago >= interval => {
                return Err("a used token was presented after its interval");
            }
            (_, None) => self.tokens[usize::from(token)] = Some(0),
            (Habit::ReuseInterval(_), Some(_)) => {}
        }
        self.tokens.push(None);
        Ok(Reply::Tokens(Some(u8::try_from(self.tokens.len() - 1).unwrap())))
    }
}
