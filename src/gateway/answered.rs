//! What a request is answered with.

use http::{HeaderValue, Method, Response, header};
use http_body_util::Either;
use hyper::body::Body as _;

use crate::{exchange::Exchange, forward};

/// A response of the upstream's, or one of ours.
pub(super) type Answered = Response<Either<forward::ResponseBody, axum::body::Body>>;

/// A response of ours as the method allows it: HEAD gets all but the body (RFC 9110 section 9.3.2), which hyper would send over
/// HTTP/2.
pub(super) fn for_method(exchange: &Exchange, response: Response<axum::body::Body>) -> Answered {
    if exchange.method != Method::HEAD {
        return response.map(Either::Right);
    }
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    Response::from_parts(head, Either::Right(axum::body::Body::empty()))
}
