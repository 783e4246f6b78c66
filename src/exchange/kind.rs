//! What kind of request it is: whether a person navigates to a page, or a program asks for something.

use http::{HeaderMap, HeaderName, Method, header};

/// Who sends a request, which decides whether a redirect to a login reaches a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A browser that navigates its top-level page.
    PageNavigation,
    /// A script, a frame, an image, a form, a command-line tool.
    Api,
}

const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_PURPOSE: HeaderName = HeaderName::from_static("x-purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Judges by Fetch metadata (`Sec-Fetch-Mode`, `Sec-Fetch-Dest`) where the browser sends them, and by older conventions where
/// not. Only GET and HEAD begin a login: any other method would lose the body that it carries.
pub(super) fn of(method: &Method, headers: &HeaderMap, reads_html: bool) -> RequestKind {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if !reads || headers.contains_key(header::UPGRADE) {
        return RequestKind::Api;
    }
    let navigates = match (text(&SEC_FETCH_MODE), text(&SEC_FETCH_DEST)) {
        (Some(mode), Some(dest)) => mode == "navigate" && dest == "document",
        (Some(mode), None) => mode == "navigate",
        (None, Some(dest)) => dest == "document",
        // The views of apps on Android send their app's name.
        (None, None) => reads_html && text(&REQUESTED_WITH).is_none_or(|with| !with.eq_ignore_ascii_case("XMLHttpRequest")),
    };
    if navigates && !is_prefetch(headers) { RequestKind::PageNavigation } else { RequestKind::Api }
}

/// Whether it is certain that no person is about to see the response as a page: Fetch metadata say that this is no top-level
/// navigation, or the browser prefetches a page.
pub fn is_not_a_page(headers: &HeaderMap) -> bool {
    let is_other = |name: &HeaderName, own: &[u8]| headers.get(name).is_some_and(|value| value.as_bytes() != own);
    is_other(&SEC_FETCH_MODE, b"navigate") || is_other(&SEC_FETCH_DEST, b"document") || is_prefetch(headers)
}

/// Whether a browser prefetches what its user may never ask for. Each of these names has been some browser's.
fn is_prefetch(headers: &HeaderMap) -> bool {
    [SEC_PURPOSE, PURPOSE, X_PURPOSE, X_MOZ].iter().filter_map(|name| headers.get(name)).any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        [&b"prefetch"[..], b"prerender", b"preview"].iter().any(|word| value.starts_with(word))
    })
}

pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|kind| kind.split(';').next())
        .any(|kind| ["text/html", "application/xhtml+xml"].iter().any(|html| kind.trim().eq_ignore_ascii_case(html)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_top_level_navigation_is_sent_to_log_in() {
        let judged = |method: Method, lines: &[(&'static str, &str)]| {
            let headers = lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
            of(&method, &headers, accepts_html(&headers))
        };
        let html = ("accept", "text/html,application/xhtml+xml;q=0.9");
        for lines in [
            &[html][..],
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
            &[("sec-fetch-mode", "navigate")],
            &[html, ("x-requested-with", "com.example.mail")],
        ] {
            assert_eq!(judged(Method::GET, lines), RequestKind::PageNavigation, "{lines:?}");
            assert_eq!(judged(Method::POST, lines), RequestKind::Api, "{lines:?}");
        }
        for lines in [
            &[][..],
            &[("accept", "*/*")],
            &[("accept", "application/json, text/plain, */*")],
            &[html, ("x-requested-with", "XMLHttpRequest")],
            &[html, ("upgrade", "websocket")],
            &[html, ("sec-purpose", "prefetch;prerender")],
            &[html, ("purpose", "prefetch")],
            &[html, ("x-purpose", "preview")],
            &[html, ("x-moz", "prefetch")],
            &[html, ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
            &[html, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
            &[html, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
        ] {
            assert_eq!(judged(Method::GET, lines), RequestKind::Api, "{lines:?}");
        }
    }
}
