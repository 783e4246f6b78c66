//! Protection against CSRF and cross-site WebSocket hijacking: requests that another site's page sends with our user's cookie
//! (draft-ietf-oauth-browser-based-apps section 6.1.3.3).
//!
//! `SameSite=Lax` keeps the cookie off requests of foreign sites' forms and scripts, but not off those of sibling hosts, nor off
//! the WebSocket handshakes of their pages. Apps behind Evergate have no login code, so they seldom have a defence of their own.

use http::{HeaderMap, HeaderValue, Method, header};

use super::{method_override::overrides_method, origin_pattern::OriginPattern};
use crate::{
    address::AccessUrl,
    fetch_metadata::{FetchMetadata, FetchSite},
};

/// The origins, besides Evergate's own, whose pages may send requests that change something (`CODER_ALLOWED_ORIGINS`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrossOrigin {
    /// Only these origins.
    Only(Vec<OriginPattern>),
    /// All origins; the app protects itself.
    Any,
}

/// The origin that a request comes from, as it is logged: a client may send any text, of any length.
pub fn logged_origin(headers: &HeaderMap) -> &str {
    const LONGEST: usize = 256;
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    // Header values that are text are ASCII.
    origin.get(..LONGEST).unwrap_or(origin)
}

impl CrossOrigin {
    /// Whether a request is allowed. Safe methods are, unless the request `may_change` something all the same or overrides its method: the
    /// browser decides what a foreign page may read of the response. Clients that are not browsers send neither header.
    pub fn allows(&self, method: &Method, may_change: bool, headers: &HeaderMap, access: &AccessUrl) -> bool {
        let Self::Only(_) = self else { return true };
        let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !may_change && !overrides_method(headers);
        if reads {
            return true;
        }
        let origin = headers.get(header::ORIGIN);
        if origin.is_some_and(|origin| origin == &access.at("")) || self.allowed_origin(headers).is_some() {
            return true;
        }
        match FetchMetadata::of(headers).site() {
            Some(FetchSite::SameOrigin | FetchSite::User) => true,
            Some(FetchSite::SameSite | FetchSite::CrossSite | FetchSite::Unknown) => false,
            None => origin.is_none(),
        }
    }
}

impl CrossOrigin {
    /// Returns the request's `Origin`, if it is listed.
    pub fn allowed_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let Self::Only(origins) = self else { return None };
        let origin = headers.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?;
        origins.iter().any(|allowed| allowed.matches(text)).then_some(origin)
    }

    /// Returns the method that a preflight of an allowed origin asks about (Fetch section 4.8). Browsers send it without cookies,
    /// so it cannot be authenticated; the app decides what the origin may do. No browser sends it with a header that overrides the
    /// method, by which a protected app would do something without knowing for whom.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Method> {
        let names_nobody = ![header::COOKIE, header::AUTHORIZATION].iter().any(|name| headers.contains_key(name));
        let is_allowed = match self {
            Self::Only(_) => self.allowed_origin(headers).is_some(),
            Self::Any => headers.contains_key(header::ORIGIN),
        };
        let asked = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let is_preflight = *method == Method::OPTIONS && names_nobody && is_allowed && !overrides_method(headers);
        is_preflight.then(|| Method::from_bytes(asked.as_bytes()).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_page_changes_nothing_and_opens_no_websocket() {
        let access = AccessUrl::parse("https://app.example").unwrap();
        let origins =
            ["https://friend.example", "https://*.apps.example.com"].map(|origin| OriginPattern::parse(origin).unwrap());
        let rule = CrossOrigin::Only(origins.to_vec());
        let allows = |method: Method, lines: &[(&'static str, &str)]| {
            let headers: HeaderMap =
                lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
            rule.allows(&method, headers.contains_key(header::UPGRADE), &headers, &access)
        };
        let (upgrade, overrides) = (("upgrade", "websocket"), ("x-http-method-override", "DELETE"));
        for (method, lines) in [
            (Method::GET, &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")][..]),
            (Method::POST, &[]),
            (Method::POST, &[("origin", "https://app.example")]),
            (Method::POST, &[("origin", "https://app.example"), ("sec-fetch-site", "same-origin")]),
            (Method::POST, &[("sec-fetch-site", "none")]),
            (Method::POST, &[("origin", "https://friend.example"), ("sec-fetch-site", "cross-site")]),
            (Method::POST, &[("origin", "https://one.apps.example.com"), ("sec-fetch-site", "cross-site")]),
            (Method::GET, &[upgrade, ("origin", "https://app.example")]),
            (Method::GET, &[upgrade]),
            (Method::GET, &[overrides]),
            (Method::GET, &[overrides, ("origin", "https://friend.example"), ("sec-fetch-site", "cross-site")]),
            (Method::GET, &[overrides, ("sec-fetch-site", "same-origin")]),
        ] {
            assert!(allows(method.clone(), lines), "{method} {lines:?}");
        }
        for (method, lines) in [
            (Method::POST, &[("origin", "https://evil.app.example"), ("sec-fetch-site", "same-site")][..]),
            (Method::POST, &[("origin", "https://evil.example")]),
            (Method::POST, &[("origin", "https://apps.example.com")]),
            (Method::POST, &[("origin", "https://evil.test/.apps.example.com")]),
            (Method::POST, &[("origin", "null")]),
            (Method::DELETE, &[("sec-fetch-site", "cross-site")]),
            (Method::GET, &[overrides, ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]),
            (Method::HEAD, &[("x_http_method", "DELETE"), ("sec-fetch-site", "same-site")]),
            (Method::GET, &[upgrade, ("origin", "https://evil.app.example")]),
            (Method::GET, &[upgrade, ("origin", "https://app.example.evil"), ("sec-fetch-site", "cross-site")]),
        ] {
            assert!(!allows(method.clone(), lines), "{method} {lines:?}");
            assert!(CrossOrigin::Any.allows(&method, false, &HeaderMap::new(), &access));
        }
    }
}
