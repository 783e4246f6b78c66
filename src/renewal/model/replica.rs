//! A replica: the steps of an attempt, as `renewal/attempt.rs` and `renewal/outcome.rs` take them.

use super::{
    provider::Call,
    responses::respond,
    row::{Begin, Follows},
    world::{Mutation, Scenario, World, ticks, token_timeout},
};
use crate::{
    grant::AttemptId,
    renewal::recovery::{self, Plan, Recovery, known_rotation, plan},
};

/// A replica, as far as this grant is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Replica {
    pub(super) process: Process,
    /// Whether it reaches the store.
    pub(super) is_connected: bool,
    pub(super) beat_ago: u8,
    /// An intent that may have been written and is given back; `true`: it has yet to be for the first time.
    pub(super) releases: Option<(u8, bool)>,
}

/// Where its attempt stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Process {
    /// The process is gone.
    Dead,
    /// There is no attempt.
    Idle,
    /// The row was read, and the intent is to be written.
    Planned { generation: u8, follows: Option<Follows>, if_active: bool },
    /// The intent is written, and the token is at hand.
    Holding { presented: Presented, token: u8, if_active: bool, age: u8 },
    /// The provider is asked.
    Calling(Presented),
    /// Something has to be written, and is tried until it is.
    Writing(Presented, Write),
    /// A grant whose fate is unknown is ended; this is tried once.
    Abandoning(u8),
}

/// A presentation of the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Presented {
    pub(super) attempt: u8,
    pub(super) generation: u8,
    pub(super) is_repeated: bool,
    /// How old its intent may be.
    pub(super) latest: u8,
}

/// What has to be written, as `renewal/pending.rs` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Write {
    Save(Option<u8>),
    Release,
    Lapse { retry: u8, settling: u8, abandon: bool },
    End,
}

impl Replica {
    pub(super) fn start() -> Self {
        Self { process: Process::Idle, is_connected: true, beat_ago: 0, releases: None }
    }

    /// The attempts that it still speaks of.
    pub(super) fn attempts(&self) -> Vec<u8> {
        let own = match &self.process {
            Process::Dead | Process::Idle => None,
            Process::Planned { follows, .. } => follows.map(|follows| follows.attempt),
            Process::Holding { presented, .. } | Process::Calling(presented) | Process::Writing(presented, _) => {
                Some(presented.attempt)
            }
            Process::Abandoning(attempt) => Some(*attempt),
        };
        own.into_iter().chain(self.releases.map(|(attempt, _)| attempt)).collect()
    }

    pub(super) fn is_saving(&self, token: u8) -> bool {
        matches!(self.process, Process::Writing(_, Write::Save(Some(new))) if new == token)
    }

    pub(super) fn rests(&self) -> bool {
        self.process == Process::Idle && self.is_connected && self.releases.is_none()
    }
}

/// What may happen next to the replica `at`, with a word for each.
pub(super) fn steps(world: &World, at: u8, scenario: &Scenario, add: &mut impl FnMut(&'static str, World)) {
    let replica = &world.replicas[usize::from(at)];
    let with = |process: Process| with(world, at, process);
    match &replica.process {
        Process::Dead => add("starts again", {
            let mut next = world.clone();
            next.replicas[usize::from(at)] = Replica::start();
            next
        }),
        Process::Idle => read(world, at, scenario, add),
        Process::Planned { generation, follows, if_active } => {
            let begin = Begin { attempt: world.new_attempt(), generation: *generation, owner: Some(at), follows: *follows };
            write_intent(world, at, &begin, *if_active, scenario, add);
        }
        Process::Holding { presented, token, if_active: true, age } => {
            if world.provider.is_active(*token) {
                add(
                    "hears that the token is active",
                    with(Process::Holding { presented: *presented, token: *token, if_active: false, age: *age }),
                );
            } else {
                add(
                    "hears that the token is not active",
                    with(Process::Writing(*presented, Write::Lapse { retry: 0, settling: 0, abandon: true })),
                );
            }
            if let Some(next) = world.fault() {
                let lapse = Process::Writing(*presented, Write::Lapse { retry: 1, settling: 0, abandon: false });
                add("cannot introspect", self::with(&next, at, lapse));
            }
        }
        Process::Holding { presented, token, if_active: false, age } => {
            if *age > presented.latest && !scenario.breaks(Mutation::IntentNeverAges) {
                add("gives back an intent that is too old", with(Process::Writing(*presented, Write::Release)));
            } else {
                add("presents the token", present(with(Process::Calling(*presented)), at, *token, scenario));
            }
        }
        Process::Calling(presented) => respond(world, at, presented, scenario, add),
        Process::Writing(presented, write) => write_outcome(world, at, presented, *write, scenario, add),
        Process::Abandoning(attempt) => {
            if replica.is_connected {
                let mut next = with(Process::Idle);
                next.row.iter_mut().for_each(|row| row.give_up(*attempt));
                add("gives the grant up", next);
            } else {
                add("cannot give the grant up", with(Process::Idle));
            }
        }
    }
    if replica.process != Process::Dead {
        release_pending(world, at, add);
        disturb(world, at, add);
    }
}

pub(super) fn with(world: &World, at: u8, process: Process) -> World {
    let mut next = world.clone();
    next.replicas[usize::from(at)].process = process;
    next
}

fn present(mut world: World, at: u8, token: u8, scenario: &Scenario) -> World {
    world.calls.push(Call { token, asker: Some(at), left: scenario.longest_call(), reply: None });
    world.calls.sort_unstable();
    world
}

/// Reads the row and plans.
fn read(world: &World, at: u8, scenario: &Scenario, add: &mut impl FnMut(&'static str, World)) {
    let replica = &world.replicas[usize::from(at)];
    let is_pending = replica.releases.is_some_and(|(_, is_first)| is_first);
    let Some(row) = world.row.as_ref().filter(|_| replica.is_connected && !is_pending) else { return };
    if row.generation >= scenario.renewals {
        return;
    }
    let grant = row.as_grant(scenario);
    let class = known_rotation(
        scenario.class,
        world.rotates.filter(|_| scenario.class == crate::oidc::RefreshTokenRotation::Observed),
        grant.rotation,
    );
    let planned = |follows, if_active| with(world, at, Process::Planned { generation: row.generation, follows, if_active });
    let name = |attempt: AttemptId| attempt.0[0];
    match plan(&grant, grant.generation) {
        Plan::Ended | Plan::KeyMissing | Plan::Renewed => {}
        Plan::WaitFor(_) => {
            let left = recovery::expirable_lease(recovery::decide(class, &grant, scenario.introspects, token_timeout()));
            let is_settled = left.is_none_or(|left| row.lease_left <= ticks(left));
            if world.owner_looks_dead() && (is_settled || scenario.breaks(Mutation::ExpiresUnsettledLeases)) {
                let mut next = world.clone();
                next.row.iter_mut().for_each(super::row::Row::expire);
                add("expires the lease of a dead owner", next);
            }
            if scenario.breaks(Mutation::BeginsWithoutFence) {
                add("plans as if nobody held the intent", planned(None, false));
            }
        }
        Plan::RetryAfter(_) if scenario.breaks(Mutation::NeverRetriesAfterLease) => {}
        Plan::RetryAfter(attempt) => {
            let attempt = name(attempt);
            let recovery = match recovery::decide(class, &grant, scenario.introspects, token_timeout()) {
                _ if scenario.breaks(Mutation::AlwaysReuse) => Recovery::Reuse(None),
                Recovery::Settle(_) if scenario.breaks(Mutation::IntrospectsAtOnce) => Recovery::Introspect,
                Recovery::GiveUp if scenario.breaks(Mutation::ReusesToTheEnd) => Recovery::Reuse(None),
                recovery @ (Recovery::Reuse(_) | Recovery::Introspect | Recovery::Settle(_) | Recovery::GiveUp) => recovery,
            };
            let is_paused = row.retry_left > 0;
            match recovery {
                Recovery::GiveUp => add("finds a token of unknown fate", with(world, at, Process::Abandoning(attempt))),
                Recovery::Settle(_) => {}
                Recovery::Reuse(_) | Recovery::Introspect if is_paused => {}
                Recovery::Reuse(window) => {
                    let within = match scenario.class.reuse_interval() {
                        Some(interval) if scenario.breaks(Mutation::ReusesToTheEnd) => Some(interval),
                        Some(_) | None => window.map(|window| window.within),
                    };
                    add("plans to present again", planned(Some(Follows { attempt, within }), false));
                }
                Recovery::Introspect => add("plans to introspect", planned(Some(Follows { attempt, within: None }), true)),
            }
        }
        Plan::Present if row.retry_left > 0 => {}
        Plan::Present => add("plans to present", planned(None, false)),
    }
}

/// Writes the intent: with a response, with one that is lost, late, or not at all.
fn write_intent(
    world: &World,
    at: u8,
    begin: &Begin,
    if_active: bool,
    scenario: &Scenario,
    add: &mut impl FnMut(&'static str, World),
) {
    let presented = Presented {
        attempt: begin.attempt,
        generation: begin.generation,
        is_repeated: begin.follows.is_some(),
        latest: scenario.latest(begin.follows),
    };
    let Some(row) = &world.row else {
        add("finds no grant", with(world, at, Process::Idle));
        return;
    };
    if scenario.breaks(Mutation::IntentAfterPresentation) {
        add("presents without an intent", present(with(world, at, Process::Calling(presented)), at, row.token, scenario));
        return;
    }
    if !world.replicas[usize::from(at)].is_connected {
        add("cannot write the intent", with(world, at, Process::Idle));
        return;
    }
    let token = row.token;
    let mut next = world.clone();
    let is_written = next.row.as_mut().is_some_and(|row| row.begin(begin, scenario));
    let process = if is_written { Process::Holding { presented, token, if_active, age: 0 } } else { Process::Idle };
    add("writes the intent", with(&next, at, process));
    let unknown = |world: World| {
        let mut world = with(&world, at, Process::Idle);
        world.replicas[usize::from(at)].releases = Some((begin.attempt, true));
        world
    };
    if world.replicas[usize::from(at)].releases.is_some() {
        return;
    }
    if let Some(next) = next.fault().filter(|_| is_written) {
        add("does not hear that the intent is written", unknown(next));
    }
    if let Some(mut next) = world.fault().filter(|next| next.late.is_none()) {
        next.late = Some(*begin);
        add("takes the intent for failed, which is written late", unknown(next));
    }
}

/// Tells the store, which takes effect, or takes effect unheard of. One that is away is tried again.
fn write_outcome(
    world: &World,
    at: u8,
    presented: &Presented,
    write: Write,
    scenario: &Scenario,
    add: &mut impl FnMut(&'static str, World),
) {
    if !world.replicas[usize::from(at)].is_connected {
        if scenario.breaks(Mutation::WritesOnce) {
            add("fails to write, and forgets it", with(world, at, Process::Idle));
        }
        return;
    }
    let Presented { attempt, generation, .. } = *presented;
    let (mut next, name, mut process) = (world.clone(), world.new_attempt(), Process::Idle);
    if let Some(row) = &mut next.row {
        match write {
            Write::Save(new) => {
                if scenario.breaks(Mutation::IntentAfterPresentation) && row.generation == generation {
                    row.begin(&Begin { attempt, generation, owner: Some(at), follows: None }, scenario);
                }
                if row.save(attempt, generation, new, new.is_some(), scenario) {
                    next.rotates = Some(new.is_some() || next.rotates == Some(true));
                } else if row.ended.is_none() && row.generation > generation {
                    // Somebody was faster, with a token of the same family.
                    next.received &= !new.map_or(0, |new| 1 << new);
                }
            }
            Write::Release => row.release(attempt, name),
            Write::Lapse { retry, settling, abandon } => {
                row.lapse(attempt, retry, settling);
                if abandon {
                    process = Process::Abandoning(attempt);
                }
            }
            Write::End => row.end(attempt),
        }
    } else if let Write::Save(Some(new)) = write
        && !scenario.breaks(Mutation::ForgetsAfterLogout)
    {
        next.revoked |= 1 << new;
    }
    if let Some(unheard) = next.fault().filter(|unheard| unheard.row != world.row) {
        add("does not hear that it was written", unheard);
    }
    add("writes the outcome", with(&next, at, process));
}

/// Gives back, twice, an intent of which it is not known whether it was written.
fn release_pending(world: &World, at: u8, add: &mut impl FnMut(&'static str, World)) {
    let replica = &world.replicas[usize::from(at)];
    let Some((attempt, is_first)) = replica.releases.filter(|_| replica.is_connected) else { return };
    // The second time comes when a statement is done or never will be.
    if !is_first && world.late.is_some_and(|late| late.attempt == attempt) {
        return;
    }
    let (mut next, name) = (world.clone(), world.new_attempt());
    next.row.iter_mut().for_each(|row| row.release(attempt, name));
    next.replicas[usize::from(at)].releases = is_first.then_some((attempt, false));
    add("gives back an intent that may have been written", next);
}

/// Crashes, and loses or finds the store.
fn disturb(world: &World, at: u8, add: &mut impl FnMut(&'static str, World)) {
    let replica = &world.replicas[usize::from(at)];
    if !replica.is_connected {
        let mut next = world.clone();
        // It is a heartbeat that finds out.
        (next.replicas[usize::from(at)].is_connected, next.replicas[usize::from(at)].beat_ago) = (true, 0);
        add("reaches the store again", next);
    }
    let Some(faulty) = world.fault() else { return };
    if replica.is_connected {
        let mut next = faulty.clone();
        next.replicas[usize::from(at)].is_connected = false;
        add("does not reach the store", next);
    }
    let mut next = faulty;
    if let Process::Writing(_, Write::Save(Some(new))) = replica.process {
        // Unless its save has taken effect.
        if next.row.as_ref().is_none_or(|row| row.token != new) {
            next.received &= !(1 << new);
        }
    }
    let gone = Replica { process: Process::Dead, is_connected: true, beat_ago: replica.beat_ago, releases: None };
    let seen = std::mem::replace(&mut next.replicas[usize::from(at)], gone).beat_ago;
    if let Some(row) = next.row.as_mut().filter(|row| row.owner == Some(at)) {
        (row.owner, row.owner_seen) = (None, Some(seen));
    }
    next.late.iter_mut().filter(|late| late.owner == Some(at)).for_each(|late| late.owner = None);
    next.calls.iter_mut().filter(|call| call.asker == Some(at)).for_each(|call| call.asker = None);
    next.calls.retain(|call| call.asker.is_some() || call.reply.is_none());
    next.calls.sort_unstable();
    add("crashes", next);
}
