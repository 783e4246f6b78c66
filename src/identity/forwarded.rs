//! An identity as header lines.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::clock::Timestamp;

/// `X-Evergate-Renewed-At`: the time of the last successful renewal in seconds since the epoch, sent only while the last verified
/// identity is used during an outage of the provider.
pub const RENEWED_AT: HeaderName = HeaderName::from_static("x-evergate-renewed-at");

/// The claim that says when a user logged in at the provider (OpenID Connect Core section 2), for assertions.
pub const AUTH_TIME: &str = "auth_time";

/// `X-Evergate-Assertion`: the identity as a signed token.
pub const ASSERTION: HeaderName = HeaderName::from_static("x-evergate-assertion");

/// An identity as header lines, rendered once for a grant and shared by all its requests.
#[derive(Clone, Debug, Default)]
pub struct IdentityHeaders(Arc<[(HeaderName, HeaderValue)]>);

impl FromIterator<(HeaderName, HeaderValue)> for IdentityHeaders {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(lines: I) -> Self {
        Self(lines.into_iter().collect())
    }
}

impl IdentityHeaders {
    /// Returns the header lines.
    pub fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }
}

/// The identity of an authenticated user, as it is forwarded to an upstream.
#[derive(Clone, Debug)]
pub struct ForwardedIdentity {
    /// The identity's header lines.
    pub headers: IdentityHeaders,
    /// The identity as a signed token, where the app gets one.
    pub assertion: Option<HeaderValue>,
    /// When the identity was last verified, if its refresh is overdue and it is used within the outage grace.
    pub stale_since: Option<Timestamp>,
}
