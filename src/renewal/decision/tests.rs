use super::*;
use crate::{
    grant::{Ended, Fingerprint, GrantId},
    identity::{ClaimReader, Identity, MAX_CLAIM_SIZE},
    renewal::Reading,
};

const HOUR: Duration = Duration::from_secs(3600);
const NOW: Timestamp = Timestamp(1_700_000_000_000);

const SERVE: Decision = Decision::Serve { stale: false, refresh: false };
const SERVE_AND_REFRESH: Decision = Decision::Serve { stale: false, refresh: true };
const SERVE_STALE: Decision = Decision::Serve { stale: true, refresh: false };
const SERVE_STALE_AND_REFRESH: Decision = Decision::Serve { stale: true, refresh: true };

fn settings() -> Settings {
    Settings { renew_before: Duration::from_secs(60), outage_grace: HOUR, max_concurrent: 1, claims: Vec::new(), reading: None }
}

/// An hour-long grant whose access token expires `left` seconds from now.
pub(in crate::renewal) fn grant(left: i64) -> Grant {
    Grant { expires_at: Timestamp(NOW.0 + left * 1000), lifetime: HOUR, renewed_at: NOW, ..Grant::sample() }
}

fn decided(grant: &Grant, in_trouble: bool) -> Decision {
    decide(grant, &settings(), NOW, in_trouble)
}

#[test]
fn a_grant_is_refreshed_in_the_background_first_and_then_before_it_is_served() {
    let cases = [
        (3000, SERVE),
        (61, SERVE),
        (59, SERVE_AND_REFRESH),
        (6, SERVE_AND_REFRESH),
        (5, Decision::RefreshFirst),
        (0, Decision::RefreshFirst),
        (-90_000, Decision::RefreshFirst),
    ];
    for (left, expected) in cases {
        assert_eq!(decided(&grant(left), false), expected, "{left} s left");
    }
}

#[test]
fn a_token_that_is_to_last_is_refreshed_before_it_is_used_but_not_each_time() {
    let seconds = Duration::from_secs;
    let retried = |left, at| Grant { retry_at: Some(Timestamp(NOW.0 + at)), ..grant(left) };
    let cases = [
        ("long enough", grant(3000), seconds(600), false, SERVE),
        ("too short", grant(500), seconds(600), false, Decision::RefreshFirst),
        ("no longer than it must be anyway", grant(59), Duration::ZERO, false, SERVE_AND_REFRESH),
        ("more than half of any token's life", grant(1801), seconds(86_400), false, SERVE),
        ("while refreshes fail", grant(500), seconds(600), true, SERVE_AND_REFRESH),
        ("after one that failed", retried(500, -1), seconds(600), false, SERVE_AND_REFRESH),
        ("in the back-off", retried(500, 1000), seconds(600), false, SERVE),
        ("without a refresh token", Grant { has_refresh_token: false, ..grant(500) }, seconds(600), false, SERVE),
        ("expired", grant(-1), seconds(600), false, Decision::RefreshFirst),
        ("unverified", Grant { unverified_since: Some(NOW), ..grant(500) }, seconds(600), false, SERVE_STALE_AND_REFRESH),
    ];
    for (what, grant, lasting, in_trouble, expected) in cases {
        assert_eq!(decide_lasting(&grant, &settings(), NOW, in_trouble, lasting), expected, "{what}");
    }
}

#[test]
fn without_the_store_a_grant_is_good_for_what_it_is_good_for_without_its_provider() {
    let ended = |reason| Some(Ended { reason, code: None });
    let cases = [
        ("fresh", grant(3000), RemainingUse::Live),
        ("expired", grant(-60), RemainingUse::Grace),
        ("expired long ago", grant(-3600), RemainingUse::None),
        ("fresh, and cannot be refreshed", Grant { has_refresh_token: false, ..grant(3000) }, RemainingUse::Live),
        ("expired, and cannot be refreshed", Grant { has_refresh_token: false, ..grant(-1) }, RemainingUse::None),
        ("dead", Grant { ended: ended(EndReason::Dead), ..grant(3000) }, RemainingUse::None),
        ("of unknown outcome", Grant { ended: ended(EndReason::OutcomeUnknown), ..grant(3000) }, RemainingUse::Live),
        ("unverified", Grant { unverified_since: Some(NOW), ..grant(3000) }, RemainingUse::Grace),
    ];
    for (what, grant, expected) in cases {
        assert_eq!(remaining_use_without_refresh(&grant, &settings(), NOW), expected, "{what}");
    }
}

#[test]
fn the_windows_of_a_short_lived_token_are_shares_of_its_life() {
    let short = |left| Grant { lifetime: Duration::from_secs(30), ..grant(left) };
    assert_eq!(decided(&short(11), false), SERVE);
    assert_eq!(decided(&short(10), false), SERVE_AND_REFRESH);
    assert_eq!(decided(&short(3), false), Decision::RefreshFirst);
}

#[test]
fn grants_that_expire_together_are_not_all_renewed_at_once() {
    let last = Grant { id: GrantId([255; 16]), ..grant(50) };
    assert_eq!(decided(&last, false), SERVE);
    assert_eq!(decided(&grant(50), false), SERVE_AND_REFRESH);
    assert_eq!(decided(&Grant { expires_at: grant(44).expires_at, ..last }, false), SERVE_AND_REFRESH);
}

#[test]
fn during_trouble_nobody_waits_who_can_be_served() {
    assert_eq!(decided(&grant(3), true), SERVE_AND_REFRESH);
    assert_eq!(decided(&grant(-1), true), SERVE_STALE_AND_REFRESH);
    assert_eq!(decided(&grant(-3599), true), SERVE_STALE_AND_REFRESH);
    assert_eq!(decided(&grant(-3600), true), Decision::RefreshFirst, "the grace is over");
    let soon = Some(NOW.plus(Duration::from_secs(30)));
    let backing_off = Grant { retry_at: soon, ..grant(3) };
    assert_eq!(decided(&Grant { retry_at: soon, ..grant(-1) }, false), SERVE_STALE);
    let longest = Some(NOW.plus(Duration::from_secs(601)));
    assert_eq!(decided(&Grant { retry_at: longest, ..grant(-1) }, false), SERVE_STALE, "ten minutes, by a clock that is ahead");
    assert_eq!(
        decided(&Grant { retry_at: Some(NOW.plus(24 * HOUR)), ..grant(-1) }, false),
        Decision::RefreshFirst,
        "a clock went wrong"
    );
    assert_eq!(decided(&backing_off, false), SERVE);
    let backed_off = Grant { retry_at: Some(NOW), ..grant(-1) };
    assert_eq!(decided(&backed_off, false), SERVE_STALE_AND_REFRESH);
}

#[test]
fn a_life_longer_than_was_given_is_the_work_of_a_wrong_clock() {
    assert_eq!(decided(&grant(3600), false), SERVE);
    assert_eq!(decided(&grant(3720), false), SERVE, "the clocks of replicas differ a little");
    assert_eq!(decided(&grant(3721), false), SERVE_AND_REFRESH);
}

#[test]
fn a_grant_that_another_replica_has_just_refreshed_is_not_refreshed_for_the_clock_that_dated_it() {
    let refreshed = |left, generation, ago| {
        is_misdated_by_another(&Grant { generation, presented_ago: Some(Duration::from_secs(ago)), ..grant(left) }, NOW)
    };
    assert!(refreshed(7200, 1, 59));
    assert!(!refreshed(7200, 1, 60), "once a minute the right date is tried for");
    assert!(!refreshed(7200, 0, 0), "a login is dated by one clock");
    assert!(!refreshed(3600, 1, 0), "nothing is wrong with its date");
}

#[test]
fn without_a_refresh_token_a_grant_lives_as_long_as_its_access_token() {
    let without = |left| Grant { has_refresh_token: false, ..grant(left) };
    assert_eq!(decided(&without(1), false), SERVE);
    assert_eq!(decided(&without(0), false), Decision::Expired);
}

#[test]
fn an_ended_grant_is_over_except_that_an_unknown_outcome_lets_the_access_token_live_out() {
    let ended = |reason, left| Grant { ended: Some(Ended { reason, code: None }), ..grant(left) };
    for reason in [EndReason::Dead, EndReason::IdentityRefused, EndReason::Expired] {
        assert_eq!(decided(&ended(reason, 3000), false), Decision::SignInAgain(reason));
    }
    assert_eq!(decided(&ended(EndReason::OutcomeUnknown, 1), false), SERVE);
    let unknown = |left, in_trouble| decided(&ended(EndReason::OutcomeUnknown, left), in_trouble);
    for (left, in_trouble) in [(0, false), (-1, true), (-3600, true)] {
        assert_eq!(unknown(left, in_trouble), Decision::SignInAgain(EndReason::OutcomeUnknown), "{left}");
    }
}

#[test]
fn an_unverified_grant_is_served_stale_within_the_grace_whatever_its_access_token_s_life() {
    let now = |seconds: i64| Timestamp(NOW.0 - seconds * 1000);
    let cases = [
        // Seconds since it could not be verified, left of the access token, paused, in trouble.
        ((10, 3000, true, false), SERVE_STALE),
        ((70, 3000, false, false), SERVE_STALE_AND_REFRESH),
        ((70, -1, false, false), Decision::RefreshFirst),
        ((70, -1, false, true), SERVE_STALE_AND_REFRESH),
        ((70, -1, true, true), SERVE_STALE),
        ((3601, 3000, false, false), Decision::RefreshFirst),
        ((3601, 3000, true, true), Decision::RefreshFirst),
    ];
    for (case, expected) in cases {
        let (since, left, paused, in_trouble) = case;
        let retry_at = Some(if paused { Timestamp(NOW.0 + 5000) } else { now(1) });
        let grant = Grant { unverified_since: Some(now(since)), retry_at, ..grant(left) };
        assert_eq!(decided(&grant, in_trouble), expected, "{case:?}");
    }
    let lone = Grant { unverified_since: Some(now(1)), has_refresh_token: false, ..grant(-1) };
    assert_eq!(decided(&lone, false), Decision::Expired, "nothing will verify it");
    let over = Grant { unverified_since: Some(now(3601)), ..grant(3000) };
    assert_eq!(remaining_use(&over, &settings(), NOW), RemainingUse::None, "never a logout, and never a token");
}

#[test]
fn the_next_refresh_is_told_by_the_windows_that_requests_are_decided_by() {
    let next = |grant: &Grant| next_refresh(grant, &settings(), NOW);
    let in_seconds = |seconds: i64| Timestamp(NOW.0 + seconds * 1000);
    let ended = Grant { ended: Some(Ended { reason: EndReason::Dead, code: None }), ..grant(3000) };
    let pausing = Grant { retry_at: Some(in_seconds(5)), ..grant(10) };
    let long_ago = Grant { retry_at: Some(in_seconds(-5)), ..grant(10) };
    let unverified = Grant { unverified_since: Some(NOW), ..grant(3000) };
    let without = Grant { has_refresh_token: false, ..grant(3000) };
    for (grant, expected) in [
        (&grant(3000), NextRefresh::From(in_seconds(2940))),
        (&grant(60), NextRefresh::AtNextUse),
        (&grant(-5), NextRefresh::AtNextUse),
        (&unverified, NextRefresh::AtNextUse),
        (&pausing, NextRefresh::AfterPause(in_seconds(5))),
        (&long_ago, NextRefresh::AtNextUse),
        (&without, NextRefresh::Never),
        (&ended, NextRefresh::Never),
    ] {
        assert_eq!(next(grant), expected);
    }
}

#[test]
fn an_identity_that_was_read_otherwise_is_refreshed_first_and_not_by_turns() {
    let (now_read, before) = (ClaimReader::of("now"), ClaimReader::of("before"));
    let since = |ago: u64| NOW.minus(Duration::from_secs(ago));
    let reading = Reading { reader: now_read.clone(), fingerprint: Fingerprint::of("now"), since: since(3600) };
    let settings = Settings { claims: vec!["department".into()], reading: Some(reading), ..settings() };
    let with = |reader: Option<&ClaimReader>, tried: Option<&ClaimReader>| {
        let mut identity = Identity { reader: reader.cloned(), tried_reader: tried.cloned(), ..Identity::default() };
        identity.claims.record("department", None);
        Grant { identity, fingerprint: Fingerprint::of("now"), ..grant(3000) }
    };
    let unasked = Grant { identity: Identity { reader: Some(now_read.clone()), ..Identity::default() }, ..grant(3000) };
    let refreshed = |ago: u64, grant: Grant| Grant { generation: 1, renewed_at: since(ago), ..grant };
    let partly_unread = Identity { is_partly_unread: true, ..unasked.identity.clone() };
    let partly_unread = Grant { identity: partly_unread, ..unasked.clone() };
    let mut crowded = unasked.clone();
    for path in ["a", "b"] {
        crowded.identity.claims.record(path, Some("x".repeat(MAX_CLAIM_SIZE - 2).into()));
    }
    let other = || with(Some(&before), None);
    let cases = [
        ("as it is read now", with(Some(&now_read), None), SERVE),
        ("otherwise", other(), Decision::RefreshFirst),
        ("otherwise, by a refresh a moment ago", refreshed(59, other()), SERVE),
        ("otherwise, by a refresh a minute ago", refreshed(60, other()), Decision::RefreshFirst),
        ("otherwise, and a refresh did not bring all claims", with(Some(&before), Some(&now_read)), SERVE),
        ("otherwise, and a refresh elsewhere did not", with(Some(&before), Some(&before)), Decision::RefreshFirst),
        ("by an older release with the same settings", with(None, None), SERVE),
        (
            "by an older release with others",
            Grant { fingerprint: Fingerprint::of("before"), ..with(None, None) },
            Decision::RefreshFirst,
        ),
        ("without a refresh token", Grant { has_refresh_token: false, ..other() }, SERVE),
        ("in the back-off", Grant { retry_at: Some(NOW.plus(Duration::from_secs(9))), ..other() }, SERVE),
        ("never asked for a claim", unasked.clone(), Decision::RefreshFirst),
        ("never asked for a claim by a refresh a moment ago", refreshed(0, unasked), Decision::RefreshFirst),
        ("never asked for a claim, and there is no room for it", refreshed(0, crowded.clone()), SERVE),
        ("the same a minute ago", refreshed(60, crowded), Decision::RefreshFirst),
        ("never told of a claim, because user info failed a moment ago", refreshed(0, partly_unread.clone()), SERVE),
        ("the same a minute ago", refreshed(60, partly_unread.clone()), Decision::RefreshFirst),
    ];
    for (what, grant, expected) in cases {
        assert_eq!(decide(&grant, &settings, NOW, false), expected, "{what}");
    }
    assert_eq!(decide(&other(), &settings, NOW, true), SERVE_AND_REFRESH, "nobody waits while refreshes fail");
    let just_begun = Reading { since: since(10), ..settings.reading.clone().unwrap() };
    let just_begun = Settings { reading: Some(just_begun), ..settings.clone() };
    for (ago, grant, expected) in [
        (30, other(), Decision::RefreshFirst),
        (30, partly_unread.clone(), Decision::RefreshFirst),
        (9, other(), SERVE),
        (9, partly_unread, SERVE),
    ] {
        assert_eq!(
            decide(&refreshed(ago, grant), &just_begun, NOW, false),
            expected,
            "{ago} s ago, by whom was before this process"
        );
    }
    assert_eq!(next_refresh(&other(), &settings, NOW), NextRefresh::AtNextUse);
}

#[test]
fn an_identity_that_refreshes_do_not_bring_is_good_as_it_was_read_by_other_settings_for_the_grace_alone() {
    let (now_read, before) = (ClaimReader::of("now"), ClaimReader::of("before"));
    let reading = Reading { reader: now_read.clone(), fingerprint: Fingerprint::of("now"), since: NOW };
    let settings = Settings { reading: Some(reading), ..settings() };
    let tried = |reader: Option<&ClaimReader>, by: &ClaimReader, ago: u64| {
        let (tried_reader, tried_since) = (Some(by.clone()), Some(NOW.minus(Duration::from_secs(ago))));
        let identity = Identity { reader: reader.cloned(), tried_reader, tried_since, ..Identity::default() };
        Grant { identity, fingerprint: Fingerprint::of("now"), ..grant(3000) }
    };
    for (what, grant, in_trouble, expected) in [
        ("within the grace", tried(Some(&before), &now_read, 3599), false, SERVE),
        ("after it", tried(Some(&before), &now_read, 3600), false, Decision::ReadOtherwise),
        ("after it, while the provider is away", tried(Some(&before), &now_read, 3600), true, SERVE),
        ("tried by other settings", tried(Some(&now_read), &before, 3600), false, SERVE),
        ("read by nobody knows which settings", tried(None, &now_read, 3600), false, SERVE),
    ] {
        assert_eq!(decide(&grant, &settings, NOW, in_trouble), expected, "{what}");
    }
}
