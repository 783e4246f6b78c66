//! The grant's row, and the statements of `store/statements/grants.rs` on it.

use std::time::Duration;

use super::world::{Mutation, Scenario, TICK};
use crate::{
    grant::{AttemptId, EndReason, Ended, Grant, Intent, Rotation},
    renewal::decision::tests::grant,
};

/// The row, as far as the protocol reads it. Tokens, attempts and replicas are numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) generation: u8,
    pub(super) token: u8,
    pub(super) rotation: u8,
    pub(super) attempt: Option<u8>,
    pub(super) last_attempt: Option<u8>,
    /// The replica that holds the intent; `None` once it is gone, or has said that its call has ended.
    pub(super) owner: Option<u8>,
    /// How long ago an owner that is gone had its last heartbeat.
    pub(super) owner_seen: Option<u8>,
    pub(super) lease_left: u8,
    pub(super) presented: u8,
    pub(super) presented_ago: Option<u8>,
    pub(super) retry_left: u8,
    pub(super) ended: Option<EndReason>,
}

/// The right to follow an attempt whose lease expired, as [`crate::store::Followed`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Follows {
    pub(super) attempt: u8,
    pub(super) within: Option<Duration>,
}

/// An attempt to write an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Begin {
    pub(super) attempt: u8,
    pub(super) generation: u8,
    pub(super) owner: Option<u8>,
    pub(super) follows: Option<Follows>,
}

/// One whose replica was told that it failed, and that is committed later or never.
pub(super) type LateBegin = Begin;

const ROTATIONS: [Rotation; 3] = [Rotation::Unknown, Rotation::Reusable, Rotation::Rotating];

impl Row {
    pub(super) fn new(rotation: Rotation) -> Self {
        Self {
            generation: 0,
            token: 0,
            rotation: rotation_number(rotation),
            attempt: None,
            last_attempt: None,
            owner: None,
            owner_seen: None,
            lease_left: 0,
            presented: 0,
            presented_ago: None,
            retry_left: 0,
            ended: None,
        }
    }

    /// The row as the code's decisions read it.
    pub(super) fn as_grant(&self, scenario: &Scenario) -> Grant {
        let lapsed = self.lease_left == 0 || scenario.breaks(Mutation::NoLease);
        Grant {
            generation: i64::from(self.generation),
            rotation: ROTATIONS[usize::from(self.rotation)],
            presented: i64::from(self.presented),
            presented_ago: self.presented_ago.map(|ago| TICK * u32::from(ago)),
            intent: self.attempt.map(|attempt| Intent { attempt: AttemptId([attempt; 16]), lease_expired: lapsed }),
            ended: self.ended.map(|reason| Ended { reason, code: None }),
            ..grant(0)
        }
    }

    /// `begin_renewal`: whether the intent was written.
    pub(super) fn begin(&mut self, begin: &Begin, scenario: &Scenario) -> bool {
        let lapsed = self.lease_left == 0 || scenario.breaks(Mutation::NoLease);
        let may_follow = |follows: Follows| {
            let within = follows.within.is_none_or(|within| self.presented_ago.is_some_and(|ago| TICK * u32::from(ago) < within));
            self.attempt == Some(follows.attempt) && lapsed && within
        };
        let is_free = self.attempt.is_none() || self.attempt == Some(begin.attempt) || begin.follows.is_some_and(may_follow);
        let is_fenced = !scenario.breaks(Mutation::BeginsWithoutFence);
        if self.ended.is_some() || self.generation != begin.generation || (is_fenced && !is_free) {
            return false;
        }
        if self.attempt.is_none() || self.presented == 0 {
            self.presented_ago = Some(0);
        }
        if self.attempt != Some(begin.attempt) {
            // Two replicas can take turns for ever, and more than a few are not told apart.
            self.presented = (self.presented + 1).min(4);
        }
        let owner_seen = if begin.owner.is_none() { Some(0) } else { None };
        (self.attempt, self.lease_left) = (Some(begin.attempt), scenario.lease());
        (self.owner, self.owner_seen) = (begin.owner, owner_seen);
        true
    }

    /// `save_renewal`: whether the tokens are saved.
    pub(super) fn save(&mut self, attempt: u8, generation: u8, new: Option<u8>, rotated: bool, scenario: &Scenario) -> bool {
        let fence = match scenario.mutation {
            Some(Mutation::SavesWithoutGeneration) => self.last_attempt != Some(attempt),
            Some(Mutation::SavesOnlyWhileIntentIsHeld) => self.attempt == Some(attempt),
            Some(_) | None => self.generation == generation,
        };
        if !fence || !matches!(self.ended, None | Some(EndReason::OutcomeUnknown)) {
            return self.last_attempt == Some(attempt) && self.generation > generation;
        }
        let rotation = rotation_number(if rotated { Rotation::Rotating } else { Rotation::Reusable });
        *self = Self {
            generation: self.generation + 1,
            token: new.unwrap_or(self.token),
            last_attempt: Some(attempt),
            rotation,
            // The column keeps its value, which nobody reads before the next intent overwrites it.
            presented_ago: None,
            ..Self::new(Rotation::Unknown)
        };
        true
    }

    /// `release_renewal`; `name` is new.
    pub(super) fn release(&mut self, attempt: u8, name: u8) {
        if self.attempt == Some(attempt) {
            self.attempt = (self.presented > 1).then_some(name);
            (self.owner, self.owner_seen, self.lease_left, self.retry_left) = (None, None, 0, 0);
            self.presented -= 1;
        }
    }

    /// `expire_lease`.
    pub(super) fn lapse(&mut self, attempt: u8, retry: u8, settling: u8) {
        if self.attempt == Some(attempt) {
            (self.owner, self.owner_seen, self.lease_left, self.retry_left) = (None, None, settling, retry);
        }
    }

    /// `expire_dead_owners_lease`, whose condition is [`World::owner_looks_dead`](super::world::World::owner_looks_dead).
    pub(super) fn expire(&mut self) {
        self.lease_left = 0;
    }

    /// `give_up_renewal`.
    pub(super) fn give_up(&mut self, attempt: u8) {
        if self.attempt == Some(attempt) && self.lease_left == 0 && self.ended.is_none() {
            self.ended = Some(EndReason::OutcomeUnknown);
        }
    }

    /// `end_grant`, fenced by the attempt.
    pub(super) fn end(&mut self, attempt: u8) {
        if self.attempt == Some(attempt) && self.ended.is_none() {
            (self.ended, self.attempt, self.last_attempt) = (Some(EndReason::Dead), None, Some(attempt));
            (self.owner, self.owner_seen, self.lease_left) = (None, None, 0);
        }
    }
}

fn rotation_number(rotation: Rotation) -> u8 {
    u8::try_from(ROTATIONS.iter().position(|other| *other == rotation).unwrap()).unwrap()
}
