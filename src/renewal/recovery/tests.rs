use super::*;
use crate::{
    grant::{EndReason, Ended, Intent},
    renewal::decision::tests::grant,
};

#[test]
fn an_attempt_presents_a_token_that_nobody_else_presents() {
    let attempt = AttemptId([7; 16]);
    let with = |lease_expired| Grant { intent: Some(Intent { attempt, lease_expired }), ..grant(0) };
    assert_eq!(plan(&grant(0), 0), Plan::Present);
    assert_eq!(plan(&with(false), 0), Plan::WaitFor(attempt));
    assert_eq!(plan(&with(true), 0), Plan::RetryAfter(attempt));
    assert_eq!(plan(&Grant { generation: 1, ..with(false) }, 0), Plan::Renewed);
    let ended = Some(Ended { reason: EndReason::Dead, code: None });
    assert_eq!(plan(&Grant { ended, generation: 1, ..with(true) }, 0), Plan::Ended);
}

#[test]
fn a_token_of_unknown_fate_is_presented_again_only_where_that_is_no_theft_and_else_asked_about() {
    use Rotation::{Reusable, Rotating, Unknown};
    const GRACE: RefreshTokenRotation = RefreshTokenRotation::ReuseInterval(Duration::from_secs(30));
    const AGAIN: Recovery = Recovery::Reuse(None);
    // Three quarters of it; the token is then presented within a third of the rest, and there must be a connection within another.
    const WITHIN: Recovery =
        Recovery::Reuse(Some(ReuseWindow { within: Duration::from_millis(22_500), latest: Duration::from_millis(2500) }));
    const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
    let recovered = |class, rotation, ago, introspects| {
        decide(
            class,
            &Grant { rotation, presented: 1, presented_ago: Some(Duration::from_secs(ago)), ..grant(0) },
            introspects,
            TOKEN_TIMEOUT,
        )
    };
    let cases = [
        (RefreshTokenRotation::Observed, Reusable, 900, AGAIN),
        (RefreshTokenRotation::Observed, Unknown, 900, Recovery::GiveUp),
        (RefreshTokenRotation::Observed, Rotating, 0, Recovery::GiveUp),
        (RefreshTokenRotation::Reusable, Rotating, 900, AGAIN),
        (RefreshTokenRotation::SingleUse, Rotating, 900, AGAIN),
        (RefreshTokenRotation::NonRotating, Unknown, 900, AGAIN),
        (RefreshTokenRotation::ReuseDetection, Unknown, 0, Recovery::GiveUp),
        (RefreshTokenRotation::ReuseDetection, Reusable, 0, Recovery::GiveUp),
        (GRACE, Rotating, 22, WITHIN),
        (GRACE, Unknown, 23, Recovery::GiveUp),
        (GRACE, Reusable, 22, WITHIN),
        (GRACE, Reusable, 900, Recovery::GiveUp),
        (RefreshTokenRotation::ReuseInterval(Duration::from_secs(1)), Unknown, 0, Recovery::GiveUp),
    ];
    for (class, rotation, ago, expected) in cases {
        assert_eq!(recovered(class, rotation, ago, false), expected, "{class:?} {rotation:?} {ago}");
    }
    assert_eq!(
        recovered(RefreshTokenRotation::Reusable, Rotating, 900, true),
        AGAIN,
        "a token that may be reused needs no question"
    );
    assert_eq!(recovered(RefreshTokenRotation::ReuseDetection, Unknown, 900, true), Recovery::Introspect);
    // Whatever was presented in the interval is under way no longer than a token call.
    for (ago, expected) in [(30, Recovery::Settle(Duration::from_secs(38))), (67, Recovery::Settle(Duration::from_secs(1)))] {
        assert_eq!(recovered(GRACE, Unknown, ago, true), expected, "{ago}");
    }
    assert_eq!(recovered(GRACE, Unknown, 68, true), Recovery::Introspect);
}

#[test]
fn a_call_that_has_ended_is_settled_only_where_the_token_is_introspected_next() {
    const INTERVAL: RefreshTokenRotation = RefreshTokenRotation::ReuseInterval(Duration::from_secs(30));
    for (class, ago, expected) in [
        (RefreshTokenRotation::ReuseDetection, 0, SETTLED),
        (RefreshTokenRotation::Observed, 0, SETTLED),
        (RefreshTokenRotation::SingleUse, 900, Duration::ZERO),
        (INTERVAL, 22, Duration::ZERO),
        (INTERVAL, 23, SETTLED),
        (RefreshTokenRotation::ReuseInterval(Duration::ZERO), 0, SETTLED),
    ] {
        assert_eq!(settling(class, true, Duration::from_secs(ago)), expected, "{class:?} {ago}");
        assert_eq!(settling(class, false, Duration::from_secs(ago)), Duration::ZERO, "{class:?} {ago}");
    }
}

#[test]
fn a_dead_replicas_lease_runs_until_its_token_call_is_settled_where_the_token_is_then_asked_about() {
    let left = expirable_lease(Recovery::Introspect).unwrap();
    assert_eq!(expirable_lease(Recovery::Settle(SETTLED)), Some(left), "the token is introspected later");
    for token_timeout in [1, 30, 600].map(Duration::from_secs) {
        let lease = token_timeout + SAVING;
        assert!(lease - left >= MAX_INTENT_AGE + token_timeout + SETTLED, "the call may have begun and ended as late as it can");
    }
    // These never look as if the token were stolen.
    assert_eq!((expirable_lease(Recovery::GiveUp), expirable_lease(Recovery::Reuse(None))), (None, None));
}

#[test]
fn what_any_renewal_has_shown_decides_where_a_setting_of_the_providers_does() {
    let known = |rotates| known_rotation(RefreshTokenRotation::Observed, rotates, Rotation::Unknown);
    assert_eq!(known(None), RefreshTokenRotation::Observed);
    assert_eq!(known(Some(true)), RefreshTokenRotation::ReuseDetection);
    assert_eq!(known(Some(false)), RefreshTokenRotation::Reusable);
    let own = |rotates| known_rotation(RefreshTokenRotation::Observed, rotates, Rotation::Rotating);
    assert_eq!(
        (own(None), own(Some(false))),
        (RefreshTokenRotation::ReuseDetection, RefreshTokenRotation::ReuseDetection),
        "its own renewal has shown it"
    );
    assert_eq!(known_rotation(RefreshTokenRotation::SingleUse, Some(true), Rotation::Rotating), RefreshTokenRotation::SingleUse);
}

#[test]
fn the_refusal_of_a_repeated_presentation_is_no_proof_of_death_where_tokens_are_replaced() {
    for class in [
        RefreshTokenRotation::ReuseDetection,
        RefreshTokenRotation::SingleUse,
        RefreshTokenRotation::Observed,
        RefreshTokenRotation::ReuseInterval(Duration::ZERO),
    ] {
        assert!(refusal_is_conclusive(class, false) && !refusal_is_conclusive(class, true), "{class:?}");
    }
    assert!(
        refusal_is_conclusive(RefreshTokenRotation::Reusable, true)
            && refusal_is_conclusive(RefreshTokenRotation::NonRotating, true)
    );
}

#[test]
fn a_pause_ends_within_the_window_in_which_a_token_may_be_presented_again() {
    let (pause, grace) = (Duration::from_secs(20), RefreshTokenRotation::ReuseInterval(Duration::from_secs(10)));
    assert_eq!(bounded_by_window(pause, window_left(grace, Duration::from_millis(1500))), Duration::from_secs(3));
    assert_eq!(bounded_by_window(pause, window_left(grace, Duration::from_secs(12))), Duration::ZERO);
    assert_eq!(bounded_by_window(pause, window_left(RefreshTokenRotation::SingleUse, Duration::ZERO)), pause);
}
