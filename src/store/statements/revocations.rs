//! Statements on refresh tokens that wait for their revocation at the provider.

use std::time::Duration;

use crate::{
    client_registration::ClientRegistration,
    clock::millis,
    grant::GrantId,
    session::SessionHash,
    store::{SessionFilter, StoreError, connection::Connection, rows, sql::Template},
};

/// A revocation as it is enqueued.
#[derive(Debug)]
pub(in crate::store) struct NewRevocation {
    pub(in crate::store) id: Vec<u8>,
    pub(in crate::store) grant: GrantId,
    pub(in crate::store) session: Option<String>,
    pub(in crate::store) issuer: String,
    pub(in crate::store) client_id: String,
    pub(in crate::store) subject: String,
    pub(in crate::store) provider_session: Option<String>,
    pub(in crate::store) identity: String,
    pub(in crate::store) reason: String,
    /// Whether it is dropped where it would end another grant.
    pub(in crate::store) sparing: bool,
    /// The pause before the first try.
    pub(in crate::store) after: Duration,
}

/// A revocation that is due, as it is stored.
#[derive(Debug)]
pub(in crate::store) struct DueRevocation {
    pub(in crate::store) id: Vec<u8>,
    pub(in crate::store) grant: GrantId,
    pub(in crate::store) session: Option<String>,
    pub(in crate::store) subject: String,
    pub(in crate::store) provider_session: Option<String>,
    pub(in crate::store) identity: String,
    pub(in crate::store) sealed: Vec<u8>,
    pub(in crate::store) reason: String,
    pub(in crate::store) sparing: bool,
    pub(in crate::store) tries: i32,
    pub(in crate::store) expired: bool,
}

/// The pause before a grant is revoked that nobody asked to end: its user may be about to come back with the session at the
/// provider that the revocation would end.
const UNREQUESTED_DELAY: Duration = Duration::from_secs(60);

/// What becomes at the provider of the refresh token of a grant that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum TokenFate {
    /// It is revoked.
    Revoked,
    /// It is forgotten here, and left to the provider: whoever asked for the end has not proved who they are.
    Left,
}

impl Connection<'_> {
    /// Deletes a grant if no session points to it, and enqueues the revocation of its refresh token. `ended_by` is the session
    /// whose end was the grant's; `None`: nobody asked for the grant's end.
    pub(in crate::store) async fn delete_unused_grant(
        &mut self,
        id: GrantId,
        ended_by: Option<SessionHash>,
        fate: TokenFate,
    ) -> Result<bool, StoreError> {
        let gone = self
            .query(
                "DELETE FROM grants WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM sessions WHERE grant_id = grants.id) \
                 RETURNING issuer, client_id, subject, provider_session, identity, refresh_token, refresh_until",
            )
            .bind(&id.0[..])
            .fetch_all()
            .await?;
        let Some(row) = gone.first() else { return Ok(false) };
        if let (Some(token), TokenFate::Revoked) = (row.get::<Option<Vec<u8>>>("refresh_token")?, fate) {
            let revocation = NewRevocation {
                id: id.0.to_vec(),
                grant: id,
                session: ended_by.map(|hash| hash.short()),
                issuer: row.get("issuer")?,
                client_id: row.get("client_id")?,
                subject: row.get("subject")?,
                provider_session: row.get("provider_session")?,
                identity: row.get("identity")?,
                reason: if ended_by.is_some() { "" } else { "left" }.to_owned(),
                sparing: ended_by.is_none(),
                after: if ended_by.is_some() { Duration::ZERO } else { UNREQUESTED_DELAY },
            };
            self.enqueue_revocation(&revocation, &token, row.get("refresh_until")?).await?;
        }
        Ok(true)
    }

    /// Enqueues a token to be revoked, until it expires.
    pub(in crate::store) async fn enqueue_revocation(
        &mut self,
        revocation: &NewRevocation,
        sealed: &[u8],
        until: Option<i64>,
    ) -> Result<(), StoreError> {
        const SQL: &Template = &Template::new(
            "INSERT INTO revocations (id, grant_id, session, issuer, client_id, subject, provider_session, identity, \
             refresh_token, reason, sparing, tries, due_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $12, 0, \
             {now} + $13, COALESCE($11, {now} + 2592000000)) \
             ON CONFLICT (id) DO NOTHING",
        );
        self.query(SQL)
            .bind(&revocation.id)
            .bind(&revocation.grant.0[..])
            .bind(revocation.session.as_ref())
            .bind(&revocation.issuer)
            .bind(&revocation.client_id)
            .bind(&revocation.subject)
            .bind(revocation.provider_session.as_ref())
            .bind(&revocation.identity)
            .bind(sealed)
            .bind(&revocation.reason)
            .bind(until)
            .bind(revocation.sparing)
            .bind(millis(revocation.after))
            .execute()
            .await?;
        Ok(())
    }

    /// Claims the next revocation that is due, for `lease`, after which another replica may try: logouts by users come first.
    pub(in crate::store) async fn claim_revocation(
        &mut self,
        registration: ClientRegistration<'_>,
        lease: Duration,
    ) -> Result<Option<DueRevocation>, StoreError> {
        const SQL: &Template = &Template::new(
            "UPDATE revocations SET tries = tries + 1, due_at = {now} + $3 WHERE id IN (SELECT id FROM revocations \
             WHERE issuer = $1 AND client_id = $2 AND due_at <= (SELECT {now}) \
             ORDER BY sparing, tries, due_at LIMIT 1{for_update}) \
             RETURNING id, grant_id, session, subject, provider_session, identity, refresh_token, reason, sparing, \
             tries, CASE WHEN expires_at <= {now} THEN 1 ELSE 0 END AS expired",
        );
        // `fetch_all`, because SQLite commits after the last row.
        let rows = self.query(SQL).bind(registration.issuer).bind(registration.client_id).bind(millis(lease)).fetch_all().await?;
        rows.first()
            .map(|row| {
                Ok(DueRevocation {
                    id: row.get("id")?,
                    grant: rows::grant_from(row.get("grant_id")?)?,
                    session: row.get("session")?,
                    subject: row.get("subject")?,
                    provider_session: row.get("provider_session")?,
                    identity: row.get("identity")?,
                    sealed: row.get("refresh_token")?,
                    reason: row.get("reason")?,
                    sparing: row.get("sparing")?,
                    tries: row.get("tries")?,
                    expired: row.get::<i32>("expired")? != 0,
                })
            })
            .transpose()
    }

    /// Whether a grant of this user that may go on has a session: any, or one that may belong to the same session at the provider. One that
    /// is in its remaining use counts: its user is served, and needs the session at the provider to come back by.
    pub(in crate::store) async fn has_grant_in_use(
        &mut self,
        filter: SessionFilter<'_>,
        by_any: bool,
    ) -> Result<bool, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT 1 AS one FROM grants JOIN sessions ON sessions.grant_id = grants.id \
             WHERE issuer = $1 AND client_id = $2 AND subject = $3 AND {may_go_on} \
             AND ($4 OR $5 IS NULL OR sessions.provider_session IS NULL OR sessions.provider_session = $5) LIMIT 1",
        );
        let found = self
            .query(SQL)
            .bind(filter.registration.issuer)
            .bind(filter.registration.client_id)
            .bind(filter.subject)
            .bind(by_any)
            .bind(filter.provider_session)
            .fetch_optional()
            .await?;
        Ok(found.is_some())
    }

    /// Whether a revocation for a request is due for this grant's token, or was.
    pub(in crate::store) async fn end_was_requested(&mut self, grant: GrantId) -> Result<bool, StoreError> {
        // Nobody's request has a reason of its own; see `delete_unused_grant`, which also names the revocation after the grant.
        const SQL: &str = "SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM revocations WHERE id = $1 AND NOT sparing) \
             OR EXISTS (SELECT 1 FROM events WHERE grant_id = $1 AND kind = 'revocation' AND reason = '')";
        Ok(self.query(SQL).bind(&grant.0[..]).fetch_optional().await?.is_some())
    }

    pub(in crate::store) async fn request_revocation(&mut self, id: &[u8]) -> Result<(), StoreError> {
        const SQL: &Template = &Template::new("UPDATE revocations SET sparing = FALSE, due_at = {now} WHERE id = $1 AND sparing");
        self.query(SQL).bind(id).execute().await?;
        Ok(())
    }

    pub(in crate::store) async fn delete_revocation(&mut self, id: &[u8]) -> Result<(), StoreError> {
        self.query("DELETE FROM revocations WHERE id = $1").bind(id).execute().await?;
        Ok(())
    }

    pub(in crate::store) async fn postpone_revocation(&mut self, id: &[u8], pause: Duration) -> Result<(), StoreError> {
        const SQL: &Template = &Template::new("UPDATE revocations SET due_at = {now} + $2 WHERE id = $1");
        self.query(SQL).bind(id).bind(millis(pause)).execute().await?;
        Ok(())
    }
}
