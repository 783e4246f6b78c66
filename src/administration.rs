//! Administration: who is signed in, until when and why not any more, and what an administrator does about it. The command line, the
//! pages and the JSON API ask this module, and differ in how they show what it says.

mod actions;
mod end_sessions;
mod ending;
mod history;
mod json;
mod limits;
mod listing;
mod lost_grants;
mod meant;
mod place;
mod prediction;
pub mod provider_health;
mod recent_renewals;
mod search;
mod settings;
mod state;
pub mod words;

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::{
    clock::Clock,
    grant::{Grant, GrantId},
    renewal::{NextRefresh, Renewer},
    sign_out::SignOut,
    store::{EventFilter, EventPart, EventPlace, EventsOf, ListedSession, Store, StoreError, StoredEvent},
};

pub use actions::{Action, Actor, EVERYBODY, record_on_all};
pub use end_sessions::{Ended, Everyone, Step, Whose};
pub use ending::{Ending, LoggedOutBy};
pub use json::{event_json, session_json};
pub use limits::Limits;
pub use listing::{EndedBecause, Filter, Listing};
pub use meant::{Identified, IdentifiedKind, Meant};
pub use place::{ListPlace, NamePosition, event_place, is_behind, parse_event_place, parse_place, place, session_id};
pub use prediction::{EndCause, Prediction};
pub use settings::Settings;
pub use state::SessionState;

/// How many events are in a part of a history.
pub const EVENTS: usize = 50;

/// What administrators ask, and what they do.
#[derive(Clone, Debug)]
pub struct Administration {
    /// The store.
    pub store: Store,
    /// How sessions end.
    pub sign_out: SignOut,
    /// How grants are renewed.
    pub renewer: Renewer,
    /// What ends sessions by itself.
    pub limits: Limits,
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
    /// A part of its events, the newest first.
    pub events: EventPart,
    /// The newest event that tells of an end, or of what administrators did.
    pub last_end: Option<StoredEvent>,
}

impl Administration {
    /// What is known of a grant, with its events behind `after`; `None`: nothing ever was, or all is forgotten.
    ///
    /// # Errors
    /// The store failed.
    pub async fn grant(&self, id: GrantId, after: EventPlace) -> Result<Option<GrantStory>, StoreError> {
        let of = [EventsOf::Grant(id)];
        let grant = match self.store.grant(id).await? {
            Some(grant) => Some(self.judged_grant(grant).await),
            None => None,
        };
        let events = self.history(&of, EventFilter::All, after, EVENTS).await?;
        let last_end = self.history(&of, EventFilter::Ends, EventPlace::START, 1).await?.events.pop();
        let is_known = grant.is_some() || last_end.is_some() || !events.events.is_empty();
        if !is_known && self.store.events(&EventsOf::Grant(id), EventFilter::All, EventPlace::START, 1).await?.is_empty() {
            return Ok(None);
        }
        let mut sessions = Vec::new();
        if let Some(grant) = &grant {
            let now = self.clock.now();
            let mut found = self.sessions_by_prefix(&id.to_string()).await?;
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
        Ok(Some(GrantStory { id, grant, sessions, next, events, last_end }))
    }

    /// What administrators did behind a place, the newest first, `most` of it at most.
    ///
    /// # Errors
    /// The store failed.
    pub async fn audit(&self, after: EventPlace, most: usize) -> Result<EventPart, StoreError> {
        self.store.events_of_administrators(after, most).await
    }
}
