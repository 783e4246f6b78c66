//! Detects redirect loops: rounds that a browser makes through the provider by itself, one right after the other. Nobody clicks
//! that fast.

use std::time::Duration;

use crate::clock::Timestamp;

/// A round that begins later than this after the return from the one before was somebody's click.
const IN_A_ROW: Duration = Duration::from_secs(10);
/// So many in a row are a redirect loop.
const LOOP: u32 = 3;
/// How long the cookie is kept.
pub(super) const REMEMBERED: Duration = Duration::from_secs(60);

/// How many rounds a browser has just made.
pub(super) fn in_a_row(cookie: Option<&str>, now: Timestamp) -> u32 {
    let read = |cookie: &str| {
        let (count, at) = cookie.split_once('.')?;
        Some((count.parse::<u32>().ok()?, Timestamp(at.parse().ok()?)))
    };
    match cookie.and_then(read) {
        Some((count, at)) if now < at.plus(IN_A_ROW) => count,
        Some(_) | None => 0,
    }
}

/// Whether so many in a row are a redirect loop.
pub(super) fn is_loop(rounds: u32) -> bool {
    rounds >= LOOP
}

/// The cookie of a browser that comes back from a round, so many in a row.
pub(super) fn back_from(rounds: u32, now: Timestamp) -> String {
    format!("{rounds}.{}", now.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rounds_right_after_one_another_are_a_circle() {
        let at = Timestamp(1_000_000);
        let later = |seconds: u64| at.plus(Duration::from_secs(seconds));
        let mut cookie = None;
        for round in 0..3 {
            let made = in_a_row(cookie.as_deref(), at);
            assert_eq!((made, is_loop(made)), (round, false));
            cookie = Some(back_from(made + 1, at));
        }
        assert!(is_loop(in_a_row(cookie.as_deref(), later(9))));
        assert_eq!(in_a_row(cookie.as_deref(), later(10)), 0, "somebody clicked");
        for odd in ["", "3", "x.y", "-1.1000000", "3.", ".1000000"] {
            assert_eq!(in_a_row(Some(odd), at), 0, "{odd:?}");
        }
    }
}
