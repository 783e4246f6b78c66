//! Statements on sessions.

use crate::{
    clock::Timestamp,
    grant::GrantId,
    secret::hex,
    session::{Session, SessionHash},
    store::{
        SessionFilter, StoreError,
        connection::Connection,
        rows::{self, EndedSessionRow},
        sql::{Sql, Template},
        statements::TokenFate,
    },
};

/// The 4,096 sessions with the smallest hashes, or all if they are fewer.
#[derive(Debug)]
pub(in crate::store) struct Sample {
    /// How many they are.
    pub(in crate::store) sessions: i64,
    /// The hash of the 4,096th.
    pub(in crate::store) greatest: Option<Vec<u8>>,
    /// How many of their grants were looked at: the first 1,024.
    pub(in crate::store) grants: i64,
    /// How many of those have a refresh token.
    pub(in crate::store) with_refresh_token: i64,
}

impl Connection<'_> {
    pub(in crate::store) async fn session(&mut self, hash: SessionHash) -> Result<Option<Session>, StoreError> {
        let row = self
            .query(
                "SELECT hash, grant_id, created_at, last_seen, provider_session, site, login, token_expires_at, token \
                 FROM sessions WHERE hash = $1",
            )
            .bind(&hash.0[..])
            .fetch_optional()
            .await?;
        row.map(|row| rows::session_from(&row)).transpose()
    }

    pub(in crate::store) async fn successor(&mut self, hash: SessionHash) -> Result<Option<Session>, StoreError> {
        let row = self
            .query(
                "SELECT hash, grant_id, created_at, last_seen, provider_session, site, login, token_expires_at, token \
                 FROM sessions WHERE follows = $1",
            )
            .bind(&hash.0[..])
            .fetch_optional()
            .await?;
        row.map(|row| rows::session_from(&row)).transpose()
    }

    pub(in crate::store) async fn find_sessions(&mut self, filter: SessionFilter<'_>) -> Result<Vec<SessionHash>, StoreError> {
        // A statement for each case: of one for all cases, no plan made without the arguments could use an index.
        let query = match (filter.subject, filter.provider_session) {
            (Some(subject), None) => self
                .query(
                    "SELECT sessions.hash FROM grants JOIN sessions ON sessions.grant_id = grants.id \
                     WHERE grants.issuer = $1 AND grants.client_id = $2 AND grants.subject = $3",
                )
                .bind(filter.registration.issuer)
                .bind(filter.registration.client_id)
                .bind(subject),
            (None, Some(session)) => self
                .query(
                    "SELECT sessions.hash FROM sessions JOIN grants ON grants.id = sessions.grant_id \
                     WHERE grants.issuer = $1 AND grants.client_id = $2 AND sessions.provider_session = $3",
                )
                .bind(filter.registration.issuer)
                .bind(filter.registration.client_id)
                .bind(session),
            // A session that does not say of which one at the provider it came may be of the one that ended there. A personal access
            // token outlives them all.
            (Some(subject), Some(session)) => self
                .query(
                    "SELECT sessions.hash FROM sessions JOIN grants ON grants.id = sessions.grant_id \
                     WHERE grants.issuer = $1 AND grants.client_id = $2 AND grants.subject = $3 \
                     AND (sessions.provider_session = $4 OR (sessions.provider_session IS NULL AND sessions.token IS NULL))",
                )
                .bind(filter.registration.issuer)
                .bind(filter.registration.client_id)
                .bind(subject)
                .bind(session),
            (None, None) => return Ok(Vec::new()),
        };
        let rows = query.fetch_all().await?;
        rows.iter().map(|row| rows::session_hash_from(row.get("hash")?)).collect()
    }

    /// Ends a session, and the others of its login. Its last session takes a grant with it, whose refresh token is enqueued to be
    /// revoked, if that is to be its fate.
    pub(in crate::store) async fn end_session(
        &mut self,
        hash: SessionHash,
        fate: TokenFate,
    ) -> Result<Option<EndedSessionRow>, StoreError> {
        const SQL: &Template =
            &Template::new("SELECT issuer, client_id, identity, id_token FROM grants WHERE id = $1{for_update}");
        let mut transaction = self.begin().await?;
        let mut ended = transaction.connection().delete_login(hash).await?;
        let Some(own) = ended.iter().position(|(ended, _)| *ended == hash) else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let (_, id) = ended.swap_remove(own);
        // The row is locked while its sessions are counted: of two last sessions that end concurrently, one must delete the grant.
        let grant = transaction.connection().query(SQL).bind(&id.0[..]).fetch_one().await?;
        let mut grants: Vec<GrantId> = ended.iter().map(|(_, grant)| *grant).chain([id]).collect();
        grants.sort_unstable_by_key(|grant| grant.0);
        grants.dedup();
        for grant in grants {
            transaction.connection().delete_unused_grant(grant, Some(hash), fate).await?;
        }
        transaction.commit().await?;
        Ok(Some(EndedSessionRow {
            grant: id,
            issuer: grant.get("issuer")?,
            client_id: grant.get("client_id")?,
            identity: grant.get("identity")?,
            id_token: grant.get("id_token")?,
            others: ended,
        }))
    }

    pub(in crate::store) async fn touch_sessions(&mut self, seen: &[(SessionHash, Timestamp)]) -> Result<(), StoreError> {
        // The rows are locked in the order of their hashes, so that two replicas cannot deadlock.
        const SQL: Sql = Sql {
            postgres: "UPDATE sessions SET last_seen = seen.at FROM \
                (SELECT sessions.hash, given.value::BIGINT AS at FROM jsonb_each_text($1::JSONB) AS given \
                JOIN sessions ON sessions.hash = decode(given.key, 'hex') ORDER BY sessions.hash FOR UPDATE) AS seen \
                WHERE sessions.hash = seen.hash AND sessions.last_seen < seen.at",
            sqlite: "UPDATE sessions SET last_seen = seen.value FROM json_each($1) AS seen \
                WHERE sessions.hash = unhex(seen.key) AND sessions.last_seen < seen.value",
        };
        let seen: serde_json::Map<_, _> = seen.iter().map(|(hash, at)| (hex(&hash.0), at.0.into())).collect();
        self.query(SQL).bind(serde_json::Value::Object(seen).to_string()).execute().await?;
        Ok(())
    }

    /// Counts the sessions with the smallest hashes, and looks at the grants of the first of them.
    pub(in crate::store) async fn sample_sessions(&mut self) -> Result<Sample, StoreError> {
        // The samples' sizes are in the text, because a planner that does not know them expects a tenth of the table. Hashes are read
        // from their index alone; each grant is a read of a page that no other needs, so that fewer are looked at.
        let row = self
            .query(
                "SELECT (SELECT COUNT(*) FROM (SELECT hash FROM sessions ORDER BY hash LIMIT 4096) AS counted) AS sessions, \
                 (SELECT hash FROM sessions ORDER BY hash LIMIT 1 OFFSET 4095) AS greatest, \
                 COUNT(*) AS grants, COALESCE(SUM((SELECT CASE WHEN refresh_token IS NULL THEN 0 ELSE 1 END \
                 FROM grants WHERE grants.id = sample.grant_id)), 0) AS with_refresh_token \
                 FROM (SELECT grant_id FROM sessions ORDER BY hash LIMIT 1024) AS sample",
            )
            .fetch_one()
            .await?;
        Ok(Sample {
            sessions: row.get("sessions")?,
            greatest: row.get("greatest")?,
            grants: row.get("grants")?,
            with_refresh_token: row.get("with_refresh_token")?,
        })
    }
}
