//! The request that an ingress asks about (forward authentication): its head, rebuilt from what the ingress says of it, so that it
//! is read and judged as if its client had sent it here.
//!
//! Whoever may say something here chooses the rule that applies, so only trusted proxies are listened to. An ingress passes its
//! client's own headers on, also those that it does not write itself: where two of them disagree, one is forged, and nothing is
//! answered but a refusal.

mod of_check;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
    request,
    uri::PathAndQuery,
};

pub use of_check::has_no_body as check_has_no_body;

/// A request that an ingress asks about.
#[derive(Debug)]
pub struct Original {
    /// Its head.
    pub head: request::Parts,
    /// Whether its path is known. If not, the head's is `/`.
    pub has_path: bool,
    /// Whether its method is known. If not, the head's is the one that is judged most strictly.
    pub has_method: bool,
}

/// What an ingress says of a request.
#[derive(Debug, Default)]
struct Told {
    target: Option<PathAndQuery>,
    method: Option<Method>,
    /// Scheme and host, of a whole URL.
    origin: Option<(&'static str, HeaderValue)>,
}

const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

const TWO_TARGETS: &str = "its headers name two different pages, of which one is forged";

impl Original {
    /// Rebuilds the request that the headers of `asked` describe. `is_trusted`: whether they are a trusted proxy's.
    ///
    /// # Errors
    /// What is wrong.
    pub fn of_headers(asked: &request::Parts, is_trusted: bool) -> Result<Self, &'static str> {
        let told = if is_trusted { Told::read(&asked.headers)? } else { Told::default() };
        let has_path = told.target.is_some();
        let mut original = Self::of(asked, told.target.unwrap_or(PathAndQuery::from_static("/")), told.method)?;
        original.has_path = has_path;
        if let Some((scheme, host)) = told.origin {
            let headers = &mut original.head.headers;
            // The host that is asked for may be Evergate's own, and is not the client's then.
            headers.remove(FORWARDED_HOST);
            headers.insert(HOST, host);
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
        }
        Ok(original)
    }

    /// Rebuilds the request whose method is that of `asked`, and whose path is what follows `prefix` in its path.
    ///
    /// # Errors
    /// What is wrong.
    pub fn of_request_line(asked: &request::Parts, prefix: &str) -> Result<Self, &'static str> {
        let whole = asked.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let rest = whole.strip_prefix(prefix).unwrap_or_default();
        let mut original = Self::of(asked, target(rest.as_bytes())?, Some(asked.method.clone()))?;
        // The host is the original's as well, and what a client says of another is not for this form.
        original.head.headers.remove(FORWARDED_HOST);
        Ok(original)
    }

    fn of(asked: &request::Parts, target: PathAndQuery, method: Option<Method>) -> Result<Self, &'static str> {
        let mut head = asked.clone();
        head.extensions.clear();
        head.uri = Uri::from(target);
        let has_method = method.is_some();
        // Browsers name the origin in every request of another site's page that could change something.
        let strictest = || if head.headers.contains_key(ORIGIN) { Method::POST } else { asked.method.clone() };
        head.method = method.unwrap_or_else(strictest);
        restore_upgrade(&mut head.headers);
        Ok(Self { head, has_path: true, has_method })
    }
}

/// Ingresses take off the header that asks for an upgrade, and leave those that no page can write or leave out.
fn restore_upgrade(headers: &mut HeaderMap) {
    if [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION].iter().any(|name| headers.contains_key(name)) {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

impl Told {
    fn read(headers: &HeaderMap) -> Result<Self, &'static str> {
        let mut told = Self::default();
        if let Some(url) = only(headers, &ORIGINAL_URL)? {
            let (scheme, host, path) = split_url(url.as_bytes()).ok_or("the original URL is not one of a page")?;
            let forwarded = only(headers, &FORWARDED_HOST)?.map(HeaderValue::as_bytes);
            if forwarded.is_some_and(|forwarded| !forwarded.eq_ignore_ascii_case(host)) {
                return Err("its headers name two different hosts, of which one is forged");
            }
            let host = HeaderValue::from_bytes(host).map_err(|_| "the original URL is not one of a page")?;
            (told.target, told.origin) = (Some(target(path)?), Some((scheme, host)));
        }
        for name in [&FORWARDED_URI, &ORIGINAL_URI] {
            let Some(value) = only(headers, name)? else { continue };
            let named = target(value.as_bytes())?;
            if told.target.as_ref().is_some_and(|other| *other != named) {
                return Err(TWO_TARGETS);
            }
            told.target = Some(named);
        }
        for name in [&FORWARDED_METHOD, &ORIGINAL_METHOD] {
            let Some(value) = only(headers, name)? else { continue };
            let named = Method::from_bytes(value.as_bytes()).map_err(|_| "the original method is none")?;
            if told.method.as_ref().is_some_and(|other| *other != named) {
                return Err("its headers name two different methods, of which one is forged");
            }
            told.method = Some(named);
        }
        Ok(told)
    }
}

/// The only line of this name. An ingress that adds one to its client's own does not say which is which.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, &'static str> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    if lines.next().is_some() { Err("a header that describes the original request comes twice") } else { Ok(first) }
}

/// A path with its query. A fragment is never sent, and what one server cuts off as one is a part of the path to another.
fn target(text: &[u8]) -> Result<PathAndQuery, &'static str> {
    let is_path = text.first() == Some(&b'/') && !text.contains(&b'#');
    let parsed = is_path.then(|| PathAndQuery::try_from(text).ok()).flatten();
    parsed.filter(|parsed| parsed.as_str().as_bytes() == text).ok_or("the original path is not a path")
}

/// Scheme, host, and the path with the query of a URL.
fn split_url(url: &[u8]) -> Option<(&'static str, &[u8], &[u8])> {
    let (scheme, rest) = [("https", &b"https://"[..]), ("http", b"http://")]
        .into_iter()
        .find_map(|(scheme, start)| Some((scheme, url.strip_prefix(start)?)))?;
    let end = rest.iter().position(|byte| *byte == b'/')?;
    let (host, path) = rest.split_at(end);
    let is_host = !host.is_empty() && !host.iter().any(|byte| matches!(byte, b'@' | b'?' | b'#' | b'\\'));
    is_host.then_some((scheme, host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &[(&'static str, &str)]) -> request::Parts {
        let mut request = http::Request::get("/oauth2/auth").header("host", "evergate.internal");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn read(lines: &[(&'static str, &str)]) -> Result<Original, &'static str> {
        Original::of_headers(&asked(lines), true)
    }

    #[test]
    fn each_ingress_is_understood() {
        for lines in [
            // nginx as oauth2-proxy's documentation has it, Traefik and Caddy.
            &[("x-forwarded-uri", "/a%2Fb?c=d"), ("x-forwarded-method", "PUT"), ("x-forwarded-host", "app.test")][..],
            // ingress-nginx.
            &[("x-original-url", "https://app.test/a%2Fb?c=d"), ("x-original-method", "PUT")],
            &[("x-original-uri", "/a%2Fb?c=d"), ("x-forwarded-uri", "/a%2Fb?c=d"), ("x-original-method", "PUT")],
        ] {
            let original = read(lines).unwrap();
            assert_eq!(
                (original.head.uri.to_string(), original.head.method.as_str()),
                ("/a%2Fb?c=d".to_owned(), "PUT"),
                "{lines:?}"
            );
            assert!(original.has_path && original.has_method, "{lines:?}");
        }
        let original = read(&[("x-original-url", "http://app.test:8080/")]).unwrap();
        assert_eq!(
            (&original.head.headers[HOST], &original.head.headers["x-forwarded-proto"]),
            (&"app.test:8080".parse().unwrap(), &"http".parse().unwrap())
        );
    }

    #[test]
    fn nothing_is_believed_of_who_is_not_trusted() {
        let lines =
            [("x-forwarded-uri", "/public"), ("x-forwarded-method", "HEAD"), ("x-original-url", "https://other.test/public")];
        let original = Original::of_headers(&asked(&lines), false).unwrap();
        assert!(!original.has_path && !original.has_method);
        assert_eq!((original.head.uri.path(), original.head.method.as_str()), ("/", "GET"));
        assert_eq!(original.head.headers[HOST], "evergate.internal");
    }

    #[test]
    fn a_client_s_own_header_beside_the_ingress_s_is_seen_through() {
        for lines in [
            &[("x-forwarded-uri", "/public"), ("x-original-url", "https://app.test/admin")][..],
            &[("x-forwarded-uri", "/public"), ("x-original-uri", "/admin")],
            &[("x-forwarded-uri", "/public"), ("x-forwarded-uri", "/admin")],
            &[("x-forwarded-uri", "/admin"), ("x-forwarded-uri", "/admin")],
            &[("x-forwarded-host", "open.test"), ("x-original-url", "https://app.test/admin")],
            &[("x-forwarded-method", "GET"), ("x-original-method", "DELETE")],
            &[("x-forwarded-method", "")],
            &[("x-forwarded-uri", "")],
            &[("x-forwarded-uri", "*")],
            &[("x-forwarded-uri", "public")],
            &[("x-forwarded-uri", "https://app.test/public")],
            &[("x-forwarded-uri", "/public#/../admin")],
            &[("x-forwarded-uri", "/public /admin")],
            &[("x-original-url", "https://app.test@evil.test/")],
            &[("x-original-url", "https://app.test")],
            &[("x-original-url", "https://app.test?/")],
            &[("x-original-url", "ftp://app.test/")],
            &[("x-original-url", "/public")],
        ] {
            assert!(read(lines).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn where_the_method_is_not_known_what_names_an_origin_may_change_something() {
        let method =
            |lines: &[(&'static str, &str)]| read(lines).map(|original| (original.head.method, original.has_method)).unwrap();
        assert_eq!(method(&[]), (Method::GET, false));
        assert_eq!(method(&[("origin", "https://evil.test")]), (Method::POST, false));
        assert_eq!(method(&[("origin", "https://evil.test"), ("x-forwarded-method", "GET")]), (Method::GET, true));
    }

    #[test]
    fn a_websocket_is_known_by_what_ingresses_leave_of_it() {
        for name in ["sec-websocket-key", "sec-websocket-version"] {
            assert!(read(&[(name, "13")]).unwrap().head.headers.contains_key(UPGRADE), "{name}");
        }
        assert!(!read(&[]).unwrap().head.headers.contains_key(UPGRADE));
    }

    #[test]
    fn what_follows_the_prefix_of_a_request_line_is_the_original() {
        let line = |target: &str| {
            let head = http::Request::delete(target).body(()).unwrap().into_parts().0;
            Original::of_request_line(&head, "/oauth2/auth")
                .map(|original| (original.head.method.to_string(), original.head.uri.to_string()))
        };
        assert_eq!(line("/oauth2/auth/a//b%2f?c=/oauth2/auth"), Ok(("DELETE".to_owned(), "/a//b%2f?c=/oauth2/auth".to_owned())));
        assert_eq!(line("/oauth2/auth/"), Ok(("DELETE".to_owned(), "/".to_owned())));
        assert!(line("/oauth2/auth?x=/").is_err());
    }
}
