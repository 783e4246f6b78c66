//! Places in the list of all sessions, and names of sessions, as they are written. Pure.

use crate::{
    clock::Timestamp,
    secret::hex,
    session::SessionHash,
    store::{EventPlace, ListPosition, ListedSession},
};

/// A session's name in links and in the API: half of its hash, which finds it and nothing else.
pub fn session_id(hash: SessionHash) -> String {
    hex(hash.0.first_chunk::<16>().unwrap_or(&[0; 16]))
}

/// A place in the list as it is written: the time in milliseconds, and the session's hash.
pub fn place(listed: &ListedSession) -> String {
    written(ListPosition { created_at: listed.session.created_at, hash: listed.session.hash })
}

/// The same of a position.
pub(super) fn written(position: ListPosition) -> String {
    format!("{}-{}", position.created_at.0, hex(&position.hash.0))
}

/// Reads a place. `None`: no list has written it.
pub fn parse_place(text: &str) -> Option<ListPosition> {
    let (time, hash) = text.split_once('-')?;
    let mut bytes = [0; 32];
    if hash.len() != 64 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(hash.get(at..at + 2)?, 16).ok()?;
    }
    Some(ListPosition { created_at: Timestamp(time.parse().ok()?), hash: SessionHash(bytes) })
}

/// A place in the list of events as it is written: the time in milliseconds, and the event's number.
pub fn event_place(place: EventPlace) -> String {
    format!("{}-{}", place.at.0, place.id)
}

/// Reads a place in the list of events. `None`: no list has written it.
pub fn parse_event_place(text: &str) -> Option<EventPlace> {
    let (time, id) = text.split_once('-')?;
    let number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    Some(EventPlace { at: Timestamp(number(time)?), id: number(id)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_among_events_is_read_as_it_was_written() {
        let place = EventPlace { at: Timestamp(1_700_000_000_000), id: 12 };
        assert_eq!(parse_event_place(&event_place(place)), Some(place));
        for odd in ["", "1", "1-", "-1-2", "1--2", "1-2-3", "1-+2", "1-99999999999999999999", "a-1"] {
            assert_eq!(parse_event_place(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_place_that_was_not_printed_is_none() {
        let printed = format!("1700000000000-{}", "ab".repeat(32));
        let position = ListPosition { created_at: Timestamp(1_700_000_000_000), hash: SessionHash([0xab; 32]) };
        assert_eq!(parse_place(&printed), Some(position));
        assert_eq!(written(position), printed);
        for odd in ["", "1-ab", "x", printed.trim_end_matches("ab"), &printed.replace("ab", "xy"), &printed.replace("ab", "+b")] {
            assert_eq!(parse_place(odd), None, "{odd}");
        }
    }
}
