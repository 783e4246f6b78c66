//! Ends sessions: one, a user's, everyone's. The command line, the pages and the API end them in this one way: whatever is found ends,
//! each whatever became of the others, and then what was made of it meanwhile.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    Action, Actor, Administration,
    actions::{About, outcome},
    meant::{Identified, Meant},
    search::is_of,
};
use crate::{
    grant::{Grant, GrantId},
    secret::hex,
    session::SessionHash,
    sign_out::LogoutInitiator,
    store::{ListPosition, ListedSession, StoreError},
};

/// Whose sessions end.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// This one.
    Session(&'a ListedSession),
    /// What this names ([`Administration::named`]): everything of a user; or a session or a grant, and that alone.
    Named(&'a str),
    /// Everything of this grant's user.
    UserOf(&'a Grant),
    /// Everyone's.
    Everyone,
}

/// What has been done.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A session or a token has ended, or could not be.
    Session(&'a ListedSession, &'a Result<(), StoreError>),
    /// The provider's bearer tokens of the user with this `sub` could not be refused.
    BearerTokens(&'a str, &'a StoreError),
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Ended {
    /// How many sessions and tokens have ended.
    pub count: usize,
    /// How many have not, and of how many users the bearer tokens are not refused.
    pub failures: usize,
    /// Why the last of these has not.
    pub error: Option<StoreError>,
    /// Users whose names differ from the given one in case alone, another having it as it is: their sessions are left.
    pub spared: BTreeSet<String>,
    /// Users whose names differ from the given one in case alone, none having it as it is: nothing has ended.
    pub unclear: BTreeSet<String>,
    /// Sessions and grants whose identifiers all begin as the given one: nothing has ended.
    pub ambiguous: Vec<Identified>,
}

/// What became of the wish to end everyone's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Everyone {
    /// It has begun.
    Begun,
    /// It is under way already.
    UnderWay,
}

/// What is read from the store while it ends. A name is none: once those who have it are gone, it may be the beginning of somebody else's
/// session.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Session(SessionHash),
    Grant(GrantId),
    User { issuer: String, subject: String },
    Everyone,
}

/// How often it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    First,
    /// No token is made of a session that has ended: what was made meanwhile is there now.
    Again,
}

impl Ended {
    fn failed(&mut self, error: StoreError) {
        self.failures += 1;
        self.error = Some(error);
    }

    fn into_result(self) -> Result<usize, StoreError> {
        self.error.map_or(Ok(self.count), Err)
    }
}

impl Target {
    /// What is meant by a name that has found this session.
    fn of(name: &str, found: &ListedSession) -> Self {
        if is_of(name, found) {
            Self::User { issuer: found.grant.issuer.clone(), subject: found.grant.identity.subject.clone() }
        } else if hex(&found.session.hash.0).starts_with(&name.to_ascii_lowercase()) {
            Self::Session(found.session.hash)
        } else {
            Self::Grant(found.grant.id)
        }
    }

    fn includes(&self, listed: &ListedSession, pass: Pass) -> bool {
        match self {
            Self::Session(hash) => listed.session.hash == *hash,
            Self::Grant(id) => listed.grant.id == *id,
            Self::User { issuer, subject } => listed.grant.issuer == *issuer && listed.grant.identity.subject == *subject,
            // Whoever has logged in again has passed the provider, and would be logged out twice.
            Self::Everyone => pass == Pass::First || listed.session.token.is_some(),
        }
    }
}

impl Administration {
    /// Ends sessions, of those with this `issuer` alone if one is given, and tells of each.
    ///
    /// # Errors
    /// They cannot be read, and some may be alive still. One that cannot be ended is a failure of [`Ended`].
    pub async fn end(
        &self,
        actor: &Actor,
        whose: Whose<'_>,
        issuer: Option<&str>,
        mut on_step: impl FnMut(Step<'_>),
    ) -> Result<Ended, StoreError> {
        if let Whose::Everyone = whose {
            self.record(actor, Action::EndEveryone, About::Everybody(issuer), "begun");
        }
        self.end_begun(actor, whose, issuer, &mut on_step).await
    }

    /// The same of what is recorded as begun, where it is to be.
    async fn end_begun(
        &self,
        actor: &Actor,
        whose: Whose<'_>,
        issuer: Option<&str>,
        on_step: &mut impl FnMut(Step<'_>),
    ) -> Result<Ended, StoreError> {
        let mut ended = Ended::default();
        let read = self.end_targets(actor, whose, issuer, &mut ended, on_step).await;
        let outcome = outcome(read.is_ok() && ended.failures == 0);
        match whose {
            // Each is recorded as it ends; those that could not be read are not known.
            Whose::Session(_) | Whose::Named(_) if read.is_ok() => {}
            Whose::Session(listed) => self.record(actor, Action::EndSession, About::Session(listed), outcome),
            Whose::Named(name) => self.record(actor, Action::EndUser, About::Name(name, issuer), outcome),
            Whose::UserOf(grant) => {
                self.record(actor, Action::EndUser, About::Grant(grant.id, &grant.issuer, &grant.identity), outcome)
            }
            Whose::Everyone => self.record(actor, Action::EndEveryone, About::Everybody(issuer), outcome),
        }
        read.map(|()| ended)
    }

    /// Ends the session that is named so in links and in the API. `false`: there is none, or none any more.
    ///
    /// # Errors
    /// It may be alive still.
    pub async fn end_session(&self, actor: &Actor, id: &str) -> Result<bool, StoreError> {
        let found = self.store.sessions_by_prefix(id).await?;
        let mut matching = found.into_iter().filter(|listed| super::session_id(listed.session.hash) == id);
        // An end that may be another's is none.
        let (Some(listed), None) = (matching.next(), matching.next()) else { return Ok(false) };
        let (this, actor) = (self.clone(), actor.clone());
        self.sign_out
            .to_its_end(async move { this.end_and_write(&actor, Whose::Session(&listed)).await })
            .await
            .map(|ended| ended > 0)
    }

    /// Ends all sessions and tokens of the user of a grant, and says how many. `None`: there is no such grant.
    ///
    /// # Errors
    /// Some may be alive still.
    pub async fn end_user(&self, actor: &Actor, grant: GrantId) -> Result<Option<usize>, StoreError> {
        let Some(grant) = self.store.grant(grant).await? else { return Ok(None) };
        let (this, actor) = (self.clone(), actor.clone());
        self.sign_out.to_its_end(async move { this.end_and_write(&actor, Whose::UserOf(&grant)).await }).await.map(Some)
    }

    /// Begins to end everyone's sessions, the actor's own among them, in the background: at a million that takes a while.
    pub fn end_everyone(&self, actor: &Actor) -> Everyone {
        let Ok(turn) = Arc::clone(&self.ends_everyone).try_lock_owned() else {
            self.record(actor, Action::EndEveryone, About::Everybody(None), "under_way");
            return Everyone::UnderWay;
        };
        let (this, actor) = (self.clone(), actor.clone());
        self.record(&actor, Action::EndEveryone, About::Everybody(None), "begun");
        self.sign_out.tasks.spawn(async move {
            let ended = this.end_begun(&actor, Whose::Everyone, None, &mut |_| {}).await.and_then(Ended::into_result);
            drop(turn);
            match ended {
                Ok(count) => tracing::info!(sessions = count, "everyone's sessions have ended"),
                Err(error) => tracing::error!(%error, "not everyone's sessions could be ended; an administrator can repeat it"),
            }
        });
        Everyone::Begun
    }

    /// Ends them, and has what that led to written: whoever acted looks at the history next. What cannot be written now is later.
    async fn end_and_write(&self, actor: &Actor, whose: Whose<'_>) -> Result<usize, StoreError> {
        let ended = self.end(actor, whose, None, |_| {}).await;
        self.store.flush_events().await;
        ended?.into_result()
    }

    async fn end_targets(
        &self,
        actor: &Actor,
        whose: Whose<'_>,
        issuer: Option<&str>,
        ended: &mut Ended,
        on_step: &mut impl FnMut(Step<'_>),
    ) -> Result<(), StoreError> {
        for target in self.targets(whose, issuer, ended).await? {
            if let Target::User { issuer, subject } = &target
                && let Err(error) = self.sign_out.refuse_bearer_tokens_of(issuer, subject).await
            {
                on_step(Step::BearerTokens(subject, &error));
                ended.failed(error);
            }
            self.end_target(&target, issuer, &mut |listed, result| {
                on_step(Step::Session(listed, &result));
                if let Whose::Session(_) | Whose::Named(_) = whose {
                    self.record(actor, Action::EndSession, About::Session(listed), outcome(result.is_ok()));
                }
                match result {
                    Ok(()) => ended.count += 1,
                    Err(error) => ended.failed(error),
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn end_target(
        &self,
        target: &Target,
        issuer: Option<&str>,
        on_each: &mut impl FnMut(&ListedSession, Result<(), StoreError>),
    ) -> Result<(), StoreError> {
        // One that cannot be ended keeps nobody else signed in, and is tried once. One that has ended with another is not there any more.
        let (mut alive, mut gone) = (HashSet::new(), HashSet::new());
        for pass in [Pass::First, Pass::Again] {
            let mut position = Some(ListPosition::START);
            while let Some(after) = position {
                let (page, next) = self.read(target, after).await?;
                position = next;
                let is_meant = |listed: &ListedSession| {
                    target.includes(listed, pass) && issuer.is_none_or(|issuer| listed.grant.issuer == issuer)
                };
                for listed in page.into_iter().filter(is_meant) {
                    let hash = listed.session.hash;
                    if alive.contains(&hash) {
                        continue;
                    }
                    if gone.remove(&hash) {
                        on_each(&listed, Ok(()));
                        continue;
                    }
                    let result = match self.sign_out.end_other(hash, LogoutInitiator::Administrator).await {
                        // Somebody else has ended it meanwhile, who tells of it.
                        Ok(ended) if ended.is_empty() => continue,
                        Ok(ended) => {
                            gone.extend(ended.into_iter().filter(|other| *other != hash));
                            Ok(())
                        }
                        Err(error) => {
                            alive.insert(hash);
                            Err(error)
                        }
                    };
                    on_each(&listed, result);
                }
            }
        }
        Ok(())
    }

    async fn targets(&self, whose: Whose<'_>, issuer: Option<&str>, ended: &mut Ended) -> Result<Vec<Target>, StoreError> {
        let name = match whose {
            Whose::Session(listed) => return Ok(vec![Target::Session(listed.session.hash)]),
            Whose::UserOf(Grant { issuer, identity, .. }) => {
                return Ok(vec![Target::User { issuer: issuer.clone(), subject: identity.subject.clone() }]);
            }
            Whose::Everyone => return Ok(vec![Target::Everyone]),
            Whose::Named(name) => name,
        };
        let mut targets = Vec::new();
        match self.meant(name, issuer).await? {
            Meant::Unclear(names) => ended.unclear = names,
            Meant::Ambiguous(identified) => ended.ambiguous = identified,
            Meant::These(found, others) => {
                ended.spared = others;
                for target in found.iter().map(|found| Target::of(name, found)) {
                    if !targets.contains(&target) {
                        targets.push(target);
                    }
                }
            }
        }
        Ok(targets)
    }

    /// A part of what may be a target's.
    async fn read(&self, target: &Target, after: ListPosition) -> Result<(Vec<ListedSession>, Option<ListPosition>), StoreError> {
        let found = match target {
            Target::Everyone => return self.store.list_sessions(after).await,
            Target::User { subject, .. } => self.store.sessions_named(subject).await?,
            Target::Grant(id) => self.store.sessions_by_prefix(&id.to_string()).await?,
            Target::Session(hash) => self.store.sessions_by_prefix(&hex(&hash.0)).await?,
        };
        Ok((found, None))
    }
}
