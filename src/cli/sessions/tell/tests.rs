use super::*;
use crate::{
    grant::{GrantId, Rotation},
    identity::Identity,
    language::is_control,
    session::{Opener, Session, SessionHash, Settings},
    store::ListedGrant,
};

/// Texts by which a terminal could be told what to show: an escape sequence, its form of one character, and the writing direction.
const CONTROLS: &str = "\u{1b}]0;x\u{7}\u{9b}2J\u{61c}\u{202e}\u{2028}";

fn line() -> StoredEvent {
    let text = || CONTROLS.to_owned();
    let event = Event {
        at: Timestamp(0),
        kind: Kind::Logout,
        grant: GrantId([0; 16]),
        session: Some(text()),
        issuer: text(),
        subject: text(),
        username: Some(text()),
        who: text(),
        outcome: text(),
        reason: text(),
        code: Some(text()),
        duration: None,
        rotated: None,
        detail: Some(text()),
        actor_issuer: Some(text()),
        actor_subject: Some(text()),
        actor_session: Some(text()),
    };
    StoredEvent { id: 1, event, replica: text() }
}

#[test]
fn nothing_of_the_history_controls_the_terminal_that_shows_it() {
    let sessions = Settings {
        idle: std::time::Duration::ZERO,
        absolute: std::time::Duration::ZERO,
        sliding: true,
        longest_token: std::time::Duration::MAX,
    };
    let limits = Limits { sessions, outage_grace: std::time::Duration::ZERO };
    let denied = Event { kind: Kind::Login, outcome: "denied".to_owned(), ..line().event };
    let acted = Event { kind: Kind::Administration, ..line().event };
    let stored = |event| StoredEvent { id: 2, event, replica: CONTROLS.to_owned() };
    let events = EventPart { events: vec![line(), stored(denied), stored(acted)], next: None };
    let json = json(&[], &limits, &events, Timestamp(0));
    for shown in [show(&[], &limits, &events, Timestamp(0)), why(&[], &limits, &events.events, None, Timestamp(0)), json.clone()]
    {
        assert!(!shown.contains(|character| character != '\n' && is_control(character)), "{shown:?}");
    }
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read["events"][0]["reason"], CONTROLS, "JSON keeps what there is");
}

#[test]
fn a_session_that_is_not_served_is_no_session_that_is_renewed_when_it_is_used() {
    let hour = std::time::Duration::from_secs(3600);
    let sessions = Settings { idle: 100 * hour, absolute: 100 * hour, sliding: true, longest_token: hour };
    let limits = Limits { sessions, outage_grace: hour };
    let told = |unserved: Option<&str>, is_restored: bool| {
        let grant = ListedGrant {
            id: GrantId([1; 16]),
            issuer: "https://idp".to_owned(),
            client_id: "c".to_owned(),
            identity: Identity::default(),
            expires_at: Timestamp(3_600_000),
            renewed_at: Timestamp(0),
            generation: 0,
            rotation: Rotation::Unknown,
            has_refresh_token: true,
            refresh_key: None,
            refresh_until: None,
            is_outcome_unknown: is_restored,
            is_restored,
            unserved: unserved.map(str::to_owned),
            refused: None,
            unverified_since: None,
            ended: None,
        };
        let session = Session {
            hash: SessionHash([2; 32]),
            grant: grant.id,
            created_at: Timestamp(0),
            last_seen: Timestamp(0),
            provider_session: None,
            site: None,
            token: None,
            login: None,
        };
        let listed = ListedSession { session, grant, opener: Opener::default() };
        why(&[listed], &limits, &[], None, Timestamp(3 * 3_600_000))
    };
    assert!(told(None, false).contains("is renewed when it is used"));
    let unserved = told(Some("invalid_client"), false);
    assert!(
        unserved.contains("is not served until the provider renews it") && unserved.contains("(invalid_client)"),
        "{unserved}"
    );
    assert!(!unserved.contains("is logged in"), "{unserved}");
    let restored = told(None, true);
    assert!(restored.contains("the database was restored from a backup") && !restored.contains("renewal is"), "{restored}");
}
