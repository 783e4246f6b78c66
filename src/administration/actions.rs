//! What an administrator does. Each action is an event of the history with who did it, and a line of the log.

use std::sync::Arc;

use super::Administration;
use crate::{
    clock::Timestamp,
    grant::{Grant, GrantId},
    history::{Event, Kind},
    identity::Identity,
    language::is_control,
    renewal::RefreshedNow,
    session::SessionHash,
    store::{ListedSession, Store, StoreError},
};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// By the name that the history tells.
    pub who: String,
    /// The issuer of their provider, of whom another provider may have a namesake; `None` for the command line.
    pub issuer: Option<String>,
    /// Their `sub` there, which they cannot choose; `None` for the command line.
    pub subject: Option<String>,
    /// The session that they act in, by its short hash; `None` for the command line.
    pub session: Option<String>,
}

impl Actor {
    /// The user of this grant, in a session of theirs.
    pub fn of(grant: &Grant, session: SessionHash) -> Self {
        Self {
            who: grant.identity.display().to_owned(),
            issuer: Some(grant.issuer.clone()),
            subject: Some(grant.identity.subject.clone()),
            session: Some(session.short()),
        }
    }

    /// Whoever may read the settings may do all that an administrator may.
    pub fn command_line() -> Self {
        Self { who: "the command line".to_owned(), issuer: None, subject: None, session: None }
    }
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
    /// Marks all refresh tokens as possibly used, after the database was restored from a backup.
    Restored,
    /// Encrypts all tokens with the newest key.
    Reseal,
}

/// Whom an action is about, in the history.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    /// The user of this session.
    Session(&'a ListedSession),
    /// The user of this grant.
    Grant(GrantId, &'a str, &'a Identity),
    /// Whoever has this name, of the provider with this issuer if one is given.
    Name(&'a str, Option<&'a str>),
    /// Everybody, or all users of the provider with this issuer.
    Everybody(Option<&'a str>),
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::EndSession, Self::EndUser, Self::EndEveryone, Self::Renew, Self::Restored, Self::Reseal];

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndSession => "end_session",
            Self::EndUser => "end_user",
            Self::EndEveryone => "end_everyone",
            Self::Renew => "renew",
            Self::Restored => "restored",
            Self::Reseal => "reseal",
        }
    }

    /// Parses a stored name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// The grant of events that are about none, but about everybody or a name.
pub const EVERYBODY: GrantId = GrantId([0; 16]);
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
        self.store.enqueue_event(event(actor, action, about, outcome, self.clock.now()));
    }
}

/// Has it recorded that the command line did this to all tokens, or not to all.
pub fn record_on_all(store: &Store, action: Action, is_ok: bool, now: Timestamp) {
    store.enqueue_event(event(&Actor::command_line(), action, About::Everybody(None), outcome(is_ok), now));
}

/// The event of an action, and its line of the log.
fn event(actor: &Actor, action: Action, about: About<'_>, outcome: &str, now: Timestamp) -> Event {
    let nobody = Identity::default();
    let of = |grant, issuer, whose| Event::of(Kind::Administration, grant, issuer, whose, now);
    let event = match about {
        About::Session(listed) => {
            of(listed.grant.id, &listed.grant.issuer, &listed.grant.identity).of_session(listed.session.hash)
        }
        About::Grant(grant, issuer, whose) => of(grant, issuer, whose),
        About::Name(name, issuer) => Event { who: kept(name), ..of(EVERYBODY, issuer.unwrap_or_default(), &nobody) },
        About::Everybody(issuer) => of(EVERYBODY, issuer.unwrap_or_default(), &nobody),
    };
    let event = Event {
        outcome: outcome.to_owned(),
        detail: Some(kept(&actor.who)),
        actor_issuer: actor.issuer.clone(),
        actor_subject: actor.subject.as_deref().map(kept),
        actor_session: actor.session.clone(),
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
    event
}

/// As much of a name as is kept.
fn kept(name: &str) -> String {
    name.chars().filter(|character| !is_control(*character)).take(MOST_OF_NAME).collect()
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
