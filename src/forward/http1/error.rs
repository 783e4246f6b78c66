//! Why a request got no response, or no complete one.

use std::io;

/// The cause of a failure in a body or a connector.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request got no response, or no complete one.
#[derive(Debug, thiserror::Error)]
pub enum Http1Error {
    /// The connection broke.
    #[error("the connection broke")]
    Connection(#[from] io::Error),
    /// The connection ended where more of the response had to follow.
    #[error("the connection ended before the response was complete")]
    UnexpectedEnd,
    /// The response is not HTTP/1.1.
    #[error("the response is not HTTP/1.1")]
    Syntax(#[from] httparse::Error),
    /// A part of the response is not a value that it may have.
    #[error("the response has an invalid {0}")]
    Invalid(&'static str),
    /// Two servers could disagree about where the response ends (RFC 9112 section 6.3).
    #[error("the response has {0}")]
    AmbiguousFraming(&'static str),
    /// A part of the response is longer than it may be.
    #[error("the response has a {0} that is too long")]
    TooLong(&'static str),
    /// The body of the request failed, so that the request cannot be completed.
    #[error("the request's body failed")]
    RequestBody(#[source] BoxError),
}

impl Http1Error {
    /// Whether the connection ended, as opposed to having carried something unusable. Over TLS, data that is not what was sent
    /// is reported as [`io::ErrorKind::InvalidData`].
    pub(super) fn is_end_of_connection(&self) -> bool {
        match self {
            Self::Connection(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::UnexpectedEnd => true,
            Self::Syntax(_) | Self::Invalid(_) | Self::AmbiguousFraming(_) | Self::TooLong(_) | Self::RequestBody(_) => false,
        }
    }
}
