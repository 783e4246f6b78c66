//! Whether who asks for a logout means it: a page of another site must not log anybody out.

use http::{HeaderMap, Method, header};

use crate::{
    address::AccessUrl,
    fetch_metadata::{FetchMetadata, FetchSite, Viewer},
};

/// Whether the user intends a logout request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutRequest {
    /// A page of Evergate or of the app sent it.
    Intended,
    /// It may be forged (logout CSRF), so the user is asked.
    NeedsConfirmation,
}

impl LogoutRequest {
    /// Classifies a request by its Fetch metadata and `Origin`. A link on another site must not log a user out (logout CSRF), nor
    /// an image or a prefetch of the app's own pages; a link of the app must.
    pub fn classify(method: &Method, headers: &HeaderMap, access: &AccessUrl) -> Self {
        let fetch = FetchMetadata::of(headers);
        let is_page = match fetch.viewer() {
            Viewer::Page => true,
            // Behind a worker an address that was typed, or stands in a mail, is of the same origin too; a link of a page names that page.
            Viewer::BehindWorker => {
                headers.get(header::REFERER).is_some_and(|page| page.as_bytes().starts_with(access.at("/").as_bytes()))
            }
            Viewer::Frame | Viewer::Nobody | Viewer::Unsaid => false,
        };
        let is_navigation = is_page && !fetch.is_prefetch();
        match (method, fetch.site(), headers.get(header::ORIGIN)) {
            // Whoever only asks wants nothing to end.
            (&Method::HEAD, _, _) => Self::NeedsConfirmation,
            (&Method::POST, Some(FetchSite::SameOrigin), _) => Self::Intended,
            (_, Some(FetchSite::SameOrigin), _) if is_navigation => Self::Intended,
            (_, Some(_), _) => Self::NeedsConfirmation,
            (&Method::POST, None, Some(origin)) if origin == &access.at("") => Self::Intended,
            // Current browsers send one of these headers. For others, SameSite=Lax keeps the cookie off a foreign page's form.
            (&Method::POST, None, None) => Self::Intended,
            (_, None, _) => Self::NeedsConfirmation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_log_a_user_out_without_asking() {
        let access = AccessUrl::parse("https://app.example").unwrap();
        let classified = |method: Method, lines: &[(&'static str, &str)]| {
            let headers =
                lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
            LogoutRequest::classify(&method, &headers, &access)
        };
        assert_eq!(classified(Method::POST, &[("sec-fetch-site", "same-origin")]), LogoutRequest::Intended);
        let link = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(classified(Method::GET, &link), LogoutRequest::Intended);
        assert_eq!(classified(Method::GET, &[link[0], link[1], ("sec-fetch-dest", "iframe")]), LogoutRequest::NeedsConfirmation);
        assert_eq!(
            classified(Method::GET, &[link[0], ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]),
            LogoutRequest::NeedsConfirmation
        );
        for purpose in
            [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch"), ("x-purpose", "preview"), ("x-moz", "prefetch")]
        {
            assert_eq!(
                classified(Method::GET, &[link[0], link[1], link[2], purpose]),
                LogoutRequest::NeedsConfirmation,
                "{purpose:?}"
            );
        }
        let behind_worker = [link[0], link[1], ("sec-fetch-dest", "empty")];
        for (referer, expected) in [
            ("https://app.example/page", LogoutRequest::Intended),
            ("https://app.example.evil.example/", LogoutRequest::NeedsConfirmation),
        ] {
            let lines = [behind_worker.as_slice(), &[("referer", referer)]].concat();
            assert_eq!(classified(Method::GET, &lines), expected, "{referer}");
        }
        assert_eq!(classified(Method::GET, &behind_worker), LogoutRequest::NeedsConfirmation);
        assert_eq!(classified(Method::POST, &[("origin", "https://app.example")]), LogoutRequest::Intended);
        assert_eq!(classified(Method::POST, &[]), LogoutRequest::Intended);
        for (method, lines) in [
            (Method::GET, &[][..]),
            (Method::GET, &[("sec-fetch-site", "none")]),
            (Method::GET, &[("sec-fetch-site", "cross-site")]),
            (Method::GET, &[("origin", "https://app.example")]),
            (Method::POST, &[("sec-fetch-site", "cross-site")]),
            (Method::POST, &[("sec-fetch-site", "same-site")]),
            (Method::POST, &[("origin", "https://evil.example")]),
            (Method::POST, &[("origin", "null")]),
        ] {
            assert_eq!(classified(method.clone(), lines), LogoutRequest::NeedsConfirmation, "{method} {lines:?}");
        }
    }
}
