//! Walks every state that can be reached, breadth-first, so that what is found wrong is told by one of the shortest ways to it.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write,
    rc::Rc,
};

use super::{
    provider::Reply,
    replica::steps,
    world::{Scenario, World},
};
use crate::grant::EndReason;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Explored {
    /// What must not be, and the way to it.
    pub(super) problem: Option<String>,
    /// Some state has a grant that was renewed as often as the model goes.
    pub(super) renewed: bool,
    /// Some state has a grant that has ended.
    pub(super) ended: bool,
    /// Some state has a grant that has ended with an unknown outcome.
    pub(super) ended_unknown: bool,
}

/// A state that was reached, and from where.
struct Reached {
    world: Rc<World>,
    from: Option<(usize, Event)>,
}

/// What happened, and to which replica.
type Event = (Option<u8>, &'static str);

/// More states than any scenario of ours has.
const MOST: usize = 500_000;

/// Explores a scenario.
pub(super) fn explore(scenario: &Scenario) -> Explored {
    let (mut known, mut reached, mut queue) = (HashMap::new(), Vec::new(), VecDeque::new());
    let mut before: Vec<Vec<u32>> = Vec::new();
    let mut explored = Explored::default();
    let start = Rc::new(World::start(scenario));
    known.insert(Rc::clone(&start), 0);
    reached.push(Reached { world: start, from: None });
    before.push(Vec::new());
    queue.push_back(0);
    while let Some(at) = queue.pop_front() {
        let world = Rc::clone(&reached[at].world);
        if let Some(broken) = world.broken_invariant(scenario) {
            explored.problem = Some(told(broken, &reached, at));
            return explored;
        }
        let ended = world.row.as_ref().and_then(|row| row.ended);
        explored.ended |= ended.is_some();
        explored.ended_unknown |= ended == Some(EndReason::OutcomeUnknown);
        explored.renewed |= world.row.as_ref().is_some_and(|row| row.generation == scenario.renewals);
        successors(&world, scenario, &mut |event, next| {
            let new = reached.len();
            let to = *known.entry(Rc::new(next.canonical())).or_insert_with_key(|next| {
                reached.push(Reached { world: Rc::clone(next), from: Some((at, event)) });
                before.push(Vec::new());
                queue.push_back(new);
                new
            });
            before[to].push(u32::try_from(at).unwrap());
        });
        assert!(reached.len() < MOST, "the model has too many states: {scenario:?}");
    }
    explored.problem = stuck(&reached, &before).map(|at| told("no resting state can be reached", &reached, at));
    explored
}

/// A state from which none can be reached in which nothing is under way.
fn stuck(reached: &[Reached], before: &[Vec<u32>]) -> Option<usize> {
    let mut leads_to_rest: Vec<bool> = reached.iter().map(|state| state.world.rests()).collect();
    let mut queue: Vec<usize> = (0..reached.len()).filter(|at| leads_to_rest[*at]).collect();
    while let Some(at) = queue.pop() {
        for from in &before[at] {
            let from = usize::try_from(*from).unwrap();
            if !std::mem::replace(&mut leads_to_rest[from], true) {
                queue.push(from);
            }
        }
    }
    leads_to_rest.iter().position(|leads| !leads)
}

/// A state and the way to it.
fn told(broken: &str, reached: &[Reached], mut at: usize) -> String {
    let mut way = vec![format!("{:#?}", reached[at].world)];
    while let Some((from, what)) = &reached[at].from {
        way.push(match what {
            (Some(replica), what) => format!("replica {replica} {what}"),
            (None, what) => (*what).to_owned(),
        });
        at = *from;
    }
    way.reverse();
    let mut text = broken.to_owned();
    way.iter().for_each(|step| write!(text, "\n  {step}").unwrap());
    text
}

/// All that can happen next.
fn successors(world: &World, scenario: &Scenario, add: &mut impl FnMut(Event, World)) {
    if let Some(next) = world.tick(scenario) {
        add((None, "time passes"), next);
    }
    for at in 0..2 {
        steps(world, at, scenario, &mut |what, next| add((Some(at), what), next));
    }
    call_steps(world, scenario, add);
    if let Some(late) = &world.late {
        let mut next = World { late: None, ..world.clone() };
        add((None, "a late statement is given up"), next.clone());
        if next.row.as_mut().is_some_and(|row| row.begin(late, scenario)) {
            add((None, "a late statement is committed"), next);
        }
    }
    if let Some(mut next) = world.fault() {
        if let Some(row) = next.row.take() {
            next.revoked |= 1 << row.token;
            add((None, "the user logs out"), next.clone());
        }
        if !next.provider.revoked {
            next.row.clone_from(&world.row);
            next.provider.revoked = true;
            add((None, "the provider ends the grant"), next);
        }
    }
}

/// What the provider does with the calls that it has not acted on.
fn call_steps(world: &World, scenario: &Scenario, add: &mut impl FnMut(Event, World)) {
    for (index, call) in world.calls.iter().enumerate().filter(|(_, call)| call.reply.is_none()) {
        let replied = |mut next: World, reply: Reply| {
            if call.asker.is_some() {
                next.calls[index].reply = Some(reply);
                next.calls[index].left = 0;
            } else {
                next.calls.remove(index);
            }
            next.calls.sort_unstable();
            next
        };
        let mut next = world.clone();
        match next.provider.act(call.token, scenario.habit) {
            Ok(reply) => add((None, "the provider acts on a call"), replied(next, reply)),
            Err(violation) => add((None, "the provider finds a reuse"), World { violation: Some(violation), ..next }),
        }
        if let Some(next) = world.fault() {
            let lost = if call.asker.is_some() { Reply::Broken } else { Reply::Unavailable };
            add((None, "a call is lost on its way"), replied(next.clone(), lost));
            if call.asker.is_some() {
                add((None, "the provider is overloaded"), replied(next, Reply::Unavailable));
            }
        }
    }
}
