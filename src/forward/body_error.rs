//! Why a body ended before it was complete.

use std::error::Error;

use super::{http1::Http1Error, http2_failure::Http2Failure};

/// Why a body ended before it was complete.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client's side failed.
    #[error(transparent)]
    Client(hyper::Error),
    /// The body of the request failed, so that its stream to an upstream of HTTP/2 was reset here.
    #[error("the body of the request is not complete")]
    RequestBody(#[source] h2::Error),
    /// An upstream of HTTP/1.1 failed, or what was to be sent to it.
    #[error(transparent)]
    Upstream(#[from] Http1Error),
    /// An upstream of HTTP/2 reset the stream. Its code is passed on with the cause.
    #[error("the upstream reset the stream")]
    Reset(#[source] h2::Error),
    /// An upstream of HTTP/2 left its connection. What it said of that is not about this stream.
    #[error("the upstream left the connection: {0}")]
    GoAway(String),
    /// The connection to an upstream of HTTP/2 failed.
    #[error("the connection to the upstream failed: {0}")]
    Connection(String),
    /// An upstream of HTTP/2 stopped before the end of its response, as if that were no error.
    #[error("the upstream stopped before the end of its response")]
    Unfinished,
    /// The body was cut because its session ended.
    #[error("the session has ended")]
    SessionEnded,
    /// The body was ended by the drain.
    #[error("the gateway drains")]
    Draining,
    /// The body took longer than it may.
    #[error("the body took longer than it may")]
    TooSlow,
}

impl BodyError {
    /// Why the body ended, in a word, for the access line.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Client(_) | Self::RequestBody(_) | Self::Upstream(Http1Error::RequestBody(_)) => "request_incomplete",
            Self::Upstream(
                Http1Error::Connection(_)
                | Http1Error::UnexpectedEnd
                | Http1Error::Syntax(_)
                | Http1Error::Invalid(_)
                | Http1Error::AmbiguousFraming(_)
                | Http1Error::TooLong(_),
            )
            | Self::Connection(_)
            | Self::Unfinished => "upstream_broken",
            Self::Reset(_) => "upstream_reset",
            Self::GoAway(_) => "goaway",
            Self::SessionEnded => "session_ended",
            Self::Draining => "draining",
            Self::TooSlow => "too_slow",
        }
    }

    /// Whether whoever runs the upstream may have to look at it.
    pub fn is_upstreams_fault(&self) -> bool {
        match self {
            Self::Upstream(
                Http1Error::Connection(_)
                | Http1Error::UnexpectedEnd
                | Http1Error::Syntax(_)
                | Http1Error::Invalid(_)
                | Http1Error::AmbiguousFraming(_)
                | Http1Error::TooLong(_),
            )
            | Self::Connection(_)
            | Self::Unfinished
            | Self::GoAway(_)
            | Self::TooSlow => true,
            Self::Client(_)
            | Self::RequestBody(_)
            | Self::Upstream(Http1Error::RequestBody(_))
            | Self::Reset(_)
            | Self::SessionEnded
            | Self::Draining => false,
        }
    }

    /// The error of a body that came over HTTP/2.
    pub(super) fn from_http2(error: h2::Error) -> Self {
        match Http2Failure::of(&error) {
            Http2Failure::Reset | Http2Failure::Refused => Self::Reset(error),
            Http2Failure::GoAway => Self::GoAway(causes(&error)),
            Http2Failure::RequestBody => Self::RequestBody(error),
            Http2Failure::Ended | Http2Failure::Other => Self::Connection(causes(&error)),
        }
    }
}

/// An error and its causes as one text.
fn causes(error: &dyn Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
