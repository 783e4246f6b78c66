//! The names that a user has given up. A session from before has one of them still when the directory deactivates the user,
//! until a token refresh brings it the new one.
//!
//! They lock nobody out: whoever gets such a name afterwards may log in by it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::user::User;
use crate::{clock::Timestamp, session::UserKey};

/// For how long they are kept: no session is that old in practice.
const RETENTION: Duration = Duration::from_secs(366 * 24 * 3600);
/// The most of a user's, the newest.
const MAX_NAMES: usize = 64;

/// A name that a user had, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FormerName {
    kind: NameKind,
    name: String,
    until: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NameKind {
    Subject,
    Email,
    Username,
}

impl FormerName {
    fn new(key: UserKey, until: Timestamp) -> Self {
        let (kind, name) = match key {
            UserKey::Subject(name) => (NameKind::Subject, name),
            UserKey::Email(name) => (NameKind::Email, name),
            UserKey::Username(name) => (NameKind::Username, name),
        };
        Self { kind, name, until: until.0 }
    }

    /// What is found by it.
    pub(super) fn key(&self) -> UserKey {
        let name = self.name.clone();
        match self.kind {
            NameKind::Subject => UserKey::Subject(name),
            NameKind::Email => UserKey::Email(name),
            NameKind::Username => UserKey::Username(name),
        }
    }

    /// When the user gave it up.
    pub(super) fn until(&self) -> Timestamp {
        Timestamp(self.until)
    }
}

/// The former names of a user who had these `former` ones, and is `after` what they were `before` from now on; the oldest first.
pub(super) fn after_change(former: Vec<FormerName>, before: &User, after: &User, now: Timestamp) -> Vec<FormerName> {
    let (had, has) = (before.keys(), after.keys());
    let given_up = had.iter().filter(|key| !has.contains(key));
    let mut all: Vec<_> = former
        .into_iter()
        .filter(|name| name.until() > now.minus(RETENTION) && !has.contains(&name.key()) && !had.contains(&name.key()))
        .chain(given_up.map(|key| FormerName::new(key.clone(), now)))
        .collect();
    all.drain(..all.len().saturating_sub(MAX_NAMES));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DAY: i64 = 24 * 3_600_000;

    fn named(name: &str) -> User {
        User::read(&json!({"userName": name, "externalId": "00u1"}), None).unwrap()
    }

    fn names(former: &[FormerName]) -> Vec<(&str, i64)> {
        former.iter().map(|name| (name.name.as_str(), name.until / DAY)).collect()
    }

    #[test]
    fn a_name_is_a_former_one_from_when_it_is_given_up_until_the_user_has_it_again() {
        let change = |former: Vec<FormerName>, before: &str, after: &str, day: i64| {
            after_change(former, &named(before), &named(after), Timestamp(day * DAY))
        };
        let former = change(Vec::new(), "a", "a", 1);
        assert_eq!(former, []);
        let former = change(former, "a", "b", 2);
        // As the user name, and as an address.
        assert_eq!(names(&former), [("a", 2), ("a", 2)]);
        let former = change(former, "b", "c", 3);
        assert_eq!(names(&former), [("a", 2), ("a", 2), ("b", 3), ("b", 3)]);
        let former = change(former, "c", "A", 4);
        assert_eq!(names(&former), [("b", 3), ("b", 3), ("c", 4), ("c", 4)]);
        let former = change(former, "a", "a", 369);
        assert_eq!(names(&former), [("c", 4), ("c", 4)]);
        let read: Vec<FormerName> = serde_json::from_str(&serde_json::to_string(&former).unwrap()).unwrap();
        assert_eq!(read, former);
    }

    #[test]
    fn the_newest_are_kept() {
        let mut former = Vec::new();
        for day in 0..100 {
            former = after_change(former, &named(&day.to_string()), &named(&(day + 1).to_string()), Timestamp(day * DAY));
        }
        assert_eq!((former.len(), former.last().map(|name| name.name.as_str())), (MAX_NAMES, Some("99")));
    }
}
