//! Statements on sessions of several sites that come of one login: those at other sites are handed over from that at the login site.

use tokio_util::sync::CancellationToken;

use crate::{
    client_registration::ClientRegistration,
    grant::GrantId,
    session::{Opener, Session, SessionHash},
    store::{
        HandOver, HandedOver, ReplacedSession, StoreError,
        connection::Connection,
        rows,
        sql::{Sql, Template},
    },
};

use super::logins::User;

/// How often the login of a session is looked for that changes meanwhile.
const MAX_ROOTS: usize = 4;

impl Connection<'_> {
    /// Hands the session `from` over to another site, as `HandedOver::session`. `None`: it has ended, or the client has left, and
    /// nothing was saved.
    ///
    /// Its row is locked until the new one is there: whoever ends a login locks it too, and finds the new session.
    pub(in crate::store) async fn hand_over(
        &mut self,
        from: SessionHash,
        new: &HandedOver,
        left: Option<&CancellationToken>,
    ) -> Result<Option<HandOver>, StoreError> {
        let mut transaction = self.begin().await?;
        let done = transaction.connection().write_hand_over(from, new).await?;
        // As of a login: whoever has left by now keeps the session that the new one would replace.
        let is_awaited = left.is_none_or(|left| !left.is_cancelled());
        if done.is_some() && is_awaited {
            transaction.commit().await?;
            Ok(done)
        } else {
            transaction.rollback().await?;
            Ok(None)
        }
    }

    async fn write_hand_over(&mut self, from: SessionHash, new: &HandedOver) -> Result<Option<HandOver>, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT hash, grant_id, created_at, last_seen, provider_session, site, login, token_expires_at, token FROM sessions \
             WHERE hash = $1 AND token IS NULL{for_update}",
        );
        self.lock_file().await?;
        if let Some(replaced) = new.replaces {
            self.lock_replaced(replaced, Some(from)).await?;
        }
        let Some(row) = self.query(SQL).bind(&from.0[..]).fetch_optional().await? else { return Ok(None) };
        let parent = rows::session_from(&row)?;
        let grant = self
            .query("SELECT issuer, client_id, subject FROM grants WHERE id = $1")
            .bind(&parent.grant.0[..])
            .fetch_one()
            .await?;
        let (issuer, client_id, subject): (String, String, String) =
            (grant.get("issuer")?, grant.get("client_id")?, grant.get("subject")?);
        let registration = ClientRegistration { issuer: &issuer, client_id: &client_id };
        let user = User { registration, subject: &subject };
        let session = Session {
            hash: new.session,
            grant: parent.grant,
            // The absolute limit counts from the login.
            created_at: parent.created_at,
            last_seen: new.at,
            provider_session: parent.provider_session.clone(),
            site: Some(new.site.as_str().into()),
            token: None,
            login: Some(parent.login.unwrap_or(parent.hash)),
        };
        self.insert_session(user, &session, new.replaces, &Opener::default()).await?;
        let replaced = match new.replaces {
            Some(replaced) => self.delete_replaced(user, session.hash, replaced).await?,
            None => Vec::new(),
        };
        Ok(Some(HandOver { session, replaced }))
    }

    /// Takes SQLite's lock on the whole file, which the first write of a transaction takes. A transaction that has read before fails
    /// if another has written meanwhile.
    pub(super) async fn lock_file(&mut self) -> Result<(), StoreError> {
        const SQL: Sql = Sql { postgres: "SELECT 1", sqlite: "DELETE FROM sessions WHERE hash IS NULL" };
        if !self.is_postgres() {
            self.query(SQL).execute().await?;
        }
        Ok(())
    }

    /// Has the sessions that were handed over from a session which a login has replaced go on with that login's `session`, if it is
    /// the same user's, and ends them otherwise. Returns those that go on, and those that have ended.
    ///
    /// They go on as if they had been handed over from it: a late logout at the provider of the session before does not end them.
    pub(super) async fn follow_login(
        &mut self,
        user: User<'_>,
        replaced: SessionHash,
        session: &Session,
    ) -> Result<(Vec<SessionHash>, Vec<ReplacedSession>), StoreError> {
        const END: &Template = &Template::new("DELETE FROM sessions WHERE login = $1 RETURNING {replaced_columns}");
        let moved = self
            .query(
                "UPDATE sessions SET login = $2, grant_id = $3, created_at = $7, provider_session = $8 \
                 WHERE login = $1 AND grant_id IN \
                 (SELECT id FROM grants WHERE issuer = $4 AND client_id = $5 AND subject = $6) RETURNING hash",
            )
            .bind(&replaced.0[..])
            .bind(&session.hash.0[..])
            .bind(&session.grant.0[..])
            .bind(user.registration.issuer)
            .bind(user.registration.client_id)
            .bind(user.subject)
            .bind(session.created_at.0)
            .bind(session.provider_session.as_deref())
            .fetch_all()
            .await?;
        let ended = self.query(END).bind(&replaced.0[..]).fetch_all().await?;
        let moved = moved.iter().map(|row| rows::session_hash_from(row.get("hash")?)).collect::<Result<_, _>>()?;
        Ok((moved, ended.iter().map(rows::replaced_from).collect::<Result<_, _>>()?))
    }

    /// Locks a session and those that were handed over from it, in the order in which last-seen times are written, so that neither
    /// transaction waits for the other.
    pub(super) async fn lock_login(&mut self, root: &[u8]) -> Result<(), StoreError> {
        const SQL: &Template =
            &Template::new("SELECT hash FROM sessions WHERE hash = $1 OR login = $1 ORDER BY hash{for_update}");
        self.query(SQL).bind(root).fetch_all().await?;
        Ok(())
    }

    /// Locks, in the same order, what a session that is `replaced` takes with it: those that were handed over from it, and the one that
    /// another tab has put in its place already, with its own. And `other`, in the same statement.
    pub(super) async fn lock_replaced(&mut self, replaced: SessionHash, other: Option<SessionHash>) -> Result<(), StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT hash FROM sessions WHERE hash IN \
             (SELECT hash FROM sessions WHERE hash = $1 OR hash = $2 OR login = $1 OR follows = $1 \
             UNION ALL SELECT handed_over.hash FROM sessions AS later JOIN sessions AS handed_over \
             ON handed_over.login = later.hash WHERE later.follows = $1) ORDER BY hash{for_update}",
        );
        self.query(SQL).bind(&replaced.0[..]).bind(other.map(|hash| hash.0.to_vec())).fetch_all().await?;
        Ok(())
    }

    /// Deletes all sessions of the login that a session comes of, and returns each with its grant. The rows are locked before.
    pub(super) async fn delete_login(&mut self, hash: SessionHash) -> Result<Vec<(SessionHash, GrantId)>, StoreError> {
        self.lock_file().await?;
        let mut root = Vec::new();
        // A login may replace the one that it comes of while the lock is waited for.
        for _ in 0..MAX_ROOTS {
            let row = self.query("SELECT login FROM sessions WHERE hash = $1").bind(&hash.0[..]).fetch_optional().await?;
            let Some(row) = row else { return Ok(Vec::new()) };
            let found = row.get::<Option<Vec<u8>>>("login")?.unwrap_or_else(|| hash.0.to_vec());
            if found == root {
                break;
            }
            self.lock_login(&found).await?;
            root = found;
        }
        // A statement of its own, which sees what a hand-over has committed while the lock was waited for.
        let rows = self
            .query("DELETE FROM sessions WHERE hash = $1 OR login = $1 OR hash = $2 RETURNING hash, grant_id")
            .bind(root)
            .bind(&hash.0[..])
            .fetch_all()
            .await?;
        rows.iter().map(|row| Ok((rows::session_hash_from(row.get("hash")?)?, rows::grant_from(row.get("grant_id")?)?))).collect()
    }
}
