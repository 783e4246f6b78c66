use super::*;

const ID: GrantId = GrantId([1; 16]);
const ATTEMPT: AttemptId = AttemptId([2; 16]);
const LEASE: Duration = Duration::from_secs(60);

fn renewal(generation: i64, refresh: Vec<u8>) -> CommittedRenewal {
    CommittedRenewal {
        generation,
        attempt: ATTEMPT,
        access: vec![0; 1000],
        refresh,
        id: None,
        expires_at: Timestamp(0),
        lifetime: LEASE,
        refresh_life: None,
        scopes: None,
        rotation: Rotation::Rotating,
        at: Timestamp(0),
        unverified_since: None,
        retry_at: None,
        identity: None,
    }
}

fn row(generation: i64) -> GrantRow {
    GrantRow {
        id: ID,
        issuer: String::new(),
        client_id: String::new(),
        identity: String::new(),
        scopes: String::new(),
        fingerprint: String::new(),
        access_token: Vec::new(),
        refresh_token_head: Some(vec![1; 5]),
        expires_at: 0,
        lifetime: 0,
        created_at: 0,
        renewed_at: 0,
        generation,
        rotation: String::new(),
        presented: 0,
        presented_ago: None,
        refresh_until: None,
        attempt: None,
        lapsed: false,
        retry_at: None,
        refused_code: None,
        unverified_since: None,
        provider_session: None,
        ended_reason: None,
        ended_code: None,
    }
}

fn ended(reason: &str) -> GrantRow {
    GrantRow { ended_reason: Some(reason.to_owned()), ..row(3) }
}

#[test]
fn a_row_has_lost_what_this_replica_saw_committed_of_it() {
    let committed = Committed::default();
    assert!(committed.lost(&row(0)).is_none(), "nothing is known");
    committed.begun(ID, &NewIntent::first(ATTEMPT, 3, LEASE), b"presented");
    assert!(matches!(committed.lost(&row(3)), Some(Lost::Intent(intent)) if intent.lease_left() > LEASE / 2));
    assert!(committed.lost(&GrantRow { attempt: Some(vec![9; 16]), ..row(3) }).is_none(), "somebody holds an intent");
    assert!(committed.lost(&GrantRow { presented: 1, ..row(3) }).is_none());
    assert!(committed.lost(&GrantRow { refresh_token_head: None, ..row(3) }).is_none(), "nobody can present it");
    assert!(committed.lost(&row(4)).is_none() && committed.lost(&ended("outcome_unknown")).is_none());
    committed.lease_expires(ID, AttemptId([8; 16]), Duration::ZERO);
    assert!(matches!(committed.lost(&row(3)), Some(Lost::Intent(intent)) if intent.lease_left() > LEASE / 2));
    committed.lease_expires(ID, ATTEMPT, Duration::ZERO);
    assert!(matches!(committed.lost(&row(3)), Some(Lost::Intent(intent)) if intent.lease_left().is_zero()));
    committed.renewed(ID, ATTEMPT, |presented| Some(renewal(4, presented?)));
    assert!(matches!(committed.lost(&row(3)), Some(Lost::Renewal(renewal)) if renewal.refresh == b"presented"));
    assert!(matches!(committed.lost(&ended("outcome_unknown")), Some(Lost::Renewal(_))));
    assert!(committed.lost(&ended("dead")).is_none() && committed.lost(&row(4)).is_none() && committed.lost(&row(5)).is_none());
    assert!(committed.lost(&GrantRow { id: GrantId([7; 16]), ..row(3) }).is_none(), "another login's grant");
    committed.grant_ended(ID);
    assert!(committed.lost(&row(3)).is_none());
}

#[test]
fn a_grant_that_was_read_before_is_not_planned_by_once_more_is_known_of_it() {
    let committed = Committed::default();
    let knows_more_of = |generation| committed.knows_more_of(ID, generation);
    assert!(!knows_more_of(3));
    committed.begun(ID, &NewIntent::first(ATTEMPT, 3, LEASE), b"presented");
    assert!(knows_more_of(3), "its token may be spent");
    committed.renewed(ID, ATTEMPT, |presented| Some(renewal(4, presented?)));
    assert!(knows_more_of(3) && !knows_more_of(4));
}

#[test]
fn an_intent_that_was_released_is_not_missed() {
    let committed = Committed::default();
    committed.begun(ID, &NewIntent::first(ATTEMPT, 3, LEASE), b"x");
    committed.released(ID, AttemptId([8; 16]));
    assert!(committed.lost(&row(3)).is_some());
    committed.released(ID, ATTEMPT);
    assert!(committed.lost(&row(3)).is_none());
}

#[test]
fn no_more_is_remembered_than_fits() {
    let committed = Committed::default();
    let size = 1024 * 1024;
    for number in 0..200_u8 {
        committed.renewed(GrantId([number; 16]), ATTEMPT, |_| Some(renewal(1, vec![0; size])));
    }
    let (grants, _) = committed.all();
    assert!((50..=64).contains(&grants.len()), "{}", grants.len());
    assert!(grants.contains(&GrantId([199; 16])) && !grants.contains(&GrantId([0; 16])), "the oldest go first");
    for _ in 0..200 {
        committed.renewed(ID, ATTEMPT, |_| Some(renewal(1, vec![0; size])));
    }
    assert!(committed.all().0.len() >= 50, "the same one again and again displaces no other");
    for number in 0..200_000_u64 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        committed.session_ended(SessionHash(hash));
    }
    assert_eq!(committed.all().1.len(), MAX_ENDED);
}

#[test]
fn a_grant_that_is_not_written_again_keeps_none_of_the_writes_of_others() {
    let committed = Committed::default();
    committed.renewed(GrantId([9; 16]), ATTEMPT, |_| Some(renewal(1, Vec::new())));
    for number in 0..100_000_i64 {
        committed.renewed(ID, ATTEMPT, |_| Some(renewal(number, Vec::new())));
    }
    let state = committed.state();
    assert!(state.grants.len() == 2 && state.order.len() <= 2 * 2 + MIN_ORDER, "{}", state.order.len());
}

#[test]
fn of_users_who_were_ended_the_last_word_counts_and_no_more_are_remembered_than_fit() {
    let committed = Committed::default();
    let name = |number: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        UserName(bytes)
    };
    committed.user_ended(name(0), Some(Timestamp(5)));
    assert_eq!(committed.users(), [(name(0), Timestamp(5))]);
    committed.user_ended(name(0), None);
    assert_eq!(committed.users(), [], "let in again");
    for number in 1..=MAX_ENDED + 10 {
        committed.user_ended(name(number), Some(Timestamp(1)));
    }
    assert_eq!(committed.users().len(), MAX_ENDED);
}
