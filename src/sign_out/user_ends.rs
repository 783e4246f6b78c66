//! Ends the sessions of whom somebody outside of Evergate says that they are to end: the provider by back-channel logout (OpenID Connect
//! Back-Channel Logout 1.0 section 2.7), and whoever else is a [`EndSource`].
//!
//! While the store cannot record it, the sessions that this replica knows end here at once, the rest later, and the sender is told to
//! send it again: other replicas may know more sessions.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use super::{EndExtent, LogoutInitiator, SignOut, UserEnd, pending_ends::name_of};
use crate::{
    backoff::back_off,
    client_registration::Registrations,
    clock::Timestamp,
    grant::Grant,
    reading::Reading,
    session::{EndSource, Session, SessionHash, UserKey, UserName, unrecorded::Extent},
    store::StoreError,
    telemetry::logs::causes,
};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(10);

impl SignOut {
    /// Ends what an order names. What began later is kept, and an order that has been carried out has no effect when it is sent again. A
    /// sender that does not wait for it does not cancel it, because few send it again.
    ///
    /// # Errors
    /// What this replica knows has ended here. More may be alive still, until the store is back; the order may be sent again.
    pub async fn end_user(&self, end: UserEnd) -> Result<(), StoreError> {
        let this = self.clone();
        self.to_its_end(async move { this.end_user_here(&end).await }).await
    }

    async fn end_user_here(&self, end: &UserEnd) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Looked up first: tokens that were issued since an order was carried out are not refused by its repetition.
        let done = match self.is_carried_out(end).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.refuse_tokens(end);
                self.carry_out(end, now).await
            }
            Err(error) => {
                self.refuse_tokens(end);
                Err(error)
            }
        };
        let error = match done {
            Err(error) if !error.is_refusal() => error,
            done => {
                self.metrics.user_end(end.source.as_str(), if done.is_ok() { "ok" } else { "failed" });
                return done;
            }
        };
        self.metrics.user_end(end.source.as_str(), "unrecorded");
        if self.pending_ends.add(end, now) {
            tracing::warn!(
                error = causes(&error),
                "ends of users' sessions take effect on this replica and are recorded once the store is available"
            );
            let this = self.clone();
            self.tasks.spawn(async move { this.record_pending_ends().await });
        }
        self.end_known(end).await;
        Err(error)
    }

    /// Whether an order has been carried out. Learns first whom it reaches.
    async fn is_carried_out(&self, end: &UserEnd) -> Result<bool, StoreError> {
        self.learn_clients().await?;
        self.store.is_consumed(end.replay_name()).await
    }

    /// The registrations under which an order reaches a user: it ends what they have of Evergate, whichever client that was given to.
    fn reached_by(&self, end: &UserEnd) -> Registrations {
        self.registrations_after(end.registration())
    }

    /// Refuses on this replica, from now on, the tokens of the order's user that no session stands behind.
    fn refuse_tokens(&self, end: &UserEnd) {
        let (ended_users, names) = (self.cache.ended_users(), end.names(&self.reached_by(end)));
        match &end.extent {
            EndExtent::Logout { .. } | EndExtent::SessionOfUser { .. } => {}
            EndExtent::Everything(_) => ended_users.end_here(&names, end.until),
            // The store has it already, unless the user is let in again meanwhile: so it is read once more.
            EndExtent::LockedOut(_) => {
                ended_users.recorded(&names, end.until);
                self.store.announce_users(&names);
            }
        }
    }

    /// Records an order that has waited. `at` is when it came.
    async fn record_pending(&self, end: &UserEnd, at: Timestamp) -> Result<(), StoreError> {
        if !self.is_carried_out(end).await? {
            return self.carry_out(end, at).await;
        }
        // Another replica has carried it out, at another time, which holds here too.
        let names = end.names(&self.reached_by(end));
        for name in &names {
            if let Some(ended_at) = self.store.user_ended_at(&[*name]).await? {
                self.cache.ended_users().recorded(&[*name], ended_at);
            }
        }
        self.cache.ended_users().withdraw(&names, end.until);
        self.store.announce_users(&names);
        Ok(())
    }

    /// Ends sessions in the store. `at` is when the order came.
    async fn carry_out(&self, end: &UserEnd, at: Timestamp) -> Result<(), StoreError> {
        let registrations = self.reached_by(end);
        // Recorded first, so that a concurrent login is either found here or finds this record.
        for filter in registrations.iter().filter_map(|registration| end.logout(registration)) {
            self.store.remember_logout(filter, at).await?;
        }
        if let EndExtent::SessionOfUser { user, .. } = &end.extent {
            self.store.remember_logout_of_unsaid(&UserKey::each_name(user, &registrations), at).await?;
        }
        if let EndExtent::Everything(_) = &end.extent {
            self.end_names(&end.names(&registrations), end.until).await?;
        }
        // Twice, because a token may be made of a session that has not ended yet.
        for _ in 0..2 {
            let mut meant = Vec::new();
            for hash in self.find(end).await?.current()? {
                if self.is_meant(end, hash).await? {
                    meant.push(hash);
                }
            }
            // A bearer token may name its user otherwise than the order does. Whose these are is known for as long as they are there.
            let until = match &end.extent {
                EndExtent::Logout { .. } | EndExtent::SessionOfUser { .. } => None,
                EndExtent::Everything(_) => Some(end.until),
                EndExtent::LockedOut(_) => Some(at.just_before()),
            };
            if let Some(until) = until {
                self.end_names(&self.token_names_of(&meant, &registrations).await?, until).await?;
            }
            for hash in meant {
                self.end_one(hash, LogoutInitiator::Other(end.source)).await?;
            }
        }
        // Consumed last: an order that could not be carried out may be sent again.
        self.store.consume_once(end.replay_name(), end.expires_at).await?;
        Ok(())
    }

    /// Refuses the bearer tokens of users with these names that were issued until then, on every replica.
    pub(super) async fn end_names(&self, names: &[UserName], until: Timestamp) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        self.store.end_users(names, until).await?;
        self.cache.ended_users().recorded(names, until);
        Ok(())
    }

    /// By what bearer tokens are refused of the users whom an order names: by the provider's identifiers that their sessions know.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn token_names_of_users(&self, end: &UserEnd) -> Result<Vec<UserName>, StoreError> {
        self.token_names_of(&self.find(end).await?.current()?, &self.reached_by(end)).await
    }

    /// The same of those whose sessions these are. Addresses and user names are not among them: others may have one too.
    async fn token_names_of(&self, sessions: &[SessionHash], registrations: &Registrations) -> Result<Vec<UserName>, StoreError> {
        let mut subjects = BTreeSet::new();
        for hash in sessions {
            match self.grant_of(*hash).await {
                Ok(Some(grant)) => drop(subjects.insert(grant.identity.subject)),
                Ok(None) => {}
                // A row that cannot be read spares nobody else.
                Err(error) if error.is_refusal() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(subjects.iter().flat_map(|subject| UserKey::token_names(subject, registrations)).collect())
    }

    /// The sessions that an order names, whenever they began.
    async fn find(&self, end: &UserEnd) -> Result<Reading<Vec<SessionHash>>, StoreError> {
        let mut found = Reading::Current(Vec::new());
        for registration in self.reached_by(end).iter() {
            if let Some(filter) = end.logout(registration) {
                found = found.and(self.store.find_sessions(filter).await?, |all, more| all.extend(more));
            }
            for key in end.keys() {
                // A name in two forms may find one session twice.
                found = found.and(self.store.find_sessions_of_key(registration, key).await?, add_new);
            }
            let EndExtent::SessionOfUser { user, .. } = &end.extent else { continue };
            for key in user {
                let named = self.store.find_sessions_of_key(registration, key).await?;
                let is_current = named.is_current();
                let mut unsaid = Vec::new();
                for hash in named.even_if_old() {
                    if self.store.session(hash).await?.is_some_and(|session| is_unsaid(&session)) {
                        unsaid.push(hash);
                    }
                }
                found = found.and(if is_current { Reading::Current(unsaid) } else { Reading::PerhapsOld(unsaid) }, add_new);
            }
        }
        Ok(found)
    }

    /// How many sessions an order names, whenever they began; while the store is away, of those in memory.
    pub async fn count_known(&self, end: &UserEnd) -> usize {
        if let Ok(found) = self.find(end).await {
            return found.even_if_old().len();
        }
        self.find_in_memory(end).len()
    }

    /// Whether a session that an order names began early enough to be ended.
    async fn is_meant(&self, end: &UserEnd, hash: SessionHash) -> Result<bool, StoreError> {
        let until = match &end.extent {
            EndExtent::Logout { .. } | EndExtent::SessionOfUser { .. } | EndExtent::Everything(_) => Some(end.sessions_until),
            // Everything there is, or only what there was if the user has been let in again.
            EndExtent::LockedOut(_) => self.store.user_ended_at(&end.names(&self.reached_by(end))).await?,
        };
        let Some(until) = until else { return Ok(false) };
        let Some(session) = self.store.session(hash).await? else { return Ok(false) };
        // A personal access token is as old as the login that it comes of.
        let began_at = match &session.token {
            Some(_) => self.store.grant(session.grant).await?.map_or(session.created_at, |grant| grant.created_at),
            None => session.created_at,
        };
        Ok(began_at <= until)
    }

    /// Ends on this replica the sessions that the order names, as far as they are in memory or the store can be read.
    async fn end_known(&self, end: &UserEnd) {
        self.find_in_memory(end).into_iter().for_each(|hash| self.end_one_locally(end.source, hash));
        // What a standby has is better than nothing, until the rest is found in what takes writes.
        for hash in self.find(end).await.map(Reading::even_if_old).unwrap_or_default() {
            if !self.cache.unrecorded().contains(&hash) && self.is_meant(end, hash).await.unwrap_or(false) {
                self.end_one_locally(end.source, hash);
            }
        }
    }

    /// The sessions in memory that an order names.
    fn find_in_memory(&self, end: &UserEnd) -> Vec<SessionHash> {
        let (registrations, is_only) = (self.reached_by(end), self.providers.only().is_some());
        self.cache.find_known(|session, grant| names(end, &registrations, session, grant, is_only))
    }

    pub(super) fn end_one_locally(&self, source: EndSource, hash: SessionHash) {
        if self.wait_for_record(hash, Extent::ByOther(source)).is_err() {
            tracing::warn!(session = hash.short(), "too many session ends wait for the store: this one does not take effect yet");
        }
    }

    /// Records orders until none waits. As soon as the store can be read, the sessions end here that were not in memory when the order
    /// came.
    async fn record_pending_ends(&self) {
        let (mut failures, mut ended) = (0_u32, HashSet::new());
        loop {
            while !self.until_writable_or_read().await {
                for (end, _) in self.pending_ends.waiting() {
                    if ended.insert(name_of(&end)) {
                        self.end_known(&end).await;
                    }
                }
            }
            let mut has_failed = false;
            for (end, at) in self.pending_ends.waiting() {
                match self.record_pending(&end, at).await {
                    Err(error) if !error.is_refusal() => {
                        tracing::debug!(%error, "the end of a user's sessions cannot be recorded yet");
                        has_failed = true;
                        break;
                    }
                    done => {
                        if let Err(error) = done {
                            tracing::error!(%error, "the end of a user's sessions cannot be recorded");
                        }
                        if !self.pending_ends.recorded(&end) {
                            return;
                        }
                    }
                }
            }
            failures = if has_failed { failures.saturating_add(1) } else { 0 };
            if has_failed {
                tokio::time::sleep(back_off(failures, FIRST_PAUSE, MAX_PAUSE)).await;
            }
        }
    }
}

/// Adds what is not there yet.
fn add_new(all: &mut Vec<SessionHash>, more: Vec<SessionHash>) {
    for hash in more {
        if !all.contains(&hash) {
            all.push(hash);
        }
    }
}

/// Whether an order names a session in memory, whose grant is known unless it is not in memory.
fn names(end: &UserEnd, registrations: &Registrations, session: &Session, grant: Option<&Grant>, is_only_provider: bool) -> bool {
    // Providers choose their users' subjects and session identifiers, and two may choose the same.
    let is_of_provider = grant.map_or(is_only_provider, |grant| registrations.include(grant.registration()));
    let is_one_of =
        |keys: &[UserKey]| grant.is_some_and(|grant| UserKey::all_of(&grant.identity).iter().any(|key| keys.contains(key)));
    let is_meant = || match &end.extent {
        EndExtent::Logout { subject, provider_session } => {
            let is_users = |subject: &String| grant.is_some_and(|grant| grant.identity.subject == *subject);
            // As the store finds them: of a user's sessions also one that does not say of which one at the provider it came.
            let is_unsaid = subject.is_some() && is_unsaid(session);
            subject.as_ref().is_none_or(is_users)
                && provider_session.as_deref().is_none_or(|sid| is_unsaid || session.provider_session.as_deref() == Some(sid))
        }
        EndExtent::SessionOfUser { user, provider_session } => {
            session.provider_session.as_deref() == Some(provider_session.as_str()) || (is_unsaid(session) && is_one_of(user))
        }
        EndExtent::Everything(keys) | EndExtent::LockedOut(keys) => is_one_of(keys),
    };
    is_of_provider && session.created_at <= end.sessions_until && is_meant()
}

/// Whether a session does not say of which one at the provider it came, and may be of any. A personal access token outlives them all.
fn is_unsaid(session: &Session) -> bool {
    session.token.is_none() && session.provider_session.is_none()
}
