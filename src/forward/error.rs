//! Why an upstream gave no response.

use super::{http1::BoxError, upstream_connections::TooManyConnections};

/// Why an upstream gave no response.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No connection could be made; the request was not sent.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] BoxError),
    /// It reset the request's stream (HTTP/2), as gRPC servers do at a call's deadline.
    #[error("the upstream reset the stream")]
    Reset(#[source] BoxError),
    /// The connection failed before the head of a response, or what came over it cannot be used.
    #[error("the upstream gave no usable response")]
    Broken(#[source] BoxError),
    /// The body of the request failed on the client's side, or was cut here.
    #[error("the body of the request is not complete")]
    Incomplete(#[source] BoxError),
    /// No head of a response came in time.
    #[error("the upstream did not respond in time")]
    TimedOut,
    /// The session ended before the response came.
    #[error("the session has ended")]
    SessionEnded,
    /// The upstream changed to a protocol that was not requested.
    #[error("the upstream changed to a protocol that was not requested")]
    UnexpectedUpgrade,
    /// All of the route's upstreams have as many requests as they may have.
    #[error("the upstream has as many requests as it may have")]
    Busy,
    /// No more connections to upstreams may be open; the request was not sent.
    #[error("no connection to the upstream may be opened")]
    NoConnection(#[source] TooManyConnections),
    /// The route leads nowhere.
    #[error("the route has no upstream")]
    NoUpstream,
    /// The request cannot be written as the upstream's.
    #[error("the request's target cannot be forwarded")]
    Target(#[source] http::Error),
}

impl ForwardError {
    /// Why no connection could be made.
    pub(super) fn of_connecting(error: BoxError) -> Self {
        error.downcast().map_or_else(Self::Unreachable, |too_many| Self::NoConnection(*too_many))
    }
}
