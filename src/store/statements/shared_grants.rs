//! Statements on grants where the provider keeps one refresh token for all logins of a user: that of the code that was presented last.

use std::time::Duration;

use crate::{
    clock::{Stopwatch, millis},
    grant::GrantId,
    session::SessionHash,
    store::{NewGrant, StoreError, connection::Connection, rows, sql::Template},
};

use super::logins::Login;

/// By how much the provider may hear of a refresh token after a code that was presented later.
const MAX_PASSING: Duration = Duration::from_secs(1);

impl Connection<'_> {
    /// Saves the grant of a login that becomes no session, for the user's other sessions, and returns those: the provider has ended
    /// their grants by it. Where there are none, or a later code has ended this login's token too, nothing is saved.
    pub(in crate::store) async fn pass_login_on(
        &mut self,
        login: Login<'_>,
        since_code: Stopwatch,
    ) -> Result<Vec<SessionHash>, StoreError> {
        let mut transaction = self.begin().await?;
        let moved = transaction.connection().write_passed_on(login, since_code).await?;
        if moved.is_empty() {
            transaction.rollback().await?;
        } else {
            transaction.commit().await?;
        }
        Ok(moved)
    }

    async fn write_passed_on(&mut self, login: Login<'_>, since_code: Stopwatch) -> Result<Vec<SessionHash>, StoreError> {
        self.lock_file().await?;
        self.lock_user(login.grant).await?;
        if login.sealed.refresh.is_none() || self.overtaken_by(login.grant, since_code).await?.is_some() {
            return Ok(Vec::new());
        }
        self.insert_grant(login).await?;
        self.take_sessions_over(login.grant, since_code).await
    }

    /// Makes the logins of one user take turns, so that none misses the grant of another.
    ///
    /// The user's sessions are locked in the order in which last-seen times are written, so that neither transaction waits for
    /// the other.
    pub(super) async fn lock_user(&mut self, grant: &NewGrant) -> Result<(), StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT sessions.hash FROM sessions WHERE grant_id IN (SELECT id FROM grants \
             WHERE issuer = $1 AND client_id = $2 AND subject = $3) ORDER BY hash{for_update}",
        );
        // SQLite has one lock for the whole file, which the first write takes.
        if self.is_postgres() {
            self.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                .bind(format!("{} {} {}", grant.issuer, grant.client_id, grant.identity.subject))
                .execute()
                .await?;
        }
        self.query(SQL).bind(&grant.issuer).bind(&grant.client_id).bind(&grant.identity.subject).fetch_all().await?;
        Ok(())
    }

    /// The grant of the login of the user that presented its code last, if that was later than this one: its token is alive, however
    /// often it was renewed since. The wait for the user's lock is a part of the time since.
    ///
    /// A time that lies in the future of the database's clock was written before that was set back, and says nothing.
    pub(super) async fn overtaken_by(&mut self, grant: &NewGrant, since_code: Stopwatch) -> Result<Option<GrantId>, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT id FROM grants WHERE issuer = $1 AND client_id = $2 AND subject = $3 AND id <> $4 \
             AND ended_reason IS NULL AND refresh_token IS NOT NULL AND code_presented_at > {now} - $5 \
             AND code_presented_at <= {now} ORDER BY code_presented_at DESC LIMIT 1",
        );
        let last = self
            .query(SQL)
            .bind(&grant.issuer)
            .bind(&grant.client_id)
            .bind(&grant.identity.subject)
            .bind(&grant.id.0[..])
            .bind(millis(since_code.elapsed()))
            .fetch_optional()
            .await?;
        last.map(|row| rows::grant_from(row.get("id")?)).transpose()
    }

    /// Points the user's other sessions to the new grant, because the provider has ended their grants by this login.
    ///
    /// A session whose grant had ended before is left: a login elsewhere does not bring it back to life. One whose refresh token was
    /// refused since the login's code was presented ended by this login.
    pub(super) async fn take_sessions_over(
        &mut self,
        grant: &NewGrant,
        since_code: Stopwatch,
    ) -> Result<Vec<SessionHash>, StoreError> {
        const SQL: &Template = &Template::new(
            "UPDATE sessions SET grant_id = $1 WHERE grant_id IN (SELECT id FROM grants \
             WHERE issuer = $2 AND client_id = $3 AND subject = $4 AND id <> $1 \
             AND ({may_go_on} \
             OR (ended_reason = 'dead' AND presented_at >= {now} - $5))) RETURNING hash",
        );
        let rows = self
            .query(SQL)
            .bind(&grant.id.0[..])
            .bind(&grant.issuer)
            .bind(&grant.client_id)
            .bind(&grant.identity.subject)
            .bind(millis(since_code.elapsed().saturating_add(MAX_PASSING)))
            .fetch_all()
            .await?;
        rows.iter().map(|row| rows::session_hash_from(row.get("hash")?)).collect()
    }
}
