//! A request on its way to an upstream.

use http::{HeaderName, HeaderValue, Method, request};
use hyper::body::Body;

use super::body::RequestBody;

/// Header lines that only we write. What a client said under their names has been removed, and edits may not name them, so
/// that they need not be looked up among the others.
pub(super) type OwnHeaders = Vec<(HeaderName, HeaderValue)>;

/// A request as it goes to an upstream.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) head: request::Parts,
    pub(super) own_headers: OwnHeaders,
    pub(super) body: RequestBody,
    /// An app may have got it before, over a connection that ended without an answer. It is sent once more, over a new one.
    pub(super) is_repeated: bool,
}

impl Outgoing {
    /// Another one, if it has no body.
    pub(super) fn copy(&self) -> Option<Box<Self>> {
        let (head, own_headers, is_repeated) = (self.head.clone(), self.own_headers.clone(), self.is_repeated);
        self.body.is_end_stream().then(|| Box::new(Self { head, own_headers, body: RequestBody::empty(), is_repeated }))
    }

    /// The request to be sent once more though an app may have got it, if that can do no harm: its method is safe (RFC 9110
    /// sections 9.2.1 and 9.2.2), it has no body, and this is not the second time. A proxy does so for no other, because only
    /// its client knows what it meant by one (RFC 9112 section 9.3.1).
    pub(super) fn again(self: Box<Self>) -> Option<Box<Self>> {
        let is_safe = matches!(self.head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        (is_safe && self.body.is_end_stream() && !self.is_repeated).then(|| Box::new(Self { is_repeated: true, ..*self }))
    }
}
