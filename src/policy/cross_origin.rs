//! Requests that another site's page sends with our user's cookie (draft-ietf-oauth-browser-based-apps section 6.1.3.3).
//!
//! `SameSite=Lax` keeps the cookie from foreign sites' forms and scripts, but not from those of sibling hosts, and not from
//! the handshake of a WebSocket that such a page opens. The apps behind us have no login code, so seldom a defence either.

use http::{HeaderMap, Method, header};

use crate::address::AccessUrl;

/// Whose pages may send requests that change something (`CODER_ALLOWED_ORIGINS`), besides our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrossOrigin {
    /// Those of these origins.
    Only(Vec<String>),
    /// Anybody's; the app sees to it itself.
    Any,
}

impl CrossOrigin {
    /// Whether a request may pass. Reading is let through: what a foreign page may see of the answer is the browser's to
    /// decide. Programs that are no browsers send neither header.
    pub fn allows(&self, method: &Method, headers: &HeaderMap, access: &AccessUrl) -> bool {
        let Self::Only(origins) = self else { return true };
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !headers.contains_key(header::UPGRADE);
        if reads {
            return true;
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let origin = text("origin");
        if origin.is_some_and(|origin| origin == access.at("") || origins.iter().any(|allowed| allowed == origin)) {
            return true;
        }
        match text("sec-fetch-site") {
            // `none`: the user themselves, from the address bar or a bookmark.
            Some(site) => matches!(site, "same-origin" | "none"),
            None => origin.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_page_changes_nothing_and_opens_no_websocket() {
        let access = AccessUrl::parse("https://app.example").unwrap();
        let rule = CrossOrigin::Only(vec!["https://friend.example".to_owned()]);
        let allows = |method: Method, lines: &[(&'static str, &str)]| {
            let headers =
                lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
            rule.allows(&method, &headers, &access)
        };
        let upgrade = ("upgrade", "websocket");
        for (method, lines) in [
            (Method::GET, &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")][..]),
            (Method::POST, &[]),
            (Method::POST, &[("origin", "https://app.example")]),
            (Method::POST, &[("origin", "https://app.example"), ("sec-fetch-site", "same-origin")]),
            (Method::POST, &[("sec-fetch-site", "none")]),
            (Method::POST, &[("origin", "https://friend.example"), ("sec-fetch-site", "cross-site")]),
            (Method::GET, &[upgrade, ("origin", "https://app.example")]),
            (Method::GET, &[upgrade]),
        ] {
            assert!(allows(method.clone(), lines), "{method} {lines:?}");
        }
        for (method, lines) in [
            (Method::POST, &[("origin", "https://evil.app.example"), ("sec-fetch-site", "same-site")][..]),
            (Method::POST, &[("origin", "https://evil.example")]),
            (Method::POST, &[("origin", "null")]),
            (Method::DELETE, &[("sec-fetch-site", "cross-site")]),
            (Method::GET, &[upgrade, ("origin", "https://evil.app.example")]),
            (Method::GET, &[upgrade, ("origin", "https://app.example.evil"), ("sec-fetch-site", "cross-site")]),
        ] {
            assert!(!allows(method.clone(), lines), "{method} {lines:?}");
            assert!(CrossOrigin::Any.allows(&method, &HeaderMap::new(), &access));
        }
    }
}
