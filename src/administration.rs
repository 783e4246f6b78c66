//! Administration: who is signed in, until when and why not any more, and what an administrator does about it. The command line, the
//! pages and the JSON API ask this module, and differ in how they show what it says.

mod actions;
mod end_sessions;
mod ending;
mod json;
mod listing;
mod place;
mod prediction;
pub mod provider_health;
mod search;
mod settings;
mod state;
pub mod words;

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use tokio::sync::Mutex;

use crate::{
    clock::Clock,
    grant::{Grant, GrantId},
    history::Event,
    renewal::{NextRefresh, Renewer},
    session,
    sign_out::SignOut,
    store::{AuditPart, EventPlace, ListedSession, Store, StoreError},
};

pub use actions::{Action, Actor};
pub use end_sessions::{Ended, Everyone, Step, Whose};
pub use ending::{Ending, LoggedOutBy};
pub use json::{event_json, session_json};
pub use listing::{EndedBecause, Filter, Listing};
pub use place::{event_place, parse_event_place, parse_place, place, session_id};
pub use prediction::{EndCause, Prediction};
pub use settings::Settings;
pub use state::SessionState;

/// The maximum number of events that are shown of a grant or a name.
pub const EVENTS: i64 = 50;

/// Of so many of somebody's sessions, the last logins first, and of so many grants, the last events first, the history is read: a program may have logged in as
/// one user for thousands of times.
const MOST_EXPLAINED: usize = 64;

/// What administrators ask, and what they do.
#[derive(Clone, Debug)]
pub struct Administration {
    /// The store.
    pub store: Store,
    /// How sessions end.
    pub sign_out: SignOut,
    /// How grants are renewed.
    pub renewer: Renewer,
    /// How long sessions live.
    pub limits: session::Settings,
    /// The time.
    pub clock: Clock,
    /// Held by whoever ends everyone's sessions.
    pub ends_everyone: Arc<Mutex<()>>,
}

/// All that is known of a grant.
#[derive(Debug)]
pub struct GrantStory {
    /// Its identifier.
    pub id: GrantId,
    /// The grant; `None`: it is gone, and its history is left.
    pub grant: Option<Grant>,
    /// Its sessions, each with when it is likely to end.
    pub sessions: Vec<(ListedSession, Prediction)>,
    /// When it is renewed next.
    pub next: Option<NextRefresh>,
    /// Its newest events, the newest first.
    pub events: Vec<(Event, String)>,
}

impl Administration {
    /// What is known of a grant; `None`: nothing ever was, or all is forgotten.
    ///
    /// # Errors
    /// The store failed.
    pub async fn grant(&self, id: GrantId) -> Result<Option<GrantStory>, StoreError> {
        let (grant, events) = (self.store.grant(id).await?, self.store.events("", Some(id), EVENTS).await?);
        if grant.is_none() && events.is_empty() {
            return Ok(None);
        }
        let mut sessions = Vec::new();
        if let Some(grant) = &grant {
            let now = self.clock.now();
            let mut found = self.store.sessions_by_prefix(&id.to_string()).await?;
            // Of a session whose own name begins as the grant's does, another is the grant.
            found.retain(|listed| listed.grant.id == id);
            sessions = found
                .into_iter()
                .map(|listed| {
                    let prediction = Prediction::of(&listed.session, grant, &self.limits, now);
                    (listed, prediction)
                })
                .collect();
        }
        let next = grant.as_ref().map(|grant| self.renewer.next_refresh(grant));
        Ok(Some(GrantStory { id, grant, sessions, next, events }))
    }

    /// The newest events of a user, by their e-mail address, user name or `sub`, of a session or of a grant, the newest first, with
    /// those of the grants that these are about: a session's end is explained by its grant.
    ///
    /// # Errors
    /// The store failed.
    pub async fn history(&self, name: &str, sessions: &[ListedSession]) -> Result<Vec<(Event, String)>, StoreError> {
        let mut events = self.store.events(name, None, EVENTS).await?;
        for listed in sessions.iter().take(MOST_EXPLAINED) {
            add(&mut events, self.store.events(&listed.session.hash.short(), Some(listed.grant.id), EVENTS).await?);
        }
        events.sort_by_key(|(event, _)| Reverse(event.at));
        let mut known = HashSet::new();
        let grants: Vec<_> = events.iter().map(|(event, _)| event.grant).filter(|grant| known.insert(*grant)).collect();
        for grant in grants.into_iter().take(MOST_EXPLAINED) {
            add(&mut events, self.store.events("", Some(grant), EVENTS).await?);
        }
        events.sort_by_key(|(event, _)| Reverse(event.at));
        Ok(events)
    }

    /// What administrators did behind a place, the newest first, `most` of it at most.
    ///
    /// # Errors
    /// The store failed.
    pub async fn audit(&self, after: EventPlace, most: usize) -> Result<AuditPart, StoreError> {
        self.store.events_of_administrators(after, most).await
    }
}

/// Adds those that are not there yet.
fn add(events: &mut Vec<(Event, String)>, more: Vec<(Event, String)>) {
    for line in more {
        if !events.contains(&line) {
            events.push(line);
        }
    }
}
