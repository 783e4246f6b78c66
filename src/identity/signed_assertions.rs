//! Signed assertions of one grant, each kept for as long as it may be sent.

use std::sync::Arc;

use http::HeaderValue;

use crate::{clock::Timestamp, lock::Mutex};

/// Whom an assertion is for, and which session of the grant it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionFor {
    /// The app's route.
    pub audience: Arc<str>,
    /// The session's hash.
    pub session: [u8; 32],
}

/// The assertions of one grant.
#[derive(Debug, Default)]
pub struct SignedAssertions(Mutex<Vec<(AssertionFor, Timestamp, HeaderValue)>>);

/// How many are kept. Few sessions share a grant, and few routes are used at the same time.
const MAX_KEPT: usize = 16;

impl Clone for SignedAssertions {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl SignedAssertions {
    /// Returns the assertion, if there is one whose time of signing `is_fresh`.
    pub fn get(&self, wanted: &AssertionFor, is_fresh: impl Fn(Timestamp) -> bool) -> Option<HeaderValue> {
        let kept = self.0.lock();
        kept.iter().find(|(known, signed_at, _)| known == wanted && is_fresh(*signed_at)).map(|(_, _, value)| value.clone())
    }

    /// Keeps an assertion in place of an older one.
    pub fn keep(&self, wanted: AssertionFor, signed_at: Timestamp, value: HeaderValue) {
        let mut kept = self.0.lock();
        kept.retain(|(known, _, _)| *known != wanted);
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push((wanted, signed_at, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_found_by_whom_it_is_for_and_while_it_is_fresh_and_not_without_limit() {
        let kept = SignedAssertions::default();
        let of = |audience: &str, session: u8| AssertionFor { audience: audience.into(), session: [session; 32] };
        kept.keep(of("a", 1), Timestamp(10), HeaderValue::from_static("first"));
        kept.keep(of("a", 2), Timestamp(10), HeaderValue::from_static("other"));
        kept.keep(of("a", 1), Timestamp(20), HeaderValue::from_static("second"));
        assert_eq!(kept.get(&of("a", 1), |_| true).unwrap(), "second");
        assert_eq!(kept.get(&of("a", 2), |_| true).unwrap(), "other");
        assert_eq!(kept.get(&of("a", 1), |at| at > Timestamp(20)), None);
        assert_eq!(kept.get(&of("b", 1), |_| true), None);
        for session in 3..40 {
            kept.keep(of("a", session), Timestamp(30), HeaderValue::from_static("more"));
        }
        assert_eq!(kept.0.lock().len(), MAX_KEPT);
        assert!(kept.get(&of("a", 39), |_| true).is_some() && kept.get(&of("a", 1), |_| true).is_none());
    }
}
