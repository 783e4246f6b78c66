//! What kind of request it is: whether a person navigates to a page, or a program asks for something.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::fetch_metadata::{FetchMetadata, FetchMode, FetchSite, Viewer};

/// Who sends a request, which decides whether a redirect to a login reaches a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A browser that navigates its top-level page. It may be a frame's where a service worker sends it on, which does not say.
    PageNavigation,
    /// A script, a frame, an image, a form, a command-line tool.
    Api,
}

const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Judges by Fetch metadata where the browser sends them, and by older conventions where
/// not. Only GET and HEAD begin a login: any other method would lose the body that it carries. `has_frames`: a frame's page is one
/// too.
pub(super) fn of(method: &Method, headers: &HeaderMap, reads_html: bool, has_frames: bool) -> RequestKind {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if !reads || headers.contains_key(header::UPGRADE) {
        return RequestKind::Api;
    }
    if navigates(headers, reads_html, has_frames) { RequestKind::PageNavigation } else { RequestKind::Api }
}

/// Whether a browser navigates by this request, and does not prefetch.
fn navigates(headers: &HeaderMap, reads_html: bool, has_frames: bool) -> bool {
    let fetch = FetchMetadata::of(headers);
    let navigates = match fetch.viewer() {
        Viewer::Page | Viewer::BehindWorker => true,
        Viewer::Frame => has_frames,
        Viewer::Nobody => false,
        Viewer::Unsaid => reads_html && !is_of_script(headers),
    };
    navigates && !fetch.is_prefetch()
}

/// Whether a script says that it asks, as old libraries have it. The views of apps on Android send their app's name.
fn is_of_script(headers: &HeaderMap) -> bool {
    headers.get(REQUESTED_WITH).is_some_and(|with| with.as_bytes().eq_ignore_ascii_case(b"XMLHttpRequest"))
}

/// Whether whoever sends a request reads HTML: they ask for it, and a page or a frame may be about to show it. A script that asks for HTML is
/// told in JSON what it can act on, and so are a browser that prefetches and a program that would rather have JSON.
pub(super) fn reads_html(headers: &HeaderMap) -> bool {
    let is_hidden = is_not_a_page(headers, true) || (!FetchMetadata::of(headers).are_there() && is_of_script(headers));
    let is_a_program_s = || FetchMetadata::of(headers).viewer() == Viewer::Unsaid && prefers_json(headers);
    accepts_html(headers) && !is_hidden && !is_a_program_s()
}

/// Whether a page of the origin `own` navigates the top-level page by sending a form. A page that hides where it comes from
/// (`Referrer-Policy: no-referrer`) has the origin `null`; Fetch metadata tell then.
pub fn is_own_form(headers: &HeaderMap, reads_html: bool, own: &str) -> bool {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    let is_own = match FetchMetadata::of(headers).site() {
        Some(FetchSite::SameOrigin) => origin.is_none_or(|origin| origin == own.as_bytes() || origin == b"null"),
        Some(FetchSite::SameSite | FetchSite::CrossSite | FetchSite::User | FetchSite::Unknown) => false,
        None => origin == Some(own.as_bytes()),
    };
    is_own && !headers.contains_key(header::UPGRADE) && navigates(headers, reads_html, false)
}

/// Whether no browser sends it. A browser would ask its user for a password where it is asked for one.
pub fn is_of_a_program(headers: &HeaderMap) -> bool {
    let is_browser = headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"));
    !is_browser && FetchMetadata::of(headers).mode().is_none() && !headers.contains_key(header::ORIGIN)
}

/// Whether it is certain that no person is about to see the response as a page: Fetch metadata say that this is no navigation of the
/// top-level page (nor of a frame, if `has_frames`), or the browser prefetches a page.
pub fn is_not_a_page(headers: &HeaderMap, has_frames: bool) -> bool {
    let fetch = FetchMetadata::of(headers);
    let is_hidden = match fetch.viewer() {
        Viewer::Page | Viewer::BehindWorker | Viewer::Unsaid => false,
        Viewer::Frame => !has_frames,
        Viewer::Nobody => true,
    };
    is_hidden || fetch.is_prefetch()
}

/// Whether a frame of a page is to show the response.
pub(super) fn is_in_frame(headers: &HeaderMap) -> bool {
    FetchMetadata::of(headers).viewer() == Viewer::Frame
}

/// Whether a page of another site has a browser read this as a part of itself, as an image, a script or by `fetch`.
pub(super) fn is_foreign_part(headers: &HeaderMap) -> bool {
    let fetch = FetchMetadata::of(headers);
    fetch.site() == Some(FetchSite::CrossSite) && fetch.mode() == Some(FetchMode::Other)
}

fn accepts_html(headers: &HeaderMap) -> bool {
    // A weight of 0 says that it is not acceptable (RFC 9110 section 12.4.2).
    accepted_weights(headers, is_html).any(|weight| weight > 0.0)
}

/// Whether JSON has a greater weight than HTML.
fn prefers_json(headers: &HeaderMap) -> bool {
    let is_json = |kind: &str| {
        let kind = kind.to_ascii_lowercase();
        kind == "application/json" || kind.ends_with("+json")
    };
    accepted_weights(headers, is_json).fold(0.0, f32::max) > accepted_weights(headers, is_html).fold(0.0, f32::max)
}

fn is_html(kind: &str) -> bool {
    ["text/html", "application/xhtml+xml"].iter().any(|html| kind.eq_ignore_ascii_case(html))
}

/// The weights of those media ranges of `Accept` that are meant (RFC 9110 section 12.5.1).
fn accepted_weights<'a>(headers: &'a HeaderMap, is_meant: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = f32> + 'a {
    let ranges = headers.get_all(header::ACCEPT).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    ranges.filter_map(|range| str::from_utf8(range).ok()).filter_map(move |range| {
        let mut parts = range.split(';').map(str::trim);
        let is_meant = is_meant(parts.next().unwrap_or_default());
        let weight = || parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let read = |(_, weight): (&str, &str)| weight.parse().ok().filter(|weight| (0.0..=1.0).contains(weight));
        is_meant.then(|| weight().and_then(read).unwrap_or(1.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_top_level_navigation_is_sent_to_log_in() {
        let judged = |method: Method, lines: &[(&'static str, &str)]| {
            let headers = lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
            of(&method, &headers, reads_html(&headers), false)
        };
        let html = ("accept", "text/html,application/xhtml+xml;q=0.9");
        for lines in [
            &[html][..],
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
            &[("sec-fetch-mode", "navigate")],
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "empty")],
            &[html, ("x-requested-with", "com.example.mail")],
            &[("accept", "application/json;q=0.9, text/html")],
            &[("accept", "application/json, text/html")],
            &[("accept", "application/json, text/html;q=0.5"), ("sec-fetch-mode", "navigate")],
        ] {
            assert_eq!(judged(Method::GET, lines), RequestKind::PageNavigation, "{lines:?}");
            assert_eq!(judged(Method::POST, lines), RequestKind::Api, "{lines:?}");
        }
        for lines in [
            &[][..],
            &[("accept", "*/*")],
            &[("accept", "text/html;q=0, application/json")],
            &[("accept", "text/html; q=0.000")],
            &[("accept", "application/json, text/html;q=0.5")],
            &[("accept", "text/html;q=0.8"), ("accept", "application/problem+json; charset=utf-8; Q=0.9")],
            &[("accept", "application/json, text/plain, */*")],
            &[html, ("x-requested-with", "XMLHttpRequest")],
            &[html, ("upgrade", "websocket")],
            &[html, ("sec-purpose", "prefetch;prerender")],
            &[html, ("purpose", "prefetch")],
            &[html, ("x-purpose", "preview")],
            &[html, ("x-moz", "prefetch")],
            &[html, ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
            &[html, ("sec-fetch-mode", "same-origin"), ("sec-fetch-dest", "empty")],
            &[html, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "empty"), ("sec-purpose", "prefetch")],
            &[html, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
            &[html, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "object")],
            &[html, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
        ] {
            assert_eq!(judged(Method::GET, lines), RequestKind::Api, "{lines:?}");
        }
    }

    #[test]
    fn html_is_for_whoever_asks_for_it_and_sees_it() {
        let reads = |lines: &[(&'static str, &[u8])]| {
            let lines =
                lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()));
            reads_html(&lines.collect())
        };
        let html = ("accept", &b"text/html,application/xhtml+xml;q=0.9"[..]);
        let (navigate, cors) = (("sec-fetch-mode", &b"navigate"[..]), ("sec-fetch-mode", &b"cors"[..]));
        for lines in [
            &[html][..],
            &[("accept", b"text/\xe4,text/html")],
            &[html, navigate, ("sec-fetch-dest", b"document")],
            &[html, navigate, ("sec-fetch-dest", b"iframe")],
            &[html, navigate, ("sec-fetch-dest", b"empty")],
            &[html, navigate],
            &[html, ("origin", b"https://app.example"), ("content-type", b"application/x-www-form-urlencoded")],
            &[html, ("x-requested-with", b"com.example.mail")],
        ] {
            assert!(reads(lines), "{lines:?}");
        }
        for lines in [
            &[("accept", &b"*/*"[..])][..],
            &[navigate, ("sec-fetch-dest", b"document")],
            &[html, ("x-requested-with", b"XMLHttpRequest")],
            &[html, cors, ("sec-fetch-dest", b"empty")],
            &[html, cors],
            &[html, ("sec-fetch-dest", b"empty")],
            &[html, ("sec-fetch-mode", b"no-cors"), ("sec-fetch-dest", b"image")],
            &[html, navigate, ("sec-fetch-dest", b"document"), ("sec-purpose", b"prefetch")],
            &[html, ("x-moz", b"prefetch")],
        ] {
            assert!(!reads(lines), "{lines:?}");
        }
    }

    #[test]
    fn a_form_is_of_our_own_page_only_if_its_browser_says_so() {
        let is_own = |lines: &[(&'static str, &str)]| {
            let headers = lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
            is_own_form(&headers, reads_html(&headers), "https://app.example")
        };
        let (html, origin, same) =
            (("accept", "text/html"), ("origin", "https://app.example"), ("sec-fetch-site", "same-origin"));
        let (mode, dest) = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"));
        for own in [
            &[html, origin][..],
            &[html, origin, same, mode, dest],
            &[same, mode, dest],
            &[("origin", "null"), same, mode, dest],
            &[html, origin, same, mode, ("sec-fetch-dest", "empty")],
        ] {
            assert!(is_own(own), "{own:?}");
        }
        for other in [
            &[html][..],
            &[origin],
            &[html, ("origin", "null")],
            &[html, ("origin", "https://evil.app.example")],
            &[html, ("origin", "https://app.example.evil.example")],
            &[html, origin, ("sec-fetch-site", "cross-site"), mode, dest],
            &[html, origin, ("sec-fetch-site", "same-site"), mode, dest],
            &[html, ("sec-fetch-site", "none"), mode, dest],
            &[html, ("origin", "https://evil.example"), same, mode, dest],
            &[html, ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), mode, ("sec-fetch-dest", "empty")],
            &[html, origin, same, ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
            &[html, origin, same, mode, ("sec-fetch-dest", "iframe")],
            &[html, origin, ("x-requested-with", "XMLHttpRequest")],
            &[html, origin, ("upgrade", "websocket")],
            &[html, origin, same, mode, dest, ("sec-purpose", "prefetch")],
        ] {
            assert!(!is_own(other), "{other:?}");
        }
    }

    #[test]
    fn a_frame_s_page_is_a_page_where_our_cookies_come_with_it() {
        for (dest, is_frame) in [("iframe", true), ("frame", true), ("embed", false), ("image", false), ("object", false)] {
            let lines = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", dest)];
            let headers: HeaderMap =
                lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
            let judged = |has_frames| of(&Method::GET, &headers, true, has_frames) == RequestKind::PageNavigation;
            assert_eq!((judged(false), judged(true)), (false, is_frame), "{dest}");
            assert_eq!((is_not_a_page(&headers, false), is_not_a_page(&headers, true)), (true, !is_frame), "{dest}");
        }
    }
}
