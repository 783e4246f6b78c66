//! Why somebody must sign in.

use crate::grant::EndReason;

/// Why a request has no session that it can be served with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInReason {
    /// The request carries no session cookie, or two.
    NoSession,
    /// Nobody has the session that the cookie names: it was ended, or never was.
    UnknownSession,
    /// The session reached a limit.
    SessionExpired,
    /// The session's grant has ended.
    GrantEnded(EndReason),
    /// The provider refuses to renew the session's grant, and does not say that it is dead.
    GrantRefused,
    /// The session's grant lives, and was obtained with other settings.
    SettingsChanged,
}

impl SignInReason {
    /// The reason's name in responses and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::UnknownSession => "unknown_session",
            Self::SessionExpired => "session_expired",
            Self::GrantRefused => "grant_refused",
            Self::SettingsChanged => "settings_changed",
            Self::GrantEnded(EndReason::Dead) => "grant_dead",
            Self::GrantEnded(EndReason::OutcomeUnknown | EndReason::Restored) => "renewal_outcome_unknown",
            Self::GrantEnded(EndReason::IdentityRefused) => "identity_refused",
            Self::GrantEnded(EndReason::Expired) => "token_expired",
            Self::GrantEnded(EndReason::OtherProvider) => "other_provider",
            Self::GrantEnded(EndReason::KeyLost) => "key_lost",
        }
    }
}
