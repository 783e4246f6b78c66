//! Detects redirect loops: rounds through the provider that a browser makes one right after the other, faster than a person
//! clicks.

use std::time::Duration;

use crate::clock::Timestamp;

/// A round that begins later than this after the end of the previous one was caused by a click.
const ROUND_INTERVAL: Duration = Duration::from_secs(10);
/// The number of consecutive rounds that make a redirect loop.
const LOOP_THRESHOLD: u32 = 3;
/// The `Max-Age` of the cookie.
pub(super) const COOKIE_MAX_AGE: Duration = Duration::from_secs(60);

/// Returns the number of consecutive rounds that the cookie records.
pub(super) fn consecutive_rounds(cookie: Option<&str>, now: Timestamp) -> u32 {
    let read = |cookie: &str| {
        let (count, at) = cookie.split_once('.')?;
        Some((count.parse::<u32>().ok()?, Timestamp(at.parse().ok()?)))
    };
    match cookie.and_then(read) {
        Some((count, at)) if now < at.plus(ROUND_INTERVAL) => count,
        Some(_) | None => 0,
    }
}

/// Whether this number of consecutive rounds is a redirect loop.
pub(super) fn is_loop(rounds: u32) -> bool {
    rounds >= LOOP_THRESHOLD
}

/// Returns the cookie's value after a round, with the number of consecutive ones.
pub(super) fn cookie_after_round(rounds: u32, now: Timestamp) -> String {
    format!("{rounds}.{}", now.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rounds_right_after_one_another_are_a_loop() {
        let at = Timestamp(1_000_000);
        let later = |seconds: u64| at.plus(Duration::from_secs(seconds));
        let mut cookie = None;
        for round in 0..3 {
            let made = consecutive_rounds(cookie.as_deref(), at);
            assert_eq!((made, is_loop(made)), (round, false));
            cookie = Some(cookie_after_round(made + 1, at));
        }
        assert!(is_loop(consecutive_rounds(cookie.as_deref(), later(9))));
        assert_eq!(consecutive_rounds(cookie.as_deref(), later(10)), 0, "somebody clicked");
        for odd in ["", "3", "x.y", "-1.1000000", "3.", ".1000000"] {
            assert_eq!(consecutive_rounds(Some(odd), at), 0, "{odd:?}");
        }
    }
}
