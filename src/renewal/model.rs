//! Model check of the intent protocol: every order of events that two replicas, the store and a provider can come to, up to a number
//! of faults (crashes, lost requests and responses, a store that is away, a commit that comes late), is walked breadth-first.
//!
//! The decisions are those of the code ([`recovery`](super::recovery), [`classify`](super::classify) and their constants); the store's
//! statements ([`row`]), the order of an attempt's steps ([`replica`]) and the provider ([`provider`]) are modelled here, and must
//! follow when `store/statements/grants.rs`, `renewal/attempt.rs` or `renewal/outcome.rs` change.
//!
//! What holds in every state:
//! - a one-use refresh token that was used is never presented again to a provider that detects reuse;
//! - a new token that a living replica received is in the store, or in that replica's queue of writes, or used;
//! - one that is received after a logout is revoked;
//! - a grant ends as dead only when the provider ended it, and with an unknown outcome only after a fault;
//! - from every state one can be reached in which nothing is under way and nobody waits.
//!
//! Time is counted in [`world::TICK`]s, and may pass between any two steps. What is assumed: a provider acts on a token call within
//! [`SETTLED`](super::recovery::SETTLED) of its end, or not at all. The replica that makes the call ends it when the token timeout is over
//! (one that is killed meanwhile ends nothing: the provider has the request), or it ends when its connection breaks. A token is
//! presented at the moment at which the age of its intent is looked at, and clocks run at one speed. Where no token is introspected, a
//! provider acts within [`SETTLED`](super::recovery::SETTLED) of being asked, because nothing depends on it; in a reuse interval in the
//! tick after that, which is what [`ReuseWindow`](super::recovery::ReuseWindow) leaves for it.
//!
//! A check that cannot fail proves nothing: each [`Mutation`] breaks the protocol in one place, and the explorer must find how that
//! goes wrong.

mod explore;
mod provider;
mod replica;
mod responses;
mod row;
mod world;

use std::time::Duration;

use explore::{Explored, explore};
use provider::Habit;
use world::{Mutation, Scenario, TICK, ticks};

use crate::{grant::Rotation, oidc::RefreshTokenRotation};

/// How long a used token stays good at the provider with a reuse interval, as the setting has it.
const REUSE_INTERVAL: Duration = Duration::from_secs(10);

fn scenario(class: RefreshTokenRotation, habit: Habit) -> Scenario {
    Scenario { class, habit, introspects: false, rotation: Rotation::Unknown, renewals: 1, faults: 2, mutation: None }
}

fn strict() -> Scenario {
    scenario(RefreshTokenRotation::ReuseDetection, Habit::ReuseDetection)
}

fn introspecting() -> Scenario {
    Scenario { introspects: true, faults: 1, ..strict() }
}

fn interval() -> Scenario {
    scenario(RefreshTokenRotation::ReuseInterval(REUSE_INTERVAL), Habit::ReuseInterval(ticks(REUSE_INTERVAL)))
}

/// The administrator says that a used token stays good, for no time at all, and the provider introspects.
fn introspecting_after_an_interval() -> Scenario {
    Scenario { class: RefreshTokenRotation::ReuseInterval(Duration::ZERO), ..introspecting() }
}

/// Explores a scenario in which nothing may go wrong.
fn holds(scenario: Scenario) -> Explored {
    let explored = explore(&scenario);
    assert!(explored.problem.is_none(), "{scenario:?}\n{}", explored.problem.unwrap_or_default());
    assert!(explored.renewed, "the grant can be renewed as often as the model allows: {scenario:?}");
    explored
}

/// Explores a scenario in which the protocol is broken, and something must go wrong.
fn finds(scenario: Scenario, mutation: Mutation, expected: &str) {
    let scenario = Scenario { mutation: Some(mutation), ..scenario };
    let problem = explore(&scenario).problem.unwrap_or_default();
    assert!(problem.contains(expected), "expected \"{expected}\" of {scenario:?}, found: {problem}");
}

#[test]
fn without_faults_no_grant_ends() {
    for scenario in [strict(), introspecting(), interval()] {
        assert!(!holds(Scenario { faults: 0, ..scenario }).ended);
    }
}

#[test]
fn a_provider_that_detects_reuse_never_sees_a_used_token() {
    assert!(holds(strict()).ended, "a crash after the presentation leaves a fate unknown");
}

#[test]
fn introspection_tells_a_used_token_from_one_that_is_good() {
    holds(introspecting());
}

/// The row dates the first presentation alone; each intent's lease dates its own.
#[test]
fn after_two_losses_introspection_still_tells_a_used_token_from_one_that_is_good() {
    holds(Scenario { faults: 2, ..introspecting() });
}

#[test]
fn a_token_whose_reuse_interval_is_over_is_introspected_only_when_no_call_is_under_way() {
    for faults in [1, 2] {
        holds(Scenario { faults, ..introspecting_after_an_interval() });
    }
}

#[test]
fn a_second_renewal_is_not_disturbed_by_what_is_left_of_the_first() {
    for scenario in [strict(), interval(), scenario(RefreshTokenRotation::SingleUse, Habit::SingleUse)] {
        holds(Scenario { renewals: 2, faults: 1, ..scenario });
    }
}

#[test]
fn a_provider_of_unknown_habits_is_taken_for_a_strict_one() {
    holds(scenario(RefreshTokenRotation::Observed, Habit::ReuseDetection));
    holds(scenario(RefreshTokenRotation::Observed, Habit::Reusable));
}

#[test]
fn within_a_reuse_interval_a_token_is_presented_again_and_the_first_result_counts() {
    holds(interval());
    holds(Scenario { rotation: Rotation::Reusable, ..interval() });
}

#[test]
fn where_reuse_is_merely_refused_a_refusal_ends_no_grant_as_dead() {
    holds(scenario(RefreshTokenRotation::SingleUse, Habit::SingleUse));
}

#[test]
fn reusable_tokens_are_presented_until_the_provider_answers() {
    assert!(!holds(scenario(RefreshTokenRotation::Reusable, Habit::Reusable)).ended_unknown);
    let non_rotating = scenario(RefreshTokenRotation::NonRotating, Habit::Reusable);
    assert!(!holds(Scenario { faults: 1, ..non_rotating }).ended_unknown);
}

#[test]
fn each_broken_step_is_found() {
    const REUSED: &str = "a used token was presented";
    const LOST: &str = "a token that was received is lost";
    finds(strict(), Mutation::AlwaysReuse, REUSED);
    finds(strict(), Mutation::IntentAfterPresentation, REUSED);
    finds(strict(), Mutation::BeginsWithoutFence, REUSED);
    finds(strict(), Mutation::WritesOnce, LOST);
    finds(strict(), Mutation::ForgetsAfterLogout, "lives on after the logout");
    finds(introspecting(), Mutation::SavesOnlyWhileIntentIsHeld, LOST);
    finds(Scenario { renewals: 2, ..interval() }, Mutation::SavesWithoutGeneration, LOST);
    finds(introspecting(), Mutation::IntentNeverAges, REUSED);
    finds(interval(), Mutation::IntentNeverAges, REUSED);
    finds(interval(), Mutation::ReusesToTheEnd, REUSED);
    finds(introspecting(), Mutation::IntrospectsAtOnce, REUSED);
    finds(introspecting_after_an_interval(), Mutation::IntrospectsAtOnce, REUSED);
    finds(introspecting(), Mutation::ExpiresUnsettledLeases, REUSED);
    finds(introspecting(), Mutation::NoLease, REUSED);
    finds(
        scenario(RefreshTokenRotation::SingleUse, Habit::SingleUse),
        Mutation::EveryRefusalIsConclusive,
        "is alive at the provider",
    );
    finds(scenario(RefreshTokenRotation::Reusable, Habit::Reusable), Mutation::NeverRetriesAfterLease, "no resting state");
}

#[test]
fn a_tick_is_short_enough_for_the_constants_of_the_code() {
    assert!(TICK <= super::recovery::MAX_INTENT_AGE && TICK * 2 <= super::recovery::SETTLED);
}
