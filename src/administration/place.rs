//! Places in the list of all sessions, and names of sessions, as they are written. Pure.

use crate::{
    clock::Timestamp,
    grant::GrantId,
    secret::{hex, unhex},
    session::SessionHash,
    store::{EventPlace, ListPosition, ListedSession, NameKind},
};

/// A session's name in links and in the API: half of its hash, which finds it and nothing else.
pub fn session_id(hash: SessionHash) -> String {
    hex(hash.0.first_chunk::<16>().unwrap_or(&[0; 16]))
}

/// A place in the list as it is written: the time in milliseconds, and the session's hash.
pub fn place(listed: &ListedSession) -> String {
    written(position(listed))
}

/// The place of a session in the list.
pub(super) fn position(listed: &ListedSession) -> ListPosition {
    ListPosition { created_at: listed.session.created_at, hash: listed.session.hash }
}

/// Whether a session is behind a place in the list of all sessions.
pub fn is_behind(listed: &ListedSession, place: ListPosition) -> bool {
    let own = position(listed);
    (own.created_at, own.hash.0) < (place.created_at, place.hash.0)
}

/// The same of a position.
pub(super) fn written(position: ListPosition) -> String {
    format!("{}-{}", position.created_at.0, hex(&position.hash.0))
}

/// Reads a place in the list of all sessions. `None`: no list has written it.
pub fn parse_place(text: &str) -> Option<ListPosition> {
    let (time, hash) = text.split_once('-')?;
    let time = i64::try_from(time.parse::<u64>().ok()?).unwrap_or(i64::MAX);
    Some(ListPosition { created_at: Timestamp(time), hash: SessionHash(unhex(hash)?) })
}

/// A place in a list of sessions: of all sessions or those of one user, the last login first; or of those of users whose names begin so, in
/// the order of these names. A part begins behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListPlace {
    /// In the order of logins.
    Login(ListPosition),
    /// In the order of names.
    Name(NamePosition),
}

/// A place in the list of sessions of users whose names begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePosition {
    /// By which name.
    pub by: NameKind,
    /// The name, as the store orders it.
    pub key: String,
    /// The grant.
    pub grant: GrantId,
    /// Its session.
    pub session: ListPosition,
}

impl ListPlace {
    /// Before all sessions.
    pub const START: Self = Self::Login(ListPosition::START);

    /// Writes it.
    pub fn written(&self) -> String {
        match self {
            Self::Login(position) => written(*position),
            Self::Name(NamePosition { by, key, grant, session }) => {
                let by = match by {
                    NameKind::Email => "e",
                    NameKind::Username => "u",
                };
                format!("{by}-{}-{grant}-{}", hex(key.as_bytes()), written(*session))
            }
        }
    }

    /// Reads a place. `None`: no list has written it.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('-')?;
        let by = match kind {
            "e" => NameKind::Email,
            "u" => NameKind::Username,
            _time => return parse_place(text).map(Self::Login),
        };
        let (key, rest) = rest.split_once('-')?;
        let (grant, session) = rest.split_once('-')?;
        // What was not written here is some name all the same, of characters that a database takes.
        let key = String::from_utf8_lossy(&bytes(key)?).replace('\0', "\u{fffd}");
        let grant = GrantId(bytes(grant)?.try_into().ok()?);
        Some(Self::Name(NamePosition { by, key, grant, session: parse_place(session)? }))
    }
}

/// Reads hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    if digits.len() > 4096 || !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
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
    fn a_place_among_names_is_read_as_it_was_written() {
        let session = ListPosition { created_at: Timestamp(5), hash: SessionHash([0xab; 32]) };
        // No name is longer than 1,024 bytes, of which each may be written as two.
        let longest = "\\".repeat(2048);
        for (by, key) in [
            (NameKind::Email, "ann-é@example.com"),
            (NameKind::Username, ""),
            (NameKind::Username, "-"),
            (NameKind::Username, &longest),
        ] {
            let place = ListPlace::Name(NamePosition { by, key: key.to_owned(), grant: GrantId([7; 16]), session });
            assert_eq!(ListPlace::parse(&place.written()), Some(place));
        }
        assert_eq!(ListPlace::parse(&written(session)), Some(ListPlace::Login(session)));
        let good = format!("e-61-{}-{}", "07".repeat(16), written(session));
        for odd in ["e", "e-61", "e-61-07", &good.replace("e-61", "x-61"), &good.replace("61", "6")] {
            assert_eq!(ListPlace::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_looks_like_a_place_is_one_that_every_database_takes() {
        let odd = format!("e-ff00-{}-9999999999999999999-{}", "07".repeat(16), "ab".repeat(32));
        let Some(ListPlace::Name(place)) = ListPlace::parse(&odd) else { panic!("{odd} is no place") };
        assert_eq!((place.key.as_str(), place.session.created_at), ("\u{fffd}\u{fffd}", Timestamp(i64::MAX)));
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
