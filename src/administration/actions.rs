//! What an administrator does. Each action is an event of the history with who did it, and a line of the log.

use std::sync::Arc;

use super::Administration;
use crate::{
    grant::GrantId,
    history::{Event, Kind},
    identity::Identity,
    renewal::RefreshedNow,
    store::{ListedSession, StoreError},
};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// By the name that the history tells.
    pub who: String,
    /// The issuer of their provider, of whom another provider may have a namesake; `None` for the command line.
    pub issuer: Option<String>,
    /// The session that they act in, by its short hash, for the log; `None` for the command line.
    pub session: Option<String>,
}

/// What an administrator does. Their names are stored and must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ends one session.
    EndSession,
    /// Ends all sessions of one user.
    EndUser,
    /// Ends everyone's.
    EndEveryone,
    /// Renews a grant.
    Renew,
}

/// Whom an action is about, in the history.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    /// The user of this session.
    Session(&'a ListedSession),
    /// The user of this grant.
    Grant(GrantId, &'a str, &'a Identity),
    /// Everybody, or all users of the provider with this issuer.
    Everybody(Option<&'a str>),
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EndSession, Self::EndUser, Self::EndEveryone, Self::Renew];

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndSession => "end_session",
            Self::EndUser => "end_user",
            Self::EndEveryone => "end_everyone",
            Self::Renew => "renew",
        }
    }

    /// Parses a stored name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// What the history names where an action is about everybody.
const EVERYBODY: GrantId = GrantId([0; 16]);
/// How many names are kept of an actor, in characters.
const MOST_OF_NAME: usize = 200;

impl Administration {
    /// Renews a grant now. `None`: there is no such grant.
    ///
    /// # Errors
    /// The store failed.
    pub async fn renew(&self, actor: &Actor, grant: GrantId) -> Result<Option<RefreshedNow>, StoreError> {
        let Some(grant) = self.store.grant(grant).await?.map(Arc::new) else { return Ok(None) };
        let (this, actor) = (self.clone(), actor.clone());
        let refreshed = self.sign_out.to_its_end(async move {
            let refreshed = this.renewer.refresh_now(Arc::clone(&grant)).await;
            this.record(&actor, Action::Renew, About::Grant(grant.id, &grant.issuer, &grant.identity), refreshed.name());
            // Whoever acted looks at the history next. What cannot be written now is later.
            this.store.flush_events().await;
            refreshed
        });
        Ok(Some(refreshed.await))
    }

    /// Records an action.
    pub(super) fn record(&self, actor: &Actor, action: Action, about: About<'_>, outcome: &str) {
        let (now, nobody) = (self.clock.now(), Identity::default());
        let of = |grant, issuer, whose| Event::of(Kind::Administration, grant, issuer, whose, now);
        let event = match about {
            About::Session(listed) => {
                of(listed.grant.id, &listed.grant.issuer, &listed.grant.identity).of_session(listed.session.hash)
            }
            About::Grant(grant, issuer, whose) => of(grant, issuer, whose),
            About::Everybody(issuer) => of(EVERYBODY, issuer.unwrap_or_default(), &nobody),
        };
        let who: String = actor.who.chars().filter(|character| !character.is_control()).take(MOST_OF_NAME).collect();
        let event = Event {
            outcome: outcome.to_owned(),
            detail: Some(who),
            actor_issuer: actor.issuer.clone(),
            ..event.because(action.as_str())
        };
        tracing::info!(
            action = action.as_str(),
            outcome,
            grant.id = %event.grant,
            session = event.session,
            administrator.session = actor.session,
            "an administrator acted"
        );
        self.store.enqueue_event(event);
    }
}

/// How the history names what became of it.
pub(super) fn outcome(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "failed" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_read_as_it_was_written() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
        }
    }
}
