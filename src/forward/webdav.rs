//! WebDAV's `Destination` (RFC 4918 section 10.3): the second path that a COPY or MOVE concerns, as a client names it and as the
//! app does.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::policy::overrides_method;

/// The header.
pub const DESTINATION: HeaderName = HeaderName::from_static("destination");

/// Where something is copied or moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    /// The server's scheme and authority; `None` is the server of the request.
    pub server: Option<(&'a str, &'a str)>,
    /// The path, and the query if there is one. It begins with a slash.
    pub path: &'a str,
}

/// A `Destination` that is no single URL or absolute path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadDestination;

impl<'a> Destination<'a> {
    /// The destination of a request; `None` for one that has none, by its method or without the header. What an app may take for a
    /// COPY or MOVE is one: in lower case, or by a header that overrides the method.
    ///
    /// # Errors
    /// [`BadDestination`].
    pub fn of(method: &Method, headers: &'a HeaderMap) -> Result<Option<Self>, BadDestination> {
        let is_copy_or_move = ["COPY", "MOVE"].iter().any(|name| method.as_str().eq_ignore_ascii_case(name));
        if !is_copy_or_move && !overrides_method(headers) {
            return Ok(None);
        }
        let mut lines = headers.get_all(DESTINATION).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(line), None) => line.to_str().ok().and_then(Self::parse).map(Some).ok_or(BadDestination),
            (Some(_), Some(_)) => Err(BadDestination),
        }
    }

    fn parse(text: &'a str) -> Option<Self> {
        let (server, path) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                let end = rest.find('/')?;
                let (authority, path) = rest.split_at(end);
                (Some((scheme, authority)), path)
            }
            Some(_) | None => (None, text),
        };
        // Between two slashes some would read a host. A space ends it, and a fragment is no part of it.
        let is_path = path.starts_with('/') && !path.starts_with("//") && !path.contains(['#', ' ', '\\']);
        is_path.then_some(Self { server, path })
    }
}

/// Takes a route's prefix off the destination, and leaves its path alone.
pub(super) fn strip_prefix(method: &Method, headers: &mut HeaderMap, prefix: &str) {
    let Ok(Some(destination)) = Destination::of(method, headers) else { return };
    let rest = destination.path.strip_prefix(prefix).unwrap_or(destination.path);
    let path = format!("/{}", rest.trim_start_matches('/'));
    if let Ok(path) = HeaderValue::try_from(path) {
        headers.insert(DESTINATION, path);
    }
}

/// Names the app's scheme and host in the destination.
pub(super) fn name_server(method: &Method, headers: &mut HeaderMap, scheme: &str, host: &str) {
    let Ok(Some(destination)) = Destination::of(method, headers) else { return };
    if let Ok(url) = HeaderValue::try_from(format!("{scheme}://{host}{}", destination.path)) {
        headers.insert(DESTINATION, url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_url_or_an_absolute_path_and_nothing_else() {
        let server = Some(("https", "app.test:8443"));
        assert_eq!(Destination::parse("https://app.test:8443/a/b%20c?d"), Some(Destination { server, path: "/a/b%20c?d" }));
        assert_eq!(Destination::parse("/a"), Some(Destination { server: None, path: "/a" }));
        for bad in ["", "a", "//evil/a", "https://app.test", "https://app.test//a", "/a b", "/a#b", "/a\\b", "x:/a", "https:/a"] {
            assert_eq!(Destination::parse(bad), None, "{bad}");
        }
    }
}
