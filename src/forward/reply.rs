//! What became of a request that was sent to an upstream.

use http::Response;

use super::{error::ForwardError, http1::Connection, outgoing::Outgoing, response_body::UpstreamBody};

/// What an upstream sent back.
#[derive(Debug)]
pub(super) enum Reply {
    /// A response.
    Response(Response<UpstreamBody>),
    /// The connection, on which another protocol is spoken now.
    Upgraded(Response<()>, Box<Connection>),
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) error: ForwardError,
    /// The request itself, if it may be sent to another upstream.
    pub(super) outgoing: Option<Box<Outgoing>>,
}

impl From<ForwardError> for Undelivered {
    fn from(error: ForwardError) -> Self {
        Self { error, outgoing: None }
    }
}
