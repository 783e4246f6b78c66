//! Removes what has expired, a batch of each kind at a time. Replicas that sweep concurrently take different rows.

use crate::{
    history::{Event, Kind},
    session::Limit,
    store::{
        Expired, StoreError, Swept,
        connection::{Connection, Row},
        rows,
        sql::{BATCH, Template},
        statements::TokenFate,
    },
};

/// What is swept in one call, each by itself, so that one that fails takes nothing back of the others.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum SweepStep {
    OldSessions,
    IdleSessions,
    ExpiredTokens,
    LeftGrants,
    ExpiredRows,
}

impl SweepStep {
    pub(in crate::store) const ALL: [Self; 5] =
        [Self::OldSessions, Self::IdleSessions, Self::ExpiredTokens, Self::LeftGrants, Self::ExpiredRows];
}

impl Connection<'_> {
    /// Takes one step.
    pub(in crate::store) async fn sweep(
        &mut self,
        step: SweepStep,
        expired: &Expired,
        replica: &str,
    ) -> Result<Swept, StoreError> {
        let Step { removed, seen } = match step {
            SweepStep::OldSessions => self.sweep_old_sessions(expired, replica).await?,
            SweepStep::IdleSessions => self.sweep_idle_sessions(expired, replica).await?,
            SweepStep::ExpiredTokens => self.sweep_expired_tokens(expired, replica).await?,
            SweepStep::LeftGrants => self.sweep_left_grants().await?,
            SweepStep::ExpiredRows => self.sweep_expired(expired).await?,
        };
        Ok(Swept { removed, is_done: seen < BATCH })
    }

    /// Deletes sessions that reached the limit of their age.
    async fn sweep_old_sessions(&mut self, expired: &Expired, replica: &str) -> Result<Step, StoreError> {
        const SQL: &Template = &Template::new(
            "WITH due AS MATERIALIZED (SELECT hash FROM sessions WHERE created_at <= $1 AND token IS NULL \
             ORDER BY created_at LIMIT {batch}{skip_locked}) \
             DELETE FROM sessions WHERE hash IN (SELECT hash FROM due) \
             RETURNING hash, grant_id, (SELECT identity FROM grants WHERE grants.id = grant_id) AS identity, \
             (SELECT issuer FROM grants WHERE grants.id = grant_id) AS issuer",
        );
        let mut transaction = self.begin().await?;
        let gone = transaction.connection().query(SQL).bind(expired.created_before.0).fetch_all().await?;
        transaction.connection().record_limit(&gone, expired.limit, expired, replica).await?;
        transaction.commit().await?;
        Ok(Step { removed: count(&gone), seen: count(&gone) })
    }

    /// Deletes sessions that reached their idle limit. Of those that were seen since they were last looked at, it is noted when,
    /// so that they are not looked at again for as long as they may be idle.
    async fn sweep_idle_sessions(&mut self, expired: &Expired, replica: &str) -> Result<Step, StoreError> {
        const DELETE: &Template = &Template::new(
            "WITH due AS MATERIALIZED (SELECT hash FROM sessions WHERE COALESCE(seen_floor, created_at) <= $1 AND token IS NULL \
             ORDER BY COALESCE(seen_floor, created_at) LIMIT {batch}{skip_locked}) \
             DELETE FROM sessions WHERE hash IN (SELECT hash FROM due) AND last_seen <= $1 \
             RETURNING hash, grant_id, (SELECT identity FROM grants WHERE grants.id = grant_id) AS identity, \
             (SELECT issuer FROM grants WHERE grants.id = grant_id) AS issuer",
        );
        const NOTE: &Template = &Template::new(
            "WITH due AS MATERIALIZED (SELECT hash FROM sessions WHERE COALESCE(seen_floor, created_at) <= $1 AND token IS NULL \
             ORDER BY COALESCE(seen_floor, created_at) LIMIT {batch}{skip_locked}) \
             UPDATE sessions SET seen_floor = last_seen WHERE hash IN (SELECT hash FROM due) AND last_seen > $1",
        );
        let Some(seen_before) = expired.seen_before else { return Ok(Step { removed: 0, seen: 0 }) };
        let mut transaction = self.begin().await?;
        let gone = transaction.connection().query(DELETE).bind(seen_before.0).fetch_all().await?;
        transaction.connection().record_limit(&gone, Limit::Idle, expired, replica).await?;
        let seen = transaction.connection().query(NOTE).bind(seen_before.0).execute().await?;
        transaction.commit().await?;
        Ok(Step { removed: count(&gone), seen: count(&gone).saturating_add(seen) })
    }

    /// Deletes personal access tokens that have expired, and those that were made longer ago than any lives by now: if the limit is raised
    /// again, they do not come back.
    async fn sweep_expired_tokens(&mut self, expired: &Expired, replica: &str) -> Result<Step, StoreError> {
        const EXPIRED: &Template = &Template::new(
            "WITH due AS MATERIALIZED (SELECT hash FROM sessions WHERE token_expires_at <= $1 \
             ORDER BY token_expires_at LIMIT {batch}{skip_locked}) \
             DELETE FROM sessions WHERE hash IN (SELECT hash FROM due) \
             RETURNING hash, grant_id, (SELECT identity FROM grants WHERE grants.id = grant_id) AS identity, \
             (SELECT issuer FROM grants WHERE grants.id = grant_id) AS issuer",
        );
        const OLD: &Template = &Template::new(
            "WITH due AS MATERIALIZED (SELECT hash FROM sessions WHERE token_expires_at IS NOT NULL AND created_at <= $1 \
             ORDER BY created_at LIMIT {batch}{skip_locked}) \
             DELETE FROM sessions WHERE hash IN (SELECT hash FROM due) \
             RETURNING hash, grant_id, (SELECT identity FROM grants WHERE grants.id = grant_id) AS identity, \
             (SELECT issuer FROM grants WHERE grants.id = grant_id) AS issuer",
        );
        let mut step = Step { removed: 0, seen: 0 };
        for (sql, until) in [(EXPIRED, expired.now), (OLD, expired.tokens_made_before)] {
            let mut transaction = self.begin().await?;
            let gone = transaction.connection().query(sql).bind(until.0).fetch_all().await?;
            transaction.connection().record_limit(&gone, Limit::TokenExpiry, expired, replica).await?;
            transaction.commit().await?;
            step = Step { removed: step.removed.saturating_add(count(&gone)), seen: step.seen.max(count(&gone)) };
        }
        Ok(step)
    }

    /// Records why sessions were deleted.
    async fn record_limit(&mut self, gone: &[Row], limit: Limit, expired: &Expired, replica: &str) -> Result<(), StoreError> {
        for session in gone {
            // A session of a grant that cannot be read goes without an event.
            let Ok(identity) = rows::identity_from(session.get("identity")?) else { continue };
            let grant = rows::grant_from(session.get("grant_id")?)?;
            let event = Event::of(Kind::Limit, grant, session.get("issuer")?, &identity, expired.now)
                .of_session(rows::session_hash_from(session.get("hash")?)?)
                .because(limit.as_str());
            self.record_event(&event, replica).await?;
        }
        Ok(())
    }

    /// Deletes the grants whose last session has left them. A grant under a running lease is looked at again when that
    /// ends: its renewal is still to be saved or revoked.
    async fn sweep_left_grants(&mut self) -> Result<Step, StoreError> {
        // An index takes the clock as the value of a subquery alone, because the clock moves while the statement runs.
        const DUE: &Template = &Template::new(
            "SELECT id, grant_id FROM left_grants WHERE due_at <= (SELECT {now}) ORDER BY due_at, id LIMIT {batch}{skip_locked}",
        );
        const LEASED: &Template =
            &Template::new("SELECT COALESCE(lease_until, 0) > {now} AS leased FROM grants WHERE id = $1{for_update}");
        // The grant is locked, and its lease has an end.
        const LATER: &str =
            "UPDATE left_grants SET due_at = (SELECT lease_until FROM grants WHERE grants.id = grant_id) WHERE id = $1";
        let mut transaction = self.begin().await?;
        let mut connection = transaction.connection();
        let due = connection.query(DUE).fetch_all().await?;
        let read = |row: &Row| Ok::<_, StoreError>((rows::grant_from(row.get("grant_id")?)?, row.get::<i64>("id")?));
        let mut left = due.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        // Grants are locked in the order of their ids, so that two replicas cannot deadlock.
        left.sort_unstable_by_key(|(grant, _)| grant.0);
        let mut step = Step { removed: 0, seen: count(&due) };
        for (grant, id) in left {
            // Locked before its sessions are looked for: a login that is about to join the grant has done so, or finds it gone.
            let row = connection.query(LEASED).bind(&grant.0[..]).fetch_optional().await?;
            if row.map(|row| row.get::<bool>("leased")).transpose()? == Some(true) {
                connection.query(LATER).bind(id).execute().await?;
                continue;
            }
            step.removed += u64::from(connection.delete_unused_grant(grant, None, TokenFate::Revoked).await?);
            connection.query("DELETE FROM left_grants WHERE id = $1").bind(id).execute().await?;
        }
        drop(connection);
        transaction.commit().await?;
        Ok(step)
    }

    /// Deletes events, login attempts, return addresses, kept forms, ends of users, revocations and replicas that have expired.
    async fn sweep_expired(&mut self, expired: &Expired) -> Result<Step, StoreError> {
        const ATTEMPTS: &Template = &Template::new(
            "WITH due AS MATERIALIZED (SELECT hash FROM returned_attempts WHERE expires_at <= $1 \
             ORDER BY expires_at LIMIT {batch}{skip_locked}) \
             DELETE FROM returned_attempts WHERE hash IN (SELECT hash FROM due)",
        );
        const EVENTS: &Template = &Template::new(
            "WITH due AS MATERIALIZED (SELECT id FROM events WHERE at <= $1 ORDER BY at LIMIT {batch}{skip_locked}) \
             DELETE FROM events WHERE id IN (SELECT id FROM due)",
        );
        const REVOCATIONS: &Template = &Template::new("DELETE FROM revocations WHERE expires_at <= {now} - 86400000");
        const REPLICAS: &Template = &Template::new("DELETE FROM replicas WHERE seen_at < {now} - 86400000");
        let attempts = self.query(ATTEMPTS).bind(expired.now.0).execute().await?;
        let events = self.query(EVENTS).bind(expired.events_before.0).execute().await?;
        let addresses = self.query("DELETE FROM parked_addresses WHERE expires_at <= $1").bind(expired.now.0).execute().await?;
        let ended = self.query("DELETE FROM ended_users WHERE expires_at <= $1").bind(expired.now.0).execute().await?;
        let posts = self.query("DELETE FROM kept_posts WHERE expires_at <= $1").bind(expired.now.0).execute().await?;
        let hours = self.query("DELETE FROM provider_hours WHERE hour <= $1").bind(expired.events_before.0).execute().await?;
        let revocations = self.query(REVOCATIONS).execute().await?;
        let replicas = self.query(REPLICAS).execute().await?;
        Ok(Step {
            removed: attempts + events + addresses + hours + posts + ended + revocations + replicas,
            seen: attempts.max(events),
        })
    }
}

/// What one step of the sweep did.
#[derive(Clone, Copy)]
struct Step {
    removed: u64,
    /// How many rows of a batch it looked at.
    seen: u64,
}

fn count(rows: &[Row]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}
