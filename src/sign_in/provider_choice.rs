//! The provider that a browser's user chose last, as a cookie remembers it: the next login goes straight there. Pure.
//!
//! A choice is remembered when the login that it began has come to its end, and only if a page of the same origin began it, so that no
//! link of another site chooses for anybody. Whoever is sent straight and does not come back is asked the next time: the provider may
//! be the wrong one, or away.

use std::time::Duration;

use http::HeaderMap;

use crate::{
    clock::Timestamp,
    fetch_metadata::{FetchMetadata, FetchSite},
};

/// The `Max-Age` of the cookie.
pub(super) const COOKIE_MAX_AGE: Duration = Duration::from_secs(180 * 24 * 3600);
/// Several tabs of one browser may be sent within this time. Whoever comes again later has not logged in where they were sent.
const SENT_TOGETHER: Duration = Duration::from_secs(10);

/// What is remembered of a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastChoice<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// Whether a login goes straight there.
    pub is_straight: bool,
}

/// Reads the cookie.
pub(super) fn read(cookie: &str, now: Timestamp) -> LastChoice<'_> {
    match cookie.split_once('.') {
        None => LastChoice { provider: cookie, is_straight: true },
        Some((provider, sent)) => {
            let sent = sent.parse().ok().map(Timestamp);
            let is_straight = sent.is_some_and(|sent| sent <= now && now < sent.plus(SENT_TOGETHER));
            LastChoice { provider, is_straight }
        }
    }
}

/// The cookie's value when a browser is sent straight to the provider.
pub(super) fn sent(provider: &str, now: Timestamp) -> String {
    format!("{provider}.{}", now.0)
}

/// The cookie's value after a sign-out: the user is asked.
pub(super) fn asked(provider: &str) -> String {
    format!("{provider}.0")
}

/// Whether a page of the same origin sends this request, by which a user chooses.
pub(super) fn is_of_own_page(headers: &HeaderMap) -> bool {
    FetchMetadata::of(headers).site() == Some(FetchSite::SameOrigin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_sent_straight_until_it_does_not_come_back_or_signs_out() {
        let now = Timestamp(1_000_000);
        let at = |seconds: u64| now.plus(Duration::from_secs(seconds));
        for (cookie, later, is_straight) in [
            ("partners".to_owned(), 0, true),
            (sent("partners", now), 0, true),
            (sent("partners", now), 9, true),
            (sent("partners", now), 10, false),
            (asked("partners"), 0, false),
            ("partners.".to_owned(), 0, false),
            ("partners.x".to_owned(), 0, false),
            (sent("partners", at(60)), 0, false),
        ] {
            assert_eq!(read(&cookie, at(later)), LastChoice { provider: "partners", is_straight }, "{cookie} after {later} s");
        }
    }

    #[test]
    fn only_a_page_of_the_same_origin_chooses() {
        let headers = |site: &'static str| HeaderMap::from_iter([("sec-fetch-site".parse().unwrap(), site.parse().unwrap())]);
        assert!(is_of_own_page(&headers("same-origin")));
        for site in ["cross-site", "same-site", "none"] {
            assert!(!is_of_own_page(&headers(site)), "{site}");
        }
        assert!(!is_of_own_page(&HeaderMap::new()));
    }
}
