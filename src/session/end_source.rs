//! Who outside of Evergate has a user's sessions ended.

/// Who outside of Evergate has a user's sessions ended. Recorded in the history, as its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndSource {
    /// The provider, by a frame in the user's browser (OpenID Connect Front-Channel Logout 1.0). It ends the least, so that it is the least.
    FrontChannelLogout,
    /// The provider, by a logout token (OpenID Connect Back-Channel Logout 1.0).
    BackChannelLogout,
    /// The provider or a security tool, by Global Token Revocation (Okta's Universal Logout).
    GlobalTokenRevocation,
    /// A directory, by SCIM.
    Scim,
    /// The provider or another transmitter of shared signals, by a security event (RFC 8417).
    SecurityEvent,
}

impl EndSource {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::FrontChannelLogout, Self::BackChannelLogout, Self::GlobalTokenRevocation, Self::Scim, Self::SecurityEvent];

    /// The name in the history, the log and the metrics. It must not change.
    pub fn as_str(self) -> &'static str {
        match self {
            // The name that the history had before there were others.
            Self::BackChannelLogout => "provider",
            Self::GlobalTokenRevocation => "global_token_revocation",
            Self::Scim => "scim",
            Self::SecurityEvent => "security_event",
            Self::FrontChannelLogout => "front_channel_logout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::USER_END_SOURCES;

    #[test]
    fn each_has_a_metric_from_the_beginning() {
        assert_eq!(EndSource::ALL.map(EndSource::as_str), USER_END_SOURCES);
    }
}
