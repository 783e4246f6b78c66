//! Pages that try again by themselves, after pauses that grow. A cookie counts, because a page without script cannot. It is set on
//! the way back to the page alone, for an answer of a failure sets none, and it is gone when somebody has left the page.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::session::cookie::Cookies;

/// The first pause and the longest, in seconds.
const PAUSES: (u64, u64) = (2, 60);
/// A page that nobody looks at any more gives up after so many.
pub(super) const MOST: u32 = 30;
/// A page is asked for again within this, besides the pause.
const LATE: Duration = Duration::from_secs(15);

/// How often the page that is asked for now has just tried again.
pub(super) fn just_made(cookies: &Cookies, headers: &HeaderMap) -> u32 {
    cookies.value(headers, cookies.tries()).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// How long a page waits that has tried so often.
pub(super) fn pause(tries: u32) -> Duration {
    Duration::from_secs(PAUSES.0.saturating_mul(1 << tries.min(10)).min(PAUSES.1))
}

/// The cookie that says how often.
pub(super) fn cookie(cookies: &Cookies, tries: u32) -> Option<HeaderValue> {
    let tries = tries.min(99);
    cookies.set(cookies.tries(), &tries.to_string(), pause(tries) + LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_what_a_browser_says_is_bounded() {
        assert_eq!([0, 1, 4, 5, 6, u32::MAX].map(|tries| pause(tries).as_secs()), [2, 4, 32, 60, 60, 60]);
        let cookies = Cookies::new(true, "evergate");
        let told = |cookie: &str| {
            let headers = HeaderMap::from_iter([(http::header::COOKIE, HeaderValue::from_str(cookie).unwrap())]);
            just_made(&cookies, &headers)
        };
        for (cookie, tries) in
            [("__Host-evergate_tries=7", 7), ("__Host-evergate_tries=-1", 0), ("evergate_tries=7", 0), ("x=7", 0)]
        {
            assert_eq!(told(cookie), tries, "{cookie}");
        }
        assert!(cookie(&cookies, u32::MAX).unwrap().to_str().unwrap().starts_with("__Host-evergate_tries=99;"));
    }
}
