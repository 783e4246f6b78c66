//! Saves a login: its grant, and the session that it is for, in one transaction.

use tokio_util::sync::CancellationToken;

use crate::{
    client_registration::ClientRegistration,
    clock::{Timestamp, millis},
    grant::GrantId,
    seal::KeyRing,
    session::{Opener, Session, SessionHash},
    store::{
        LoginSaved, LoginTarget, NewGrant, ReplacedSession, Sharing, StoreError, connection::Connection, rows,
        sealing::SealedTokens, sql::Template,
    },
};

/// A login that is to be saved.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Login<'a> {
    pub(in crate::store) grant: &'a NewGrant,
    /// The grant's identity as it is stored.
    pub(in crate::store) identity: &'a str,
    pub(in crate::store) sealed: &'a SealedTokens,
    pub(in crate::store) sharing: Sharing,
    /// The keys that tokens can be read with.
    pub(in crate::store) keys: &'a KeyRing,
    pub(in crate::store) at: Timestamp,
}

/// Whose session it is, as a grant names them.
#[derive(Clone, Copy, Debug)]
pub(super) struct User<'a> {
    pub(super) registration: ClientRegistration<'a>,
    pub(super) subject: &'a str,
}

impl<'a> User<'a> {
    fn of(grant: &'a NewGrant) -> Self {
        Self { registration: grant.registration(), subject: &grant.identity.subject }
    }
}

impl Connection<'_> {
    /// Saves a login and returns what it became, with the sessions of other browsers that moved to its grant. `None`: the
    /// session that it was for has ended, or its client has left, and nothing was saved.
    pub(in crate::store) async fn save_login(
        &mut self,
        login: Login<'_>,
        target: &LoginTarget,
        left: Option<&CancellationToken>,
    ) -> Result<Option<(LoginSaved, Vec<SessionHash>)>, StoreError> {
        let mut transaction = self.begin().await?;
        let saved = transaction.connection().write_login(login, target).await?;
        // Asked after everything that waits for a lock: whoever has left by now keeps the session that the new one would replace.
        let is_awaited = left.is_none_or(|left| !left.is_cancelled());
        if saved.is_some() && is_awaited {
            transaction.commit().await?;
            Ok(saved)
        } else {
            transaction.rollback().await?;
            Ok(None)
        }
    }

    /// Writes a login within a transaction, which is to be rolled back after `None`.
    async fn write_login(
        &mut self,
        login: Login<'_>,
        target: &LoginTarget,
    ) -> Result<Option<(LoginSaved, Vec<SessionHash>)>, StoreError> {
        self.lock_file().await?;
        let mut has_token = login.sealed.refresh.is_some();
        let mut overtaken_by = None;
        if let Sharing::Shared { since_code } = login.sharing {
            self.lock_user(login.grant).await?;
            // A code that was presented after this login's has ended its token, though that login was saved before.
            if has_token {
                overtaken_by = self.overtaken_by(login.grant, since_code).await?;
            }
            has_token = has_token && overtaken_by.is_none();
        }
        let joined = if has_token { None } else { self.join_grant(login, target, overtaken_by).await? };
        let grant = joined.unwrap_or(login.grant.id);
        if joined.is_none() {
            self.insert_grant(login).await?;
        }
        let tokens = if has_token { self.move_tokens(login, target, grant).await? } else { Vec::new() };
        let user = User::of(login.grant);
        let (session, replaced, mut followers) = match target {
            LoginTarget::New { session, replaces } => {
                let provider_session = login.grant.provider_session.as_deref().map(Box::from);
                let session = Session { grant, provider_session, ..session.clone() };
                self.insert_session(user, &session, *replaces, &login.grant.opener).await?;
                let (mut gone, mut followers) = (Vec::new(), Vec::new());
                if let Some(before) = *replaces {
                    self.lock_replaced(before, None).await?;
                    gone = self.delete_replaced(user, session.hash, before).await?;
                    // Another tab may have replaced it before, and its session may have been handed over already.
                    let others = gone.iter().map(|gone| gone.session.hash).filter(|hash| *hash != before);
                    for replaced in others.chain([before]).collect::<Vec<_>>() {
                        let (moved, ended) = self.follow_login(user, replaced, &session).await?;
                        followers.extend(moved);
                        gone.extend(ended);
                    }
                }
                (session.hash, gone, followers)
            }
            LoginTarget::Existing(hash) => {
                let moved = self.move_session(login, *hash, grant).await?;
                if !moved.contains(hash) {
                    return Ok(None);
                }
                (*hash, Vec::new(), moved)
            }
        };
        if has_token && let Sharing::Shared { since_code } = login.sharing {
            followers.extend(self.take_sessions_over(login.grant, since_code).await?);
        }
        followers.extend(tokens);
        Ok(Some((LoginSaved { session, grant, renewable: joined.is_some() || has_token, replaced }, followers)))
    }

    /// The grant that a login without a refresh token joins: the user's, where the provider keeps one for all logins, or that of
    /// the session that goes on. A grant with a refresh token is worth more than a new one without, unless the provider refuses that
    /// token, or it was encrypted with a key that is missing: the login's own access token would be lost for a grant that cannot serve.
    ///
    /// A login that was overtaken joins that grant and no other: of all others the provider has ended the token. Where none has overtaken
    /// it, the one that has the user's sessions counts, because each login with a token has taken them over.
    async fn join_grant(
        &mut self,
        login: Login<'_>,
        target: &LoginTarget,
        overtaken_by: Option<GrantId>,
    ) -> Result<Option<GrantId>, StoreError> {
        let continued = match target {
            LoginTarget::Existing(hash) => Some(hash.0.to_vec()),
            LoginTarget::New { .. } => None,
        };
        let candidates = self
            .query(
                "SELECT id, refresh_token FROM grants WHERE issuer = $1 AND client_id = $2 AND subject = $3 \
                 AND ended_reason IS NULL AND refused_code IS NULL AND refresh_token IS NOT NULL \
                 AND ($4 OR id = (SELECT grant_id FROM sessions WHERE hash = $5)) AND ($6 IS NULL OR id = $6) \
                 ORDER BY EXISTS (SELECT 1 FROM sessions WHERE grant_id = grants.id) DESC, renewed_at DESC",
            )
            .bind(&login.grant.issuer)
            .bind(&login.grant.client_id)
            .bind(&login.grant.identity.subject)
            .bind(matches!(login.sharing, Sharing::Shared { .. }))
            .bind(continued)
            .bind(overtaken_by.map(|grant| grant.0.to_vec()))
            .fetch_all()
            .await?;
        for row in candidates {
            let sealed: Vec<u8> = row.get("refresh_token")?;
            if KeyRing::key_of(&sealed).is_some_and(|key| login.keys.has(key)) {
                return self.join(login, rows::grant_from(row.get("id")?)?).await;
            }
        }
        Ok(None)
    }

    /// Gives a grant the identity of a login that joins it. `None`: it has ended meanwhile.
    async fn join(&mut self, login: Login<'_>, grant: GrantId) -> Result<Option<GrantId>, StoreError> {
        let joined = self
            .query("UPDATE grants SET identity = $2, fingerprint = $3 WHERE id = $1 AND ended_reason IS NULL")
            .bind(&grant.0[..])
            .bind(login.identity)
            .bind(login.grant.fingerprint.as_str())
            .execute()
            .await?;
        Ok((joined > 0).then_some(grant))
    }

    pub(super) async fn insert_grant(&mut self, login: Login<'_>) -> Result<(), StoreError> {
        let Login { grant, identity, sealed, at, .. } = login;
        const SQL: &Template = &Template::new(
            "INSERT INTO grants (id, issuer, client_id, subject, identity, scopes, fingerprint, access_token, \
             refresh_token, id_token, expires_at, lifetime, created_at, renewed_at, rotation, refresh_until, \
             refresh_life, provider_session, code_presented_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, 'unknown', $14, $15, $16, {now} - $17)",
        );
        let presented_ago = match login.sharing {
            Sharing::Shared { since_code } => Some(millis(since_code.elapsed())),
            Sharing::Own => None,
        };
        self.query(SQL)
            .bind(&grant.id.0[..])
            .bind(&grant.issuer)
            .bind(&grant.client_id)
            .bind(&grant.identity.subject)
            .bind(identity)
            .bind(&grant.scopes)
            .bind(grant.fingerprint.as_str())
            .bind(&sealed.access)
            .bind(sealed.refresh.as_ref())
            .bind(sealed.id.as_ref())
            .bind(grant.tokens.expires_at.0)
            .bind(millis(grant.tokens.lifetime))
            .bind(at.0)
            .bind(grant.tokens.refresh_life.map(|life| at.plus(life).0))
            .bind(grant.tokens.refresh_life.map(millis))
            .bind(grant.provider_session.as_ref())
            .bind(presented_ago)
            .execute()
            .await?;
        Ok(())
    }

    /// Inserts the new session. It follows the one that it replaces only if that was the same user's.
    pub(super) async fn insert_session(
        &mut self,
        user: User<'_>,
        session: &Session,
        replaces: Option<SessionHash>,
        opener: &Opener,
    ) -> Result<(), StoreError> {
        self.query(
            "INSERT INTO sessions (hash, grant_id, created_at, last_seen, provider_session, site, login, browser, address, follows) \
             VALUES ($1, $2, $3, $4, $5, $10, $11, $12, $13, (SELECT sessions.hash FROM sessions JOIN grants ON grants.id = grant_id \
             WHERE (sessions.hash = $6 OR follows = $6) AND issuer = $7 AND client_id = $8 AND subject = $9 LIMIT 1))",
        )
        .bind(&session.hash.0[..])
        .bind(&session.grant.0[..])
        .bind(session.created_at.0)
        .bind(session.last_seen.0)
        .bind(session.provider_session.as_deref())
        .bind(replaces.map(|hash| hash.0.to_vec()))
        .bind(user.registration.issuer)
        .bind(user.registration.client_id)
        .bind(user.subject)
        .bind(session.site.as_deref())
        .bind(session.login.map(|hash| hash.0.to_vec()))
        .bind(opener.browser.as_deref())
        .bind(opener.address.map(|address| address.to_string()))
        .execute()
        .await?;
        Ok(())
    }

    /// Deletes the session that `session` replaces, and returns what was deleted.
    ///
    /// Of two tabs that come back with one cookie, the second finds the session that the first has made in its place.
    pub(super) async fn delete_replaced(
        &mut self,
        user: User<'_>,
        session: SessionHash,
        replaced: SessionHash,
    ) -> Result<Vec<ReplacedSession>, StoreError> {
        const SQL: &Template = &Template::new(
            "DELETE FROM sessions WHERE hash <> $2 AND (hash = $1 OR (follows = $1 AND grant_id IN \
             (SELECT id FROM grants WHERE issuer = $3 AND client_id = $4 AND subject = $5))) RETURNING {replaced_columns}",
        );
        let deleted = self
            .query(SQL)
            .bind(&replaced.0[..])
            .bind(&session.0[..])
            .bind(user.registration.issuer)
            .bind(user.registration.client_id)
            .bind(user.subject)
            .fetch_all()
            .await?;
        deleted.iter().map(rows::replaced_from).collect()
    }

    /// Points a session, and those that were handed over from it, to the login's grant. Returns them: without itself, if it has ended.
    async fn move_session(
        &mut self,
        login: Login<'_>,
        hash: SessionHash,
        grant: GrantId,
    ) -> Result<Vec<SessionHash>, StoreError> {
        self.lock_login(&hash.0).await?;
        let moved = self
            .query(
                "UPDATE sessions SET grant_id = $2, last_seen = $3, provider_session = COALESCE($4, provider_session) \
                 WHERE hash = $1 OR login = $1 RETURNING hash",
            )
            .bind(&hash.0[..])
            .bind(&grant.0[..])
            .bind(login.at.0)
            .bind(login.grant.provider_session.as_ref())
            .fetch_all()
            .await?;
        moved.iter().map(|row| rows::session_hash_from(row.get("hash")?)).collect()
    }

    /// Points the personal access tokens that have the grant of the browser's present session to its next one: they were made in it,
    /// and what it loses by a lost response or by other settings, they would too. Those of a grant that is dead stay dead.
    async fn move_tokens(
        &mut self,
        login: Login<'_>,
        target: &LoginTarget,
        grant: GrantId,
    ) -> Result<Vec<SessionHash>, StoreError> {
        let before = match target {
            LoginTarget::Existing(hash) => Some(*hash),
            LoginTarget::New { replaces, .. } => *replaces,
        };
        let Some(before) = before else { return Ok(Vec::new()) };
        // Locked in the order in which last-seen times are written.
        const SQL: &Template = &Template::new(
            "UPDATE sessions SET grant_id = $1 WHERE hash IN (SELECT hash FROM sessions WHERE token IS NOT NULL \
             AND grant_id = (SELECT id FROM grants WHERE id = (SELECT grant_id FROM sessions WHERE hash = $2) \
             AND issuer = $3 AND client_id = $4 AND subject = $5 AND id <> $1 \
             AND {may_go_on}) ORDER BY hash{for_update}) RETURNING hash",
        );
        let mut moved = Vec::new();
        for client_id in std::iter::once(&login.grant.client_id).chain(&login.grant.former_clients) {
            let rows = self
                .query(SQL)
                .bind(&grant.0[..])
                .bind(&before.0[..])
                .bind(&login.grant.issuer)
                .bind(client_id)
                .bind(&login.grant.identity.subject)
                .fetch_all()
                .await?;
            for row in &rows {
                moved.push(rows::session_hash_from(row.get("hash")?)?);
            }
        }
        Ok(moved)
    }
}
