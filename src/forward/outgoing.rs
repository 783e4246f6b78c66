//! A request as it goes to an upstream.

use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Method, request, uri::PathAndQuery};
use hyper::body::Body;

use super::{
    http1::{BoxError, OutgoingRequest},
    own_headers::OwnHeaders,
    request_body::RequestBody,
};

/// A request as it goes to an upstream.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) head: request::Parts,
    pub(super) own_headers: OwnHeaders,
    pub(super) body: RequestBody,
    /// The upstream may have got the request before, over a connection that ended without a response.
    pub(super) is_repeated: bool,
}

impl Outgoing {
    /// The request to be sent once more though the upstream may have got it, if that can do no harm: its method is safe (RFC 9110
    /// sections 9.2.1 and 9.2.2), it has no body, and this is not the second time. A proxy does so for no other, because only its
    /// client knows what it meant by one (RFC 9112 section 9.3.1).
    pub(super) fn repeat(self: Box<Self>) -> Option<Box<Self>> {
        self.may_be_repeated().then(|| Box::new(Self { is_repeated: true, ..*self }))
    }

    /// Whether [`Self::repeat`] gives the request.
    pub(super) fn may_be_repeated(&self) -> bool {
        let is_safe = matches!(self.head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        is_safe && self.body.is_end_stream() && !self.is_repeated
    }
}

impl OutgoingRequest for Outgoing {
    type Body = RequestBody;

    fn method(&self) -> &Method {
        &self.head.method
    }

    fn target(&self) -> &str {
        self.head.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.head.headers.iter().chain(self.own_headers.iter().map(|(name, value)| (name, value)))
    }

    fn body(&self) -> &RequestBody {
        &self.body
    }

    fn body_mut(&mut self) -> &mut RequestBody {
        &mut self.body
    }

    fn poll_abort(&mut self, context: &mut Context<'_>) -> Poll<BoxError> {
        self.body.poll_cut(context).map(BoxError::from)
    }
}
