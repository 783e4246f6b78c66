//! Error pages that reload themselves, with back-off. A cookie counts the reloads, because a page without script cannot. It is set
//! only on the way back to the page, because a failure's own response sets none, and expires when somebody has left the page.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::session::cookie::Cookies;

/// The first delay and the longest, in seconds.
const DELAYS: (u64, u64) = (2, 60);
/// After so many reloads a page that nobody looks at any more stops.
pub const LIMIT: u32 = 30;
/// The time that a reload may take besides the delay.
const LATE: Duration = Duration::from_secs(15);

/// How often the requested page has just reloaded itself.
pub(super) fn count(cookies: &Cookies, headers: &HeaderMap) -> u32 {
    cookies.value(headers, cookies.auto_retries()).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// The delay before the next reload.
pub fn delay(retries: u32) -> Duration {
    Duration::from_secs(DELAYS.0.saturating_mul(1 << retries.min(10)).min(DELAYS.1))
}

/// The `Set-Cookie` value that holds the count.
pub fn cookie(cookies: &Cookies, retries: u32) -> Option<HeaderValue> {
    let retries = retries.min(99);
    cookies.set(cookies.auto_retries(), &retries.to_string(), delay(retries) + LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_minute_and_what_a_browser_says_is_bounded() {
        assert_eq!([0, 1, 4, 5, 6, u32::MAX].map(|retries| delay(retries).as_secs()), [2, 4, 32, 60, 60, 60]);
        let cookies = Cookies::new(true, "evergate");
        let told = |cookie: &str| {
            let headers = HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::from_str(cookie).unwrap())]);
            count(&cookies, &headers)
        };
        for (cookie, tries) in
            [("__Host-evergate_tries=7", 7), ("__Host-evergate_tries=-1", 0), ("evergate_tries=7", 0), ("x=7", 0)]
        {
            assert_eq!(told(cookie), tries, "{cookie}");
        }
        assert!(cookie(&cookies, u32::MAX).unwrap().to_str().unwrap().starts_with("__Host-evergate_tries=99;"));
    }
}
