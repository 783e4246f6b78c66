use super::*;
use crate::{
    grant::{Ended, Fingerprint, GrantId},
    identity::{Identity, IdentityHeaders},
    secret::Secret,
};

const HOUR: Duration = Duration::from_secs(3600);
const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn settings() -> Settings {
    Settings { renew_before: Duration::from_secs(60), outage_grace: HOUR, max_concurrent: 1 }
}

/// An hour-long grant whose access token expires `left` seconds from now.
fn grant(left: i64) -> Grant {
    Grant {
        id: GrantId([0; 16]),
        issuer: String::new(),
        client_id: String::new(),
        identity: Identity::default(),
        headers: IdentityHeaders::default(),
        access_token: Secret::new(""),
        expires_at: Timestamp(NOW.0 + left * 1000),
        lifetime: HOUR,
        has_refresh_token: true,
        scopes: String::new(),
        fingerprint: Fingerprint::of(""),
        generation: 0,
        created_at: Timestamp(0),
        presented_ago: None,
        refresh_until: None,
        renewed_at: NOW,
        rotation: Rotation::Unknown,
        presented: 0,
        intent: None,
        retry_at: None,
        refused: None,
        unverified_since: None,
        missing_key: None,
        ended: None,
    }
}

fn decided(grant: &Grant, in_trouble: bool) -> Decision {
    decide(grant, &settings(), NOW, in_trouble)
}

#[test]
fn a_grant_is_renewed_behind_in_the_soft_window_and_first_in_the_hard_one() {
    let cases = [
        (3000, Decision::Serve),
        (61, Decision::Serve),
        (59, Decision::ServeAndRenew),
        (6, Decision::ServeAndRenew),
        (5, Decision::RenewFirst),
        (0, Decision::RenewFirst),
        (-90_000, Decision::RenewFirst),
    ];
    for (left, expected) in cases {
        assert_eq!(decided(&grant(left), false), expected, "{left} s left");
    }
}

#[test]
fn the_windows_of_a_short_lived_token_are_shares_of_its_life() {
    let short = |left| Grant { lifetime: Duration::from_secs(30), ..grant(left) };
    assert_eq!(decided(&short(11), false), Decision::Serve);
    assert_eq!(decided(&short(10), false), Decision::ServeAndRenew);
    assert_eq!(decided(&short(3), false), Decision::RenewFirst);
}

#[test]
fn grants_that_expire_together_are_not_all_renewed_at_once() {
    let last = Grant { id: GrantId([255; 16]), ..grant(50) };
    assert_eq!(decided(&last, false), Decision::Serve);
    assert_eq!(decided(&grant(50), false), Decision::ServeAndRenew);
    assert_eq!(decided(&Grant { expires_at: grant(44).expires_at, ..last }, false), Decision::ServeAndRenew);
}

#[test]
fn during_trouble_nobody_waits_who_can_be_served() {
    assert_eq!(decided(&grant(3), true), Decision::ServeAndRenew);
    assert_eq!(decided(&grant(-1), true), Decision::ServeStaleAndRenew);
    assert_eq!(decided(&grant(-3599), true), Decision::ServeStaleAndRenew);
    assert_eq!(decided(&grant(-3600), true), Decision::RenewFirst, "the grace is over");
    let soon = Some(NOW.plus(Duration::from_secs(30)));
    let backing_off = Grant { retry_at: soon, ..grant(3) };
    assert_eq!(decided(&Grant { retry_at: soon, ..grant(-1) }, false), Decision::ServeStale);
    assert_eq!(
        decided(&Grant { retry_at: Some(NOW.plus(24 * HOUR)), ..grant(-1) }, false),
        Decision::RenewFirst,
        "a clock went wrong"
    );
    assert_eq!(decided(&backing_off, false), Decision::Serve);
    let backed_off = Grant { retry_at: Some(NOW), ..grant(-1) };
    assert_eq!(decided(&backed_off, false), Decision::ServeStaleAndRenew);
}

#[test]
fn a_life_longer_than_was_given_is_the_work_of_a_wrong_clock() {
    assert_eq!(decided(&grant(3600), false), Decision::Serve);
    assert_eq!(decided(&grant(3601), false), Decision::ServeAndRenew);
}

#[test]
fn without_a_refresh_token_a_grant_lives_as_long_as_its_access_token() {
    let without = |left| Grant { has_refresh_token: false, ..grant(left) };
    assert_eq!(decided(&without(1), false), Decision::Serve);
    assert_eq!(decided(&without(0), false), Decision::Expired);
}

#[test]
fn an_ended_grant_is_over_except_that_an_unknown_outcome_lets_the_access_token_live_out() {
    let ended = |reason, left| Grant { ended: Some(Ended { reason, code: None }), ..grant(left) };
    for reason in [EndReason::Dead, EndReason::IdentityRefused, EndReason::Expired] {
        assert_eq!(decided(&ended(reason, 3000), false), Decision::SignInAgain(reason));
    }
    assert_eq!(decided(&ended(EndReason::OutcomeUnknown, 1), false), Decision::Serve);
    let unknown = |left, in_trouble| decided(&ended(EndReason::OutcomeUnknown, left), in_trouble);
    assert_eq!(unknown(0, false), Decision::SignInAgain(EndReason::OutcomeUnknown));
    assert_eq!(unknown(-1, true), Decision::ServeStale, "nobody is sent to a provider that is away");
    assert_eq!(unknown(-3600, true), Decision::SignInAgain(EndReason::OutcomeUnknown));
}

#[test]
fn a_token_of_unknown_fate_is_presented_again_only_where_that_is_no_theft_and_else_asked_about() {
    use Rotation::{Reusable, Rotating, Unknown};
    const GRACE: RotationClass = RotationClass::Grace(Duration::from_secs(30));
    const AGAIN: Recovery = Recovery::Reuse(None);
    let recovered = |class, rotation, ago, introspects| {
        recover(class, &Grant { rotation, presented: 1, presented_ago: Some(Duration::from_secs(ago)), ..grant(0) }, introspects)
    };
    let cases = [
        (RotationClass::Learnt, Reusable, 900, AGAIN),
        (RotationClass::Learnt, Unknown, 900, Recovery::GiveUp),
        (RotationClass::Learnt, Rotating, 0, Recovery::GiveUp),
        (RotationClass::Reusable, Rotating, 900, AGAIN),
        (RotationClass::Unpunished, Rotating, 900, AGAIN),
        (RotationClass::Single, Unknown, 900, AGAIN),
        (RotationClass::Strict, Unknown, 0, Recovery::GiveUp),
        (RotationClass::Strict, Reusable, 0, Recovery::GiveUp),
        (GRACE, Rotating, 29, Recovery::Reuse(Some(Duration::from_secs(30)))),
        (GRACE, Unknown, 30, Recovery::GiveUp),
        (GRACE, Reusable, 900, AGAIN),
    ];
    for (class, rotation, ago, expected) in cases {
        assert_eq!(recovered(class, rotation, ago, false), expected, "{class:?} {rotation:?} {ago}");
    }
    assert_eq!(recovered(RotationClass::Reusable, Rotating, 900, true), AGAIN, "a token that may be reused needs no question");
    assert_eq!(recovered(RotationClass::Strict, Unknown, 900, true), Recovery::Introspect);
    assert_eq!(recovered(RotationClass::Strict, Unknown, 1, true), Recovery::Settle(SETTLED - Duration::from_secs(1)));
}

#[test]
fn what_any_renewal_has_shown_decides_where_a_setting_of_the_providers_does() {
    let known = |rotates| known_rotation(RotationClass::Learnt, rotates, Rotation::Unknown);
    assert_eq!(known(None), RotationClass::Learnt);
    assert_eq!(known(Some(true)), RotationClass::Strict);
    assert_eq!(known(Some(false)), RotationClass::Reusable);
    let own = |rotates| known_rotation(RotationClass::Learnt, rotates, Rotation::Rotating);
    assert_eq!((own(None), own(Some(false))), (RotationClass::Strict, RotationClass::Strict), "its own renewal has shown it");
    assert_eq!(known_rotation(RotationClass::Unpunished, Some(true), Rotation::Rotating), RotationClass::Unpunished);
}

#[test]
fn the_refusal_of_a_repeated_presentation_is_no_proof_of_death_where_tokens_are_replaced() {
    for class in [RotationClass::Strict, RotationClass::Unpunished, RotationClass::Learnt, RotationClass::Grace(Duration::ZERO)] {
        assert!(refusal_is_conclusive(class, false) && !refusal_is_conclusive(class, true), "{class:?}");
    }
    assert!(refusal_is_conclusive(RotationClass::Reusable, true) && refusal_is_conclusive(RotationClass::Single, true));
}

#[test]
fn a_pause_ends_within_the_window_in_which_a_token_may_be_presented_again() {
    let (pause, grace) = (Duration::from_secs(20), RotationClass::Grace(Duration::from_secs(10)));
    assert_eq!(bounded_by_window(pause, window_left(grace, Duration::from_secs(2))), Duration::from_secs(4));
    assert_eq!(bounded_by_window(pause, window_left(grace, Duration::from_secs(12))), Duration::ZERO);
    assert_eq!(bounded_by_window(pause, window_left(RotationClass::Unpunished, Duration::ZERO)), pause);
}

#[test]
fn an_unverified_grant_is_served_stale_within_the_grace_whatever_its_access_token_s_life() {
    let now = |seconds: i64| Timestamp(NOW.0 - seconds * 1000);
    let cases = [
        // Seconds since it could not be verified, left of the access token, paused, in trouble.
        ((10, 3000, true, false), Decision::ServeStale),
        ((70, 3000, false, false), Decision::ServeStaleAndRenew),
        ((70, -1, false, false), Decision::RenewFirst),
        ((70, -1, false, true), Decision::ServeStaleAndRenew),
        ((70, -1, true, true), Decision::ServeStale),
        ((3601, 3000, false, false), Decision::RenewFirst),
        ((3601, 3000, true, true), Decision::RenewFirst),
    ];
    for (case, expected) in cases {
        let (since, left, paused, in_trouble) = case;
        let retry_at = Some(if paused { Timestamp(NOW.0 + 5000) } else { now(1) });
        let grant = Grant { unverified_since: Some(now(since)), retry_at, ..grant(left) };
        assert_eq!(decided(&grant, in_trouble), expected, "{case:?}");
    }
    let over = Grant { unverified_since: Some(now(3601)), ..grant(3000) };
    assert_eq!(without_renewal(&over, &settings(), NOW), Fallback::Refuse, "never a logout, and never a token");
}
