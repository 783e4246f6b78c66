//! A state of the model, and what it is a model of.

use std::time::Duration;

use super::{
    provider::{Call, Habit, Issuer},
    replica::{Process, Replica},
    row::{Follows, LateBegin, Row},
};
use crate::{
    grant::Rotation,
    oidc::RefreshTokenRotation,
    renewal::recovery::{MAX_INTENT_AGE, Recovery, ReuseWindow, SETTLED, expirable_lease},
};

/// The unit of the model's time.
pub(super) const TICK: Duration = Duration::from_millis(2500);
/// In ticks, how long a replica waits for the provider: longer than it takes to be taken for dead, so that neither this nor [`SETTLED`] can
/// stand for it.
const TOKEN_TIMEOUT: u8 = 3;
/// That as the code has it.
pub(super) fn token_timeout() -> Duration {
    TICK * u32::from(TOKEN_TIMEOUT)
}

/// As `store/replica.rs` has it, less the second that may lie between two beats.
const DEAD_AFTER: Duration = Duration::from_secs(6 - 1);

/// A duration in whole ticks.
pub(super) fn ticks(duration: Duration) -> u8 {
    u8::try_from(duration.as_millis() / TICK.as_millis()).unwrap()
}

/// A point of the protocol that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// `recovery::decide` says that every token may be presented again.
    AlwaysReuse,
    /// The intent is written when the provider has answered.
    IntentAfterPresentation,
    /// A token is presented again until the reuse interval is over.
    ReusesToTheEnd,
    /// An intent is written over another's.
    BeginsWithoutFence,
    /// A write that fails is not tried again.
    WritesOnce,
    /// A save is fenced by the attempt, not by the generation.
    SavesOnlyWhileIntentIsHeld,
    /// A save has no fence.
    SavesWithoutGeneration,
    /// A token is presented however old the intent is.
    IntentNeverAges,
    /// A token is asked about while the request that presented it may be under way.
    IntrospectsAtOnce,
    /// The lease of a dead replica expires although the provider may still be processing its call.
    ExpiresUnsettledLeases,
    /// An intent has no lease: it counts as expired at once.
    NoLease,
    /// The refusal of a token that was presented before ends the grant as dead.
    EveryRefusalIsConclusive,
    /// Nobody retries after an expired lease.
    NeverRetriesAfterLease,
    /// What a token call brings after a logout is not revoked.
    ForgetsAfterLogout,
}

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    /// What the preset says of the provider.
    pub(super) class: RefreshTokenRotation,
    /// What the provider does.
    pub(super) habit: Habit,
    pub(super) introspects: bool,
    /// What the grant's row says of earlier renewals.
    pub(super) rotation: Rotation,
    /// After so many renewals nobody asks for another.
    pub(super) renewals: u8,
    /// How many things go wrong at most.
    pub(super) faults: u8,
    pub(super) mutation: Option<Mutation>,
}

impl Scenario {
    /// The lease: longer than a token may be at hand and a call under way. In the code, the longest token call and `SAVING`.
    pub(super) fn lease(&self) -> u8 {
        let left = expirable_lease(Recovery::Introspect).map_or(0, ticks);
        if self.introspects { ticks(MAX_INTENT_AGE) + self.longest_call() + left } else { 2 }
    }

    /// In how many ticks the provider has acted on a token call, or never will, if nobody is known to have ended it. Nothing depends on
    /// more than [`SETTLED`] where no token is introspected.
    pub(super) fn longest_call(&self) -> u8 {
        if self.introspects { TOKEN_TIMEOUT + ticks(SETTLED) } else { ticks(SETTLED) }
    }

    /// How old, in ticks, an intent may be when its token is presented.
    pub(super) fn latest(&self, follows: Option<Follows>) -> u8 {
        let window = self.class.reuse_interval().filter(|_| follows.is_some_and(|follows| follows.within.is_some()));
        ticks(window.map_or(MAX_INTENT_AGE, |interval| ReuseWindow::of(interval).latest))
    }

    /// Ages of presentations that nothing tells apart from older ones: as few as possible, so that there are few states.
    fn oldest(&self) -> u8 {
        let at_the_provider = if let Habit::ReuseInterval(interval) = self.habit { interval } else { 0 };
        let settles = |interval| ticks(interval + token_timeout() + MAX_INTENT_AGE + SETTLED) + 1;
        let here = self.class.reuse_interval().filter(|_| self.introspects).map_or(0, settles);
        at_the_provider.max(here)
    }

    pub(super) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}

/// A state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// The grant in the store; `None` after a logout.
    pub(super) row: Option<Row>,
    /// What the store knows of the provider's rotation.
    pub(super) rotates: Option<bool>,
    pub(super) provider: Issuer,
    pub(super) replicas: [Replica; 2],
    /// Token calls under way.
    pub(super) calls: Vec<Call>,
    /// An intent whose statement failed for its replica and may be committed yet.
    pub(super) late: Option<LateBegin>,
    /// New tokens that a replica received, which nothing has happened to since that could have lost them.
    pub(super) received: u8,
    /// The tokens that are revoked at the provider, or are about to be: after a logout nobody else knows them.
    pub(super) revoked: u8,
    /// How many things may still go wrong.
    pub(super) faults: u8,
    /// What went wrong that must not.
    pub(super) violation: Option<&'static str>,
}

impl World {
    pub(super) fn start(scenario: &Scenario) -> Self {
        Self {
            row: Some(Row::new(scenario.rotation)),
            rotates: None,
            provider: Issuer::new(),
            replicas: [Replica::start(), Replica::start()],
            calls: Vec::new(),
            late: None,
            received: 0,
            revoked: 0,
            faults: scenario.faults,
            violation: None,
        }
    }

    /// Spends a fault, if there is one left.
    pub(super) fn fault(&self) -> Option<Self> {
        Some(Self { faults: self.faults.checked_sub(1)?, ..self.clone() })
    }

    /// The smallest name of an attempt that nothing refers to.
    pub(super) fn new_attempt(&self) -> u8 {
        let row = self.row.iter().flat_map(|row| [row.attempt, row.last_attempt]).flatten();
        let held = self.replicas.iter().flat_map(Replica::attempts);
        let used: Vec<u8> = row.chain(held).chain(self.late.map(|late| late.attempt)).collect();
        (0..).find(|name| !used.contains(name)).unwrap()
    }

    /// Whether the replica that holds the intent is taken for dead by others.
    pub(super) fn owner_looks_dead(&self) -> bool {
        let Some(row) = &self.row else { return false };
        let seen = row.owner.map_or(row.owner_seen, |owner| Some(self.replicas[usize::from(owner)].beat_ago));
        row.attempt.is_some() && row.lease_left > 0 && seen.is_some_and(|seen| seen >= ticks(DEAD_AFTER))
    }

    /// Time passes, unless the provider has to act before, or the replica that waits for it has waited long enough. That a lease expires which a replica holds that reaches the store is a
    /// fault: its process stood still.
    pub(super) fn tick(&self, scenario: &Scenario) -> Option<Self> {
        let is_over =
            |call: &Call| call.left <= 1 || (scenario.introspects && call.asker.is_some() && call.left <= ticks(SETTLED));
        if self.calls.iter().any(|call| call.reply.is_none() && is_over(call)) {
            return None;
        }
        let owner = self.row.as_ref().filter(|row| row.lease_left == 1).and_then(|row| row.owner);
        let stands_still = owner.is_some_and(|owner| self.replicas[usize::from(owner)].is_connected);
        let mut next = if stands_still { self.fault()? } else { self.clone() };
        if let Some(row) = &mut next.row {
            row.lease_left = row.lease_left.saturating_sub(1);
            row.retry_left = row.retry_left.saturating_sub(1);
            row.presented_ago = row.presented_ago.map(|ago| (ago + 1).min(scenario.oldest()));
            row.owner_seen = row.owner_seen.map(|seen| (seen + 1).min(ticks(DEAD_AFTER)));
        }
        for call in next.calls.iter_mut().filter(|call| call.reply.is_none()) {
            call.left -= 1;
        }
        next.provider.tick(scenario.oldest());
        for replica in &mut next.replicas {
            let beats = replica.is_connected && replica.process != Process::Dead;
            replica.beat_ago = if beats { 0 } else { (replica.beat_ago + 1).min(ticks(DEAD_AFTER)) };
            if let Process::Holding { age, .. } = &mut replica.process {
                *age = (*age + 1).min(ticks(MAX_INTENT_AGE) + 1);
            }
        }
        (next != *self).then_some(next)
    }

    /// The same state, whichever replica is called the first.
    pub(super) fn canonical(mut self) -> Self {
        if self.replicas[0] > self.replicas[1] {
            self.replicas.swap(0, 1);
            let swap = |replica: &mut Option<u8>| *replica = replica.map(|replica| 1 - replica);
            self.row.iter_mut().for_each(|row| swap(&mut row.owner));
            self.late.iter_mut().for_each(|late| swap(&mut late.owner));
            self.calls.iter_mut().for_each(|call| swap(&mut call.asker));
            self.calls.sort_unstable();
        }
        self
    }

    /// Whether nothing is under way.
    pub(super) fn rests(&self) -> bool {
        let row_rests = self.row.as_ref().is_none_or(|row| row.ended.is_some() || row.attempt.is_none());
        row_rests && self.late.is_none() && self.calls.is_empty() && self.replicas.iter().all(Replica::rests)
    }

    /// What must hold and does not.
    pub(super) fn broken_invariant(&self, scenario: &Scenario) -> Option<&'static str> {
        if self.violation.is_some() {
            return self.violation;
        }
        let is_known = |token: u8| self.provider.is_used(token) || self.replicas.iter().any(|replica| replica.is_saving(token));
        let lost = |is_kept: &dyn Fn(u8) -> bool| {
            (0..8).any(|token| self.received & (1 << token) != 0 && !is_known(token) && !is_kept(token))
        };
        let Some(row) = &self.row else {
            return lost(&|token| self.revoked & (1 << token) != 0).then_some("a token lives on after the logout");
        };
        if row.ended == Some(crate::grant::EndReason::Dead) && !self.provider.revoked {
            return Some("the grant ended as dead and is alive at the provider");
        }
        if row.ended.is_some() && self.faults == scenario.faults {
            return Some("the grant ended though nothing went wrong");
        }
        let is_kept = |token: u8| row.token == token || row.ended == Some(crate::grant::EndReason::Dead);
        lost(&is_kept).then_some("a token that was received is lost")
    }
}
