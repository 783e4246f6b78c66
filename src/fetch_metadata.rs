//! Fetch metadata (W3C Fetch Metadata Request Headers): what a browser says of where a request comes from and what its response is for.
//! No page can set or hide it, and clients that are no browsers do not send it. The purpose of a prefetch is told beside it.

use http::{HeaderMap, HeaderName};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// Each of these names has been some browser's for the purpose of a request.
const PURPOSES: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-purpose"),
    HeaderName::from_static("x-moz"),
];

/// The Fetch metadata of a request. Each header is read when it is asked for, because most requests are judged by one of them.
#[derive(Clone, Copy, Debug)]
pub struct FetchMetadata<'a>(&'a HeaderMap);

/// Who has a browser send a request (`Sec-Fetch-Site`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchSite {
    /// A page of the same origin.
    SameOrigin,
    /// A page of a sibling host.
    SameSite,
    /// A page of another site.
    CrossSite,
    /// The user themselves, from the address bar or a bookmark (`none`).
    User,
    /// What no browser says today.
    Unknown,
}

/// How a request is made (`Sec-Fetch-Mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchMode {
    /// A page, or a frame of one, is navigated.
    Navigate,
    /// A part of a page is loaded, or a script asks.
    Other,
}

/// What a response is for (`Sec-Fetch-Dest`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchDest {
    /// A top-level page.
    Document,
    /// A frame of a page.
    Frame,
    /// Whatever a script does with it (`empty`).
    Script,
    /// A part of a page.
    Other,
}

/// Who is about to see a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// A person, as a top-level page.
    Page,
    /// A person, in a frame of a page.
    Frame,
    /// A person, as a page or in a frame, after a service worker of the same origin, which sends its browser's navigation on
    /// (`respondWith(fetch(event.request))`). Chromium says `navigate` and `empty` then. No script can make such a request of its own: one
    /// that it makes anew never has the mode `navigate` (Fetch section 5.4). The worker may read the response, or show another.
    BehindWorker,
    /// No person: a part of a page is loaded, or a script asks.
    Nobody,
    /// The client does not say.
    Unsaid,
}

impl<'a> FetchMetadata<'a> {
    /// Those of a request with these headers.
    pub fn of(headers: &'a HeaderMap) -> Self {
        Self(headers)
    }

    /// Whether there are any.
    pub fn are_there(self) -> bool {
        self.0.keys().any(|name| name.as_str().starts_with("sec-fetch-"))
    }

    /// Who has the request sent.
    pub fn site(self) -> Option<FetchSite> {
        Some(match self.0.get(SITE)?.as_bytes() {
            b"same-origin" => FetchSite::SameOrigin,
            b"same-site" => FetchSite::SameSite,
            b"cross-site" => FetchSite::CrossSite,
            b"none" => FetchSite::User,
            _ => FetchSite::Unknown,
        })
    }

    /// How the request is made.
    pub fn mode(self) -> Option<FetchMode> {
        Some(if self.0.get(MODE)? == "navigate" { FetchMode::Navigate } else { FetchMode::Other })
    }

    /// What the response is for.
    pub fn dest(self) -> Option<FetchDest> {
        Some(match self.0.get(DEST)?.as_bytes() {
            b"document" => FetchDest::Document,
            b"iframe" | b"frame" => FetchDest::Frame,
            b"empty" => FetchDest::Script,
            _ => FetchDest::Other,
        })
    }

    /// Who is about to see the response. Whether the browser prefetches is not looked at.
    pub fn viewer(self) -> Viewer {
        match (self.mode(), self.dest()) {
            (Some(FetchMode::Other), _)
            | (None, Some(FetchDest::Script))
            | (Some(FetchMode::Navigate) | None, Some(FetchDest::Other)) => Viewer::Nobody,
            (Some(FetchMode::Navigate) | None, Some(FetchDest::Document)) | (Some(FetchMode::Navigate), None) => Viewer::Page,
            (Some(FetchMode::Navigate) | None, Some(FetchDest::Frame)) => Viewer::Frame,
            (Some(FetchMode::Navigate), Some(FetchDest::Script)) => Viewer::BehindWorker,
            (None, None) => Viewer::Unsaid,
        }
    }

    /// Whether a browser prefetches what its user may never ask for.
    pub fn is_prefetch(self) -> bool {
        PURPOSES.iter().filter_map(|name| self.0.get(name)).any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            [&b"prefetch"[..], b"prerender", b"preview"].iter().any(|word| value.starts_with(word))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), http::HeaderValue::from_bytes(value).unwrap())])
    }

    #[test]
    fn what_no_browser_says_is_neither_the_best_nor_nothing() {
        for (value, site) in [
            (&b"same-origin"[..], FetchSite::SameOrigin),
            (b"same-site", FetchSite::SameSite),
            (b"cross-site", FetchSite::CrossSite),
            (b"none", FetchSite::User),
            (b"Same-Origin", FetchSite::Unknown),
            (b"", FetchSite::Unknown),
            (b"\xff", FetchSite::Unknown),
        ] {
            assert_eq!(FetchMetadata::of(&headers("sec-fetch-site", value)).site(), Some(site), "{value:?}");
        }
        for (value, mode) in [(&b"navigate"[..], FetchMode::Navigate), (b"cors", FetchMode::Other), (b"\xff", FetchMode::Other)] {
            assert_eq!(FetchMetadata::of(&headers("sec-fetch-mode", value)).mode(), Some(mode), "{value:?}");
        }
        for (value, dest) in [
            (&b"document"[..], FetchDest::Document),
            (b"iframe", FetchDest::Frame),
            (b"frame", FetchDest::Frame),
            (b"empty", FetchDest::Script),
            (b"image", FetchDest::Other),
            (b"\xff", FetchDest::Other),
        ] {
            assert_eq!(FetchMetadata::of(&headers("sec-fetch-dest", value)).dest(), Some(dest), "{value:?}");
        }
        let none = HeaderMap::new();
        let none = FetchMetadata::of(&none);
        assert_eq!((none.site(), none.mode(), none.dest(), none.are_there()), (None, None, None, false));
        assert!(FetchMetadata::of(&headers("sec-fetch-user", b"?1")).are_there());
    }

    #[test]
    fn a_worker_that_sends_a_navigation_on_is_told_from_a_script() {
        for (mode, dest, viewer) in [
            ("navigate", "document", Viewer::Page),
            ("navigate", "", Viewer::Page),
            ("", "document", Viewer::Page),
            ("navigate", "iframe", Viewer::Frame),
            ("navigate", "empty", Viewer::BehindWorker),
            ("navigate", "object", Viewer::Nobody),
            ("navigate", "embed", Viewer::Nobody),
            ("", "empty", Viewer::Nobody),
            ("cors", "empty", Viewer::Nobody),
            ("same-origin", "empty", Viewer::Nobody),
            ("no-cors", "document", Viewer::Nobody),
            ("", "", Viewer::Unsaid),
        ] {
            let lines = [("sec-fetch-mode", mode), ("sec-fetch-dest", dest)].into_iter().filter(|(_, value)| !value.is_empty());
            let headers: HeaderMap = lines.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
            assert_eq!(FetchMetadata::of(&headers).viewer(), viewer, "{mode} {dest}");
        }
    }
}
