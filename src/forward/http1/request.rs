//! What can be sent as a request.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use hyper::body::Body;

use super::error::BoxError;

/// A request that can be written to a connection, and handed back while nothing was taken of its body.
pub trait OutgoingRequest: Send + 'static {
    /// The body of the request.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Unpin;

    /// The method.
    fn method(&self) -> &Method;

    /// The request target in origin form (RFC 9112 section 3.2.1).
    fn target(&self) -> &str;

    /// The header fields. `Content-Length` and `Transfer-Encoding` are replaced by what the body says of itself.
    fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)>;

    /// The body.
    fn body(&self) -> &Self::Body;

    /// The body, to take from.
    fn body_mut(&mut self) -> &mut Self::Body;

    /// Ready with the reason once the request is to be abandoned. Asked while the connection takes nothing, when the body itself
    /// is not asked for more.
    fn poll_abort(&mut self, context: &mut Context<'_>) -> Poll<BoxError> {
        let _never = context;
        Poll::Pending
    }
}
