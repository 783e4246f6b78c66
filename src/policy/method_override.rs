//! Requests that a header makes ones of another method.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header_names;

/// Headers that make frameworks treat a request as one of another method.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Whether a request says by a header, in any spelling, that it is of another method.
pub fn overrides_method(headers: &HeaderMap) -> bool {
    headers.keys().any(is_override)
}

/// What a request says so by.
pub(super) fn overriding_methods(headers: &HeaderMap) -> impl Iterator<Item = &HeaderValue> {
    headers.iter().filter(|(name, _)| is_override(name)).map(|(_, value)| value)
}

fn is_override(name: &HeaderName) -> bool {
    OVERRIDES.iter().any(|own| header_names::are_equivalent(name.as_str(), own))
}
