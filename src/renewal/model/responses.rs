//! What a replica makes of the provider's responses, as `Engine::handle_failure` decides it.

use super::{
    provider::Reply,
    replica::{Presented, Process, Write, with},
    world::{Mutation, Scenario, World, ticks},
};
use crate::{
    grant::Rotation,
    renewal::{
        classify::{FailureClass, classify},
        recovery::{self, SETTLED, known_rotation},
    },
};

/// Takes what the provider said, and decides what it means.
pub(super) fn respond(
    world: &World,
    at: u8,
    presented: &Presented,
    scenario: &Scenario,
    add: &mut impl FnMut(&'static str, World),
) {
    let Some(index) = world.calls.iter().position(|call| call.asker == Some(at)) else { return };
    let Presented { is_repeated, .. } = *presented;
    let mut answered = world.clone();
    let outcomes = |world: &World, reply: Reply| {
        let mut next = world.clone();
        let write = match reply {
            Reply::Tokens(new) => {
                next.received |= new.map_or(0, |new| 1 << new);
                Write::Save(new)
            }
            failed @ (Reply::InvalidGrant | Reply::Unavailable | Reply::Broken) => failure(world, failed, is_repeated, scenario),
        };
        with(&next, at, Process::Writing(*presented, write))
    };
    if let Some(reply) = world.calls[index].reply {
        answered.calls.remove(index);
        add("hears the provider's answer", outcomes(&answered, reply));
    }
    // The connection breaks; what was not acted on yet may still be.
    if let Some(mut broken) = world.fault() {
        if broken.calls[index].reply.is_some() {
            broken.calls.remove(index);
        } else {
            let call = &mut broken.calls[index];
            (call.asker, call.left) = (None, call.left.min(ticks(SETTLED)));
            broken.calls.sort_unstable();
        }
        add("loses the connection to the provider", outcomes(&broken, Reply::Broken));
    }
}

/// What is written after a failure, as `Engine::handle_failure` decides it.
fn failure(world: &World, reply: Reply, is_repeated: bool, scenario: &Scenario) -> Write {
    let rotation = world.row.as_ref().map_or(Rotation::Unknown, |row| row.as_grant(scenario).rotation);
    let class = known_rotation(scenario.class, world.rotates, rotation);
    match classify(&reply.failure(), &[]) {
        FailureClass::Dead
            if recovery::refusal_is_conclusive(class, is_repeated) || scenario.breaks(Mutation::EveryRefusalIsConclusive) =>
        {
            Write::End
        }
        FailureClass::Dead => Write::Lapse { retry: 0, settling: 0, abandon: true },
        FailureClass::Ambiguous => {
            let ago = world.row.as_ref().and_then(|row| row.as_grant(scenario).presented_ago).unwrap_or_default();
            let settling = match recovery::settling(scenario.class, scenario.introspects, ago) {
                _ if scenario.breaks(Mutation::IntrospectsAtOnce) => 0,
                settling => ticks(settling),
            };
            // There is also a pause, by the clock of the replica, which may differ from that of another.
            Write::Lapse { retry: 0, settling, abandon: false }
        }
        FailureClass::Config(_) | FailureClass::Retry(_) => Write::Release,
    }
}
