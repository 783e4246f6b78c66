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

use super::VerifiedToken;
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
    known: watch::Sender<Option<Arc<Known>>>,
    is_asking: AtomicBool,
    weight: u64,
}

impl Kept {
    pub(super) fn get(&self) -> Option<Arc<Known>> {
        self.known.borrow().clone()
    }

    pub(super) fn keep(&self, known: Arc<Known>) {
        self.known.send_replace(Some(known));
        self.is_asking.store(false, Ordering::Release);
    }

    /// The right to ask about it, which one has at a time: until [`Kept::keep`].
    pub(super) fn may_ask(&self) -> bool {
        !self.is_asking.swap(true, Ordering::AcqRel)
    }

    /// Hears of what is found out from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<Known>>> {
        self.known.subscribe()
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
    /// The token with this hash and length.
    pub(super) fn entry(&self, hash: [u8; 32], length: usize) -> Arc<Kept> {
        if let Some(kept) = self.0.get(&hash) {
            return kept;
        }
        let text = u64::try_from(length).unwrap_or(u64::MAX);
        // Its text, its claims, and what is rendered of them.
        let weight = text.saturating_mul(3).saturating_add(OVERHEAD);
        let new = || {
            Ok::<_, std::convert::Infallible>(Arc::new(Kept {
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
