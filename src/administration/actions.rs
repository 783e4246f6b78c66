//! What an administrator does. Each action is an event of the history with who did it, and a line of the log.

use std::sync::{Arc, atomic::Ordering};

use super::Administration;
use crate::{
    grant::GrantId,
    history::{Event, Kind},
    identity::Identity,
    renewal::RefreshedNow,
    session::SessionHash,
    sign_out::LogoutInitiator,
    store::{ListPosition, StoreError},
};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// By the name that the history tells.
    pub who: String,
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

/// What became of the wish to end everyone's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Everyone {
    /// It has begun.
    Begun,
    /// It is under way already.
    UnderWay,
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
    /// Ends the session whose name begins so. `false`: there is none.
    ///
    /// # Errors
    /// It may be alive still.
    pub async fn end_session(&self, actor: &Actor, id: &str) -> Result<bool, StoreError> {
        let found = self.store.sessions_by_prefix(id).await?;
        let mut matching = found.into_iter().filter(|listed| super::session_id(listed.session.hash) == id);
        let Some(listed) = matching.next() else { return Ok(false) };
        let (this, actor) = (self.clone(), actor.clone());
        self.sign_out
            .to_its_end(async move {
                let ended = this.sign_out.end_other(listed.session.hash, LogoutInitiator::Administrator).await;
                let about = (listed.grant.id, Some(listed.session.hash), &listed.grant.identity);
                this.record_at_once(&actor, Action::EndSession, about, outcome(ended.is_ok())).await;
                ended.map(|()| true)
            })
            .await
    }

    /// Ends all sessions and tokens of the user of a grant, and says how many. `None`: there is no such grant.
    ///
    /// # Errors
    /// Some may be alive still.
    pub async fn end_user(&self, actor: &Actor, grant: GrantId) -> Result<Option<usize>, StoreError> {
        let Some(grant) = self.store.grant(grant).await? else { return Ok(None) };
        let (this, actor) = (self.clone(), actor.clone());
        self.sign_out
            .to_its_end(async move {
                let ended = this.sign_out.end_user_of(&grant, LogoutInitiator::Administrator).await;
                this.record_at_once(&actor, Action::EndUser, (grant.id, None, &grant.identity), outcome(ended.is_ok())).await;
                ended.map(Some)
            })
            .await
    }

    /// Begins to end everyone's sessions, the actor's own among them, in the background: at a million that takes a while.
    pub fn end_everyone(&self, actor: &Actor) -> Everyone {
        if self.ends_everyone.swap(true, Ordering::AcqRel) {
            self.record(actor, Action::EndEveryone, (EVERYBODY, None, &Identity::default()), "under_way");
            return Everyone::UnderWay;
        }
        let (this, actor) = (self.clone(), actor.clone());
        self.record(&actor, Action::EndEveryone, (EVERYBODY, None, &Identity::default()), "begun");
        self.sign_out.tasks.spawn(async move {
            let ended = this.end_all_pages().await;
            this.ends_everyone.store(false, Ordering::Release);
            this.record(&actor, Action::EndEveryone, (EVERYBODY, None, &Identity::default()), outcome(ended.is_ok()));
            match ended {
                Ok(count) => tracing::info!(sessions = count, "everyone's sessions have ended"),
                Err(error) => tracing::error!(%error, "not everyone's sessions could be ended; an administrator can repeat it"),
            }
        });
        Everyone::Begun
    }

    async fn end_all_pages(&self) -> Result<usize, StoreError> {
        let (mut count, mut position, mut failed) = (0, Some(ListPosition::START), None);
        while let Some(after) = position {
            let (page, next) = self.store.list_sessions(after).await?;
            for listed in page {
                // One that cannot be ended keeps nobody else signed in.
                match self.sign_out.end_other(listed.session.hash, LogoutInitiator::Administrator).await {
                    Ok(()) => count += 1,
                    Err(error) => failed = Some(error),
                }
            }
            position = next;
        }
        failed.map_or(Ok(count), Err)
    }

    /// Renews a grant now. `None`: there is no such grant.
    ///
    /// # Errors
    /// The store failed.
    pub async fn renew(&self, actor: &Actor, grant: GrantId) -> Result<Option<RefreshedNow>, StoreError> {
        let Some(grant) = self.store.grant(grant).await?.map(Arc::new) else { return Ok(None) };
        let (this, actor) = (self.clone(), actor.clone());
        let refreshed = self.sign_out.to_its_end(async move {
            let refreshed = this.renewer.refresh_now(Arc::clone(&grant)).await;
            this.record_at_once(&actor, Action::Renew, (grant.id, None, &grant.identity), refreshed.name()).await;
            refreshed
        });
        Ok(Some(refreshed.await))
    }

    /// Records an action, and has what it led to written: whoever acted looks at the history next. What cannot be written now is later.
    async fn record_at_once(
        &self,
        actor: &Actor,
        action: Action,
        about: (GrantId, Option<SessionHash>, &Identity),
        outcome: &str,
    ) {
        self.record(actor, action, about, outcome);
        self.store.flush_events().await;
    }

    /// Records an action.
    pub fn record(
        &self,
        actor: &Actor,
        action: Action,
        (grant, session, whose): (GrantId, Option<SessionHash>, &Identity),
        outcome: &str,
    ) {
        let who: String = actor.who.chars().filter(|character| !character.is_control()).take(MOST_OF_NAME).collect();
        let event = Event::of(Kind::Administration, grant, whose, self.clock.now()).because(action.as_str());
        let event = Event { outcome: outcome.to_owned(), detail: Some(who), session: session.map(|hash| hash.short()), ..event };
        tracing::info!(
            action = action.as_str(),
            outcome,
            grant.id = %grant,
            session = event.session,
            administrator.session = actor.session,
            "an administrator acted"
        );
        self.store.enqueue_event(event);
    }
}

fn outcome(is_ok: bool) -> &'static str {
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
