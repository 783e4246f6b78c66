//! Header lines that only Evergate writes.

use http::{HeaderName, HeaderValue};

/// `Evergate-Response`: marks every response that Evergate made itself; its value says which. An upstream's copy is removed.
pub const RESPONSE_MARK: HeaderName = HeaderName::from_static("evergate-response");
/// `Evergate-Answer`: the name of [`RESPONSE_MARK`] in earlier releases, sent beside it for one more release.
pub const OLD_RESPONSE_MARK: HeaderName = HeaderName::from_static("evergate-answer");
/// `X-Request-Id`: the same as in the access line.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Lines that are added to a request. What a client sent under their names was removed, and edits may not name them, so that they
/// need not be looked up among the others.
pub(super) type OwnHeaders = Vec<(HeaderName, HeaderValue)>;

/// How many such lines a request has by default, at most: four about where it came from, six about who sends it, their token, since
/// when they could not be verified again, and the request's id.
pub(super) const USUAL_OWN_HEADERS: usize = 13;
