//! The history of whoever a name finds: users, sessions and grants, also those of which nothing else is left.

use std::collections::BTreeSet;

use super::{Administration, search::is_of};
use crate::store::{EventFilter, EventPart, EventPlace, EventsOf, ListedSession, Store, StoreError};

/// Of so many users, sessions and grants that a name finds, the history is read.
const MOST_SOURCES: usize = 4 * Store::MOST_FOUND;

impl Administration {
    /// What a name finds: the sessions ([`Administration::named`]), and whose history. It is a user's, of the provider with this issuer alone
    /// if one is given, also when they have no session left; or else that of the sessions and grants whose identifiers begin so.
    ///
    /// # Errors
    /// The store failed.
    pub async fn found(&self, name: &str, issuer: Option<&str>) -> Result<(Vec<ListedSession>, Vec<EventsOf>), StoreError> {
        let mut sessions = self.named(name).await?;
        sessions.retain(|listed| issuer.is_none_or(|issuer| listed.grant.issuer == issuer));
        let of = self.history_of(name, issuer, &sessions).await?;
        // A user of this name may have no session left, when the name is the beginning of somebody else's.
        if of.iter().any(|of| matches!(of, EventsOf::User { .. })) {
            sessions.retain(|listed| is_of(name, listed));
        }
        Ok((sessions, of))
    }

    /// Whose events a name finds. `sessions` are those that it finds among the living.
    async fn history_of(
        &self,
        name: &str,
        issuer: Option<&str>,
        sessions: &[ListedSession],
    ) -> Result<Vec<EventsOf>, StoreError> {
        let known = sessions.iter().filter(|listed| is_of(name, listed));
        let mut users: Vec<_> =
            known.map(|listed| (listed.grant.issuer.clone(), listed.grant.identity.subject.clone())).collect();
        users.extend(self.store.event_users(name).await?);
        if !users.is_empty() {
            return Ok(users_of(users, name, issuer));
        }
        let mut found: Vec<_> = sessions
            .iter()
            .flat_map(|listed| [EventsOf::Session(listed.session.hash.short()), EventsOf::Grant(listed.grant.id)])
            .collect();
        let prefix = name.to_ascii_lowercase();
        if prefix.len() >= super::search::MIN_PREFIX_LEN {
            for (session, grant) in self.store.event_sessions(&prefix).await? {
                found.extend([EventsOf::Session(session), EventsOf::Grant(grant)]);
            }
            found.extend(self.store.event_grants(&prefix).await?.into_iter().map(EventsOf::Grant));
        }
        let mut known = std::collections::HashSet::new();
        found.retain(|of| known.insert(of.clone()));
        found.truncate(MOST_SOURCES);
        Ok(found)
    }

    /// A part of these histories, put together: what is behind `after`, the newest first, `most` of it at most.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(
        &self,
        of: &[EventsOf],
        filter: EventFilter,
        after: EventPlace,
        most: usize,
    ) -> Result<EventPart, StoreError> {
        let mut found = Vec::new();
        for source in of {
            // One more tells whether there is another part.
            found.extend(self.store.events(source, filter, after, most.saturating_add(1)).await?);
        }
        Ok(EventPart::of(found, most))
    }
}

/// The histories of these users, each by issuer and `sub`. What is of an unknown issuer is that of each user with this `sub`.
fn users_of(users: Vec<(String, String)>, name: &str, issuer: Option<&str>) -> Vec<EventsOf> {
    let users: BTreeSet<_> = users.into_iter().collect();
    let is_told = |subject: &str| users.iter().any(|(issuer, other)| !issuer.is_empty() && other == subject);
    let mut found = BTreeSet::new();
    for (of, subject) in &users {
        match issuer {
            Some(issuer) if of == issuer || of.is_empty() => _ = found.insert((issuer, subject)),
            Some(_) => {}
            // A `sub` is what was asked for, whoever has it.
            None if subject == name => _ = found.insert(("", subject)),
            None if of.is_empty() && is_told(subject) => {}
            None => _ = found.insert((of, subject)),
        }
    }
    let of = |(issuer, subject): (&str, &String)| EventsOf::User { issuer: issuer.to_owned(), subject: subject.clone() };
    found.into_iter().take(MOST_SOURCES).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_apart_by_their_providers_as_far_as_the_history_tells_these() {
        for (users, name, issuer, expected) in [
            (&[("a", "1")][..], "ann", None, &[("a", "1")][..]),
            (&[("", "1"), ("a", "1")], "ann", None, &[("a", "1")]),
            (&[("", "1")], "ann", None, &[("", "1")]),
            (&[("a", "1"), ("b", "1"), ("b", "2")], "ann", None, &[("a", "1"), ("b", "1"), ("b", "2")]),
            (&[("a", "1"), ("b", "2"), ("", "3")], "ann", Some("b"), &[("b", "2"), ("b", "3")]),
            (&[("a", "ann"), ("", "ann")], "ann", None, &[("", "ann")]),
            (&[("a", "ann"), ("", "ann")], "ann", Some("a"), &[("a", "ann")]),
        ] {
            let pairs = |pairs: &[(&str, &str)]| -> Vec<_> {
                pairs.iter().map(|(issuer, subject)| ((*issuer).to_owned(), (*subject).to_owned())).collect()
            };
            let told: Vec<_> = users_of(pairs(users), name, issuer)
                .into_iter()
                .map(|of| match of {
                    EventsOf::User { issuer, subject } => (issuer, subject),
                    EventsOf::Grant(_) | EventsOf::Session(_) => panic!("{of:?} is no user"),
                })
                .collect();
            assert_eq!(told, pairs(expected), "{users:?} {name} {issuer:?}");
        }
    }
}
