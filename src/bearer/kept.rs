//! What is known of tokens that were asked about: so many of them as fit into a fixed memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quick_cache::{Weighter, sync::Cache};
use tokio::sync::watch;

use super::{VerifiedToken, issued_by::IssuedBy};
use crate::{clock::Timestamp, oidc::VerifyError};

/// What was found out about a token.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Good(Arc<VerifiedToken>),
    Refused(VerifyError),
    /// It could not be found out.
    Unavailable(String),
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) verdict: Verdict,
    /// When it was last asked.
    pub(super) asked_at: Timestamp,
    /// When the verdict was last known to be true.
    pub(super) known_at: Timestamp,
}

/// How long a token need not be verified again whose signature was good: keys may be withdrawn.
const SIGNED_LIFE: Duration = Duration::from_secs(60);
/// How long a token that was refused is refused without asking again.
const REFUSED_LIFE: Duration = Duration::from_secs(5);
/// How long nobody asks again after asking failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Known {
    pub(super) fn new(verdict: Verdict, now: Timestamp) -> Self {
        Self { verdict, asked_at: now, known_at: now }
    }

    /// The same after asking again has failed at `now`.
    pub(super) fn again_at(&self, now: Timestamp) -> Self {
        Self { asked_at: now, ..self.clone() }
    }

    /// How long it need not be asked again. Answers of introspection are used for as long as is `configured`.
    pub(super) fn life(&self, configured: Duration) -> Duration {
        match &self.verdict {
            Verdict::Good(_) if self.asked_at != self.known_at => PAUSE,
            Verdict::Good(token) if token.is_self_contained => SIGNED_LIFE,
            Verdict::Good(_) => configured,
            Verdict::Refused(_) => REFUSED_LIFE.min(configured),
            Verdict::Unavailable(_) => PAUSE,
        }
    }
}

/// One token, by its hash.
#[derive(Debug)]
pub(super) struct Kept {
    /// Who has issued it.
    pub(super) by: IssuedBy,
    known: watch::Sender<Option<Arc<Known>>>,
    is_asking: AtomicBool,
    weight: u64,
}

impl Kept {
    pub(super) fn get(&self) -> Option<Arc<Known>> {
        self.known.borrow().clone()
    }

    /// The right to ask about it, which one has at a time.
    pub(super) fn begin_to_ask(this: &Arc<Self>) -> Option<Asking> {
        let is_mine = !this.is_asking.swap(true, Ordering::AcqRel);
        is_mine.then(|| Asking(Arc::clone(this)))
    }

    /// Waits until something else is known than what was `seen`, which may be so already.
    pub(super) async fn newer_than(&self, seen: Option<&Arc<Known>>) -> Option<Arc<Known>> {
        let is_newer = |known: &Option<Arc<Known>>| known.as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr);
        self.known.subscribe().wait_for(is_newer).await.ok()?.clone()
    }
}

/// The right to ask about a token. Whoever drops it without an answer lets the next one ask.
#[derive(Debug)]
pub(super) struct Asking(Arc<Kept>);

impl Asking {
    pub(super) fn keep(self, known: Arc<Known>) {
        self.0.known.send_replace(Some(known));
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.is_asking.store(false, Ordering::Release);
    }
}

/// All tokens that were asked about lately.
#[derive(Debug)]
pub(super) struct KeptTokens(Cache<[u8; 32], Arc<Kept>, ByMemory>);

/// What all of them take, in bytes.
const CAPACITY: u64 = 64 * 1024 * 1024;
/// How many are expected.
const EXPECTED: usize = 10_000;
/// What one takes besides its text: its claims, and the header lines that are made of them.
const OVERHEAD: u64 = 2048;

#[derive(Clone, Debug)]
struct ByMemory;

impl Weighter<[u8; 32], Arc<Kept>> for ByMemory {
    fn weight(&self, _: &[u8; 32], kept: &Arc<Kept>) -> u64 {
        kept.weight
    }
}

impl Default for KeptTokens {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED, CAPACITY, ByMemory))
    }
}

impl KeptTokens {
    /// The token with this hash, if it is known.
    pub(super) fn get(&self, hash: &[u8; 32]) -> Option<Arc<Kept>> {
        self.0.get(hash)
    }

    /// The token with this hash, issuer and length, which is known from now on.
    pub(super) fn entry(&self, hash: [u8; 32], by: IssuedBy, length: usize) -> Arc<Kept> {
        let text = u64::try_from(length).unwrap_or(u64::MAX);
        // Its text, its claims, and what is rendered of them.
        let weight = text.saturating_mul(3).saturating_add(OVERHEAD);
        let new = || {
            Ok::<_, std::convert::Infallible>(Arc::new(Kept {
                by,
                known: watch::Sender::default(),
                is_asking: AtomicBool::new(false),
                weight,
            }))
        };
        match self.0.get_or_insert_with(&hash, new) {
            Ok(kept) => kept,
            Err(never) => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::oidc::TokenIssuer;

    fn unavailable() -> Arc<Known> {
        Arc::new(Known::new(Verdict::Unavailable("it does not answer".to_owned()), Timestamp(1)))
    }

    #[test]
    fn one_asks_at_a_time_and_the_next_one_does_where_asking_came_to_nothing() {
        let kept = KeptTokens::default().entry([0; 32], IssuedBy::Issuer(Arc::new(TokenIssuer::of_test())), 8);
        let asking = Kept::begin_to_ask(&kept);
        assert!(asking.is_some() && Kept::begin_to_ask(&kept).is_none());
        drop(asking);
        Kept::begin_to_ask(&kept).unwrap().keep(unavailable());
        assert!(Kept::begin_to_ask(&kept).is_some());
    }

    #[test]
    fn nobody_waits_for_what_was_found_out_since_they_looked() {
        let kept = KeptTokens::default().entry([0; 32], IssuedBy::Issuer(Arc::new(TokenIssuer::of_test())), 8);
        assert!(kept.newer_than(None).now_or_never().is_none(), "nothing is known");
        let first = unavailable();
        Kept::begin_to_ask(&kept).unwrap().keep(Arc::clone(&first));
        assert!(kept.newer_than(None).now_or_never().flatten().is_some());
        assert!(kept.newer_than(Some(&first)).now_or_never().is_none(), "it was seen");
    }
}
