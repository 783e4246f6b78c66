use super::*;
use crate::{grant::GrantId, language::is_control, session::Settings};

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
