//! Finds sessions by what an administrator knows of them.

use super::{Administration, Filter, ListPlace, Listing, NamePosition, listing::MOST_LOOKED_AT, place};
use crate::{
    clock::Timestamp,
    grant::GrantId,
    session::SessionHash,
    store::{ListPosition, ListedSession, NameKind, StoreError},
};

/// The minimum length of a prefix of a session's or grant's identifier.
pub(super) const MIN_PREFIX_LEN: usize = 6;

impl Administration {
    /// The sessions of the user with this e-mail address, user name or `sub`; or else the session or grant whose identifier begins so.
    ///
    /// # Errors
    /// The store failed.
    pub async fn named(&self, name: &str) -> Result<Vec<ListedSession>, StoreError> {
        // A user's name takes precedence over the prefix of another user's session: neither must be mistaken for the other.
        let mut sessions = self.store.sessions_named(name).await?;
        sessions.retain(|listed| is_of(name, listed));
        if sessions.is_empty() && name.len() >= MIN_PREFIX_LEN {
            sessions = self.store.sessions_by_prefix(&name.to_ascii_lowercase()).await?;
        }
        Ok(self.judged(sessions).await)
    }

    /// A part of what a search finds: the sessions that [`Administration::named`] finds, or else those of users whose e-mail address or user
    /// name begins so, in whichever case. Of those that pass the filter, `most` behind `after`. To look at, not to end.
    ///
    /// # Errors
    /// The store failed.
    pub async fn search(&self, text: &str, filter: &Filter, after: &ListPlace, most: usize) -> Result<Listing, StoreError> {
        let position = match after {
            ListPlace::Name(position) => return self.beginning(text, filter, Some(position), most).await,
            ListPlace::Login(position) => *position,
        };
        let named = self.named(text).await?;
        if named.is_empty() && !text.is_empty() && position == ListPosition::START {
            return self.beginning(text, filter, None, most).await;
        }
        let looked_at = named.len();
        let is_shown = |listed: &ListedSession| filter.matches(listed) && place::is_behind(listed, position);
        let mut sessions: Vec<_> = named.into_iter().filter(is_shown).take(most.saturating_add(1)).collect();
        let is_cut = sessions.len() > most;
        sessions.truncate(most);
        let next = sessions.last().filter(|_| is_cut).map(|last| ListPlace::Login(place::position(last)).written());
        Ok(Listing { sessions, next, looked_at })
    }

    /// The part behind a place of those whose names begin so: first by the e-mail address, then by the user name.
    async fn beginning(
        &self,
        text: &str,
        filter: &Filter,
        after: Option<&NamePosition>,
        most: usize,
    ) -> Result<Listing, StoreError> {
        let mut listing = Listing { sessions: Vec::new(), next: None, looked_at: 0 };
        let mut after = after.cloned();
        let mut by = after.as_ref().map_or(NameKind::Email, |after| after.by);
        // The place of the last one that was looked at.
        let mut seen: Option<NamePosition> = None;
        loop {
            let from = after.as_ref().map(|after| (after.key.as_str(), after.grant));
            let (part, next) = self.store.sessions_beginning(text, by, from).await?;
            let (part, keys): (Vec<_>, Vec<_>) = part.into_iter().unzip();
            for (listed, key) in self.judged(part).await.into_iter().zip(keys) {
                let own = NamePosition { by, key, grant: listed.grant.id, session: place::position(&listed) };
                // A part begins with the grant at which the one before ended.
                let is_behind = |after: &NamePosition| {
                    own.grant != after.grant
                        || (own.session.created_at, own.session.hash.0) < (after.session.created_at, after.session.hash.0)
                };
                if !after.as_ref().is_none_or(is_behind) || !begins_with(text, &listed) {
                    continue;
                }
                let is_shown = filter.matches(&listed);
                if is_shown && listing.sessions.len() >= most {
                    listing.next = seen.map(|seen| ListPlace::Name(seen).written());
                    return Ok(listing);
                }
                listing.looked_at += 1;
                seen = Some(own);
                listing.sessions.extend(is_shown.then_some(listed));
            }
            // All of that grant's sessions have been looked at.
            let done = next.map(|(key, grant)| NamePosition { by, key, grant, session: AFTER_ALL });
            let is_same = done.is_some() && done == after;
            after = match (done.filter(|_| !is_same), by) {
                (Some(done), _) => Some(done),
                (None, NameKind::Email) => None,
                (None, NameKind::Username) => return Ok(listing),
            };
            if after.is_none() {
                by = NameKind::Username;
            }
            if listing.looked_at >= MOST_LOOKED_AT {
                let start = NamePosition { by, key: String::new(), grant: GrantId([0; 16]), session: ListPosition::START };
                listing.next = Some(ListPlace::Name(after.unwrap_or(start)).written());
                return Ok(listing);
            }
        }
    }
}

/// Behind all sessions, none of which began in 1970.
const AFTER_ALL: ListPosition = ListPosition { created_at: Timestamp(0), hash: SessionHash([0; 32]) };

/// Whether this is a name of the session's user.
pub(super) fn is_of(name: &str, listed: &ListedSession) -> bool {
    spelled(name, listed).is_some()
}

/// The name of the session's user that this is, as it is spelled there: the `sub`, or the user name or an e-mail address in whichever case.
pub(super) fn spelled<'a>(name: &str, listed: &'a ListedSession) -> Option<&'a str> {
    let identity = &listed.grant.identity;
    let others = || identity.username.iter().chain(&identity.email).chain(&identity.unverified_email).map(String::as_str);
    let exact = [identity.subject.as_str()].into_iter().chain(others()).find(|own| *own == name);
    exact.or_else(|| others().find(|own| own.eq_ignore_ascii_case(name)))
}

fn begins_with(text: &str, listed: &ListedSession) -> bool {
    let (identity, lower) = (&listed.grant.identity, text.to_ascii_lowercase());
    identity.username.as_deref().is_some_and(|name| name.to_ascii_lowercase().starts_with(&lower))
        || identity.email.iter().chain(&identity.unverified_email).any(|email| email.to_ascii_lowercase().starts_with(&lower))
}
