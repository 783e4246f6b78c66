//! Logins and sessions.

use tokio_util::sync::CancellationToken;

use super::Store;
use crate::{
    clock::{Stopwatch, Timestamp},
    reading::Reading,
    session::{Session, SessionHash},
    store::{
        Change, EndedSession, HandOver, HandedOver, LoginSaved, LoginTarget, NewGrant, ReplacedSession, SessionFilter, Sharing,
        StoreError,
        operation::{Read, Write},
        rows,
        sealing::{self, SealedTokens},
        statements::{Login, TokenFate},
    },
};

impl Store {
    /// Saves a login: its grant, and the session that it is for. `None`: that session has ended meanwhile, and nothing was
    /// saved.
    ///
    /// A login without a refresh token may join the user's grant instead of saving its own; see [`Sharing`].
    ///
    /// # Errors
    /// Nothing was saved, unless the error is [`StoreError::Commit`] or [`StoreError::TimedOut`].
    pub async fn save_login(
        &self,
        grant: &NewGrant,
        target: &LoginTarget,
        sharing: Sharing,
        at: Timestamp,
    ) -> Result<Option<LoginSaved>, StoreError> {
        self.save_login_of_client(grant, target, sharing, at, None).await
    }

    /// Saves a login as [`Store::save_login`] does, unless `left` is cancelled before it is committed. `None`: its client has left, or
    /// the session that it was for has ended, and nothing was saved.
    ///
    /// # Errors
    /// Nothing was saved, unless the error is [`StoreError::Commit`] or [`StoreError::TimedOut`].
    pub async fn save_login_of_client(
        &self,
        grant: &NewGrant,
        target: &LoginTarget,
        sharing: Sharing,
        at: Timestamp,
        left: Option<&CancellationToken>,
    ) -> Result<Option<LoginSaved>, StoreError> {
        let sealed = SealedTokens::seal(&self.keys, grant.id, &grant.tokens)?;
        let identity = rows::identity_to_text(&grant.identity)?;
        let login = Login { grant, identity: &identity, sealed: &sealed, sharing, keys: &self.keys, at };
        let saved = self.write(Write::SaveLogin, |connection| Box::pin(connection.save_login(login, target, left))).await?;
        let Some((saved, taken_over)) = saved else { return Ok(None) };
        self.ended_by_another(&saved.replaced);
        match target {
            LoginTarget::New { replaces, .. } => replaces.iter().for_each(|hash| self.announce(Change::Session(*hash))),
            LoginTarget::Existing(hash) => self.announce(Change::Session(*hash)),
        }
        taken_over.into_iter().for_each(|hash| self.announce(Change::Session(hash)));
        if saved.grant != grant.id {
            self.announce(Change::Grant(saved.grant));
        }
        Ok(Some(saved))
    }

    /// Gives the tokens of a login that becomes no session to the user's other sessions, where the provider keeps one refresh token for
    /// all logins, and has ended theirs when this login's code was presented, since when `since_code` runs. `false`: there are none, or
    /// a later code has ended this login's token too, and nothing was saved.
    ///
    /// # Errors
    /// Nothing was saved, unless the error is [`StoreError::Commit`] or [`StoreError::TimedOut`].
    pub async fn pass_login_on(&self, grant: &NewGrant, since_code: Stopwatch, at: Timestamp) -> Result<bool, StoreError> {
        let sealed = SealedTokens::seal(&self.keys, grant.id, &grant.tokens)?;
        let identity = rows::identity_to_text(&grant.identity)?;
        let sharing = Sharing::Shared { since_code };
        let login = Login { grant, identity: &identity, sealed: &sealed, sharing, keys: &self.keys, at };
        let moved = self.write(Write::SaveLogin, |connection| Box::pin(connection.pass_login_on(login, since_code))).await?;
        let is_passed_on = !moved.is_empty();
        moved.into_iter().for_each(|hash| self.announce(Change::Session(hash)));
        Ok(is_passed_on)
    }

    /// Hands the session `from` over to another site. `None`: it has ended, and nothing was saved.
    ///
    /// # Errors
    /// Nothing was saved, unless the error is [`StoreError::Commit`] or [`StoreError::TimedOut`].
    pub async fn hand_over(&self, from: SessionHash, new: &HandedOver) -> Result<Option<HandOver>, StoreError> {
        self.hand_over_to_client(from, new, None).await
    }

    /// Hands a session over as [`Store::hand_over`] does, unless `left` is cancelled before that is committed. `None`: its client has
    /// left, or the session has ended, and nothing was saved.
    ///
    /// # Errors
    /// Nothing was saved, unless the error is [`StoreError::Commit`] or [`StoreError::TimedOut`].
    pub async fn hand_over_to_client(
        &self,
        from: SessionHash,
        new: &HandedOver,
        left: Option<&CancellationToken>,
    ) -> Result<Option<HandOver>, StoreError> {
        let done = self.write(Write::HandOver, |connection| Box::pin(connection.hand_over(from, new, left))).await?;
        if let Some(done) = &done {
            self.ended_by_another(&done.replaced);
        }
        Ok(done)
    }

    fn ended_by_another(&self, replaced: &[ReplacedSession]) {
        for ReplacedSession { session, .. } in replaced {
            self.committed.session_ended(session.hash);
            self.announce(Change::Session(session.hash));
        }
    }

    /// Reads a session, even if the row is old, as one of a standby may be.
    ///
    /// # Errors
    /// Those of [`Store::look_up_session`].
    pub async fn session(&self, hash: SessionHash) -> Result<Option<Session>, StoreError> {
        Ok(self.look_up_session(hash).await?.map(Reading::even_if_old))
    }

    /// Reads a session. One that has ended, as far as this replica has heard, is none, though a standby may have it still.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`]; [`StoreError::Standby`] also where it has been heard that the session has
    /// ended or changed, and not which.
    pub async fn look_up_session(&self, hash: SessionHash) -> Result<Option<Reading<Session>>, StoreError> {
        let read = self.read(Read::Session, |connection| Box::pin(connection.session(hash))).await?;
        if !read.is_current() {
            if self.committed.has_ended(&hash) {
                return Ok(None);
            }
            if self.rollbacks.is_in_doubt(&hash) {
                return Err(StoreError::Standby);
            }
        }
        read.found()
    }

    /// Reads the session that replaced this one when its user logged in again in the same browser.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn successor(&self, hash: SessionHash) -> Result<Option<Session>, StoreError> {
        self.read(Read::Successor, |connection| Box::pin(connection.successor(hash))).await?.found_even_if_old()
    }

    /// Finds the sessions of a user, or of a session at the provider.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn find_sessions(&self, filter: SessionFilter<'_>) -> Result<Reading<Vec<SessionHash>>, StoreError> {
        self.read(Read::FindSessions, |connection| Box::pin(connection.find_sessions(filter))).await
    }

    /// Writes when sessions were last seen. A time that is stored never goes backwards.
    ///
    /// # Errors
    /// Some may have been written; writing them again is safe.
    pub async fn touch_sessions(&self, seen: &[(SessionHash, Timestamp)]) -> Result<(), StoreError> {
        self.write(Write::TouchSessions, |connection| Box::pin(connection.touch_sessions(seen))).await
    }

    /// Ends a session and the others of its login, and with the last session of a grant the grant.
    ///
    /// # Errors
    /// Whether the session ended is unknown, unless [`StoreError::nothing_was_written`].
    pub async fn end_session(&self, hash: SessionHash) -> Result<Option<EndedSession>, StoreError> {
        let ended = self.end(hash, TokenFate::Revoked).await;
        self.revocations.notify_one();
        ended
    }

    /// Waits until a session has ended here whose refresh token is to be revoked.
    pub async fn session_ended(&self) {
        self.revocations.notified().await;
    }

    /// Records a logout that has ended a session: in the log, in the metrics, and in the history by who had it ended.
    pub fn record_logout(&self, hash: SessionHash, ended: &EndedSession, by: &'static str, at: Timestamp) {
        self.metrics.logout();
        tracing::info!(session = hash.short(), by, "logged out");
        ended.events(hash, by, at).for_each(|event| self.enqueue_event(event));
    }

    /// Ends a session as [`Store::end_session`] does, but leaves the refresh token alone at the provider.
    ///
    /// # Errors
    /// Whether the session ended is unknown, unless [`StoreError::nothing_was_written`].
    pub async fn end_session_without_revocation(&self, hash: SessionHash) -> Result<Option<EndedSession>, StoreError> {
        self.end(hash, TokenFate::Left).await
    }

    async fn end(&self, hash: SessionHash, fate: TokenFate) -> Result<Option<EndedSession>, StoreError> {
        let ended = self.write(Write::EndSession, |connection| Box::pin(connection.end_session(hash, fate))).await?;
        let Some(ended) = ended else { return Ok(None) };
        self.committed.session_ended(hash);
        self.announce(Change::Session(hash));
        self.announce(Change::Grant(ended.grant));
        for (other, grant) in &ended.others {
            self.committed.session_ended(*other);
            self.announce(Change::Session(*other));
            if *grant != ended.grant {
                self.announce(Change::Grant(*grant));
            }
        }
        // An ID token that cannot be decrypted any more prevents no logout.
        let open = |sealed: Vec<u8>| sealing::open(&self.keys, "id_token", ended.grant, &sealed).ok();
        Ok(Some(EndedSession {
            grant: ended.grant,
            issuer: ended.issuer,
            client_id: ended.client_id,
            // It has ended, whoever's it was.
            identity: rows::identity_from(&ended.identity).unwrap_or_default(),
            id_token: ended.id_token.and_then(open),
            others: ended.others,
        }))
    }

    /// Announces within this process alone that a session has ended whose row is still there.
    pub fn announce_end(&self, hash: SessionHash) {
        self.announce(Change::Session(hash));
    }
}
