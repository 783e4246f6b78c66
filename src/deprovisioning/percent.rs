//! Percent-encoding (RFC 3986 section 2.1).

use url::form_urlencoded;

/// A part of a URI without its percent-encoding.
pub(super) fn percent_decoded(text: &str) -> String {
    // What a form takes for a blank or for a separator is neither here.
    let text = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(text.as_bytes()).map(|(text, _)| text.into_owned()).collect()
}
