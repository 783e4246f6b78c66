//! Statements on the steps of a token refresh (renewal), and on what they show of a provider.

use std::time::Duration;

use crate::{
    client_registration::ClientRegistration,
    clock::{Timestamp, millis},
    grant::{AttemptId, GrantId},
    store::{
        Knowledge, NewIntent, Renewed, StoreError, connection::Connection, replica::OWN_BEAT_AGE, rollbacks::LastBeat,
        rows::owner_prefix, sealing::SealedTokens, sql::Template,
    },
};

/// What came of writing an intent.
#[derive(Debug)]
pub(in crate::store) enum Begun {
    /// It is written; this is the encrypted refresh token.
    Written(Vec<u8>),
    /// Another attempt holds the intent, or the grant was renewed, ended or deleted.
    Outdone,
    /// The database lacks a heartbeat of this replica that was committed: it went back in time.
    LacksHeartbeat,
}

/// When the lease of an attempt is made to expire whose replica is dead.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct DeadLease {
    /// The age of the last heartbeat at which a replica is dead.
    pub(in crate::store) dead_after: Duration,
    /// How much may be left of the lease.
    pub(in crate::store) left: Duration,
    /// The lease of this replica's own intents.
    pub(in crate::store) own: Duration,
    /// A longer one comes from a clock that has been set back since.
    pub(in crate::store) longest: Duration,
}

impl Connection<'_> {
    pub(in crate::store) async fn begin_renewal(
        &mut self,
        id: GrantId,
        intent: NewIntent,
        own: LastBeat<'_>,
    ) -> Result<Begun, StoreError> {
        let NewIntent { attempt, generation, retry_at, lease, expired } = intent;
        const SQL: &Template = &Template::new(
            "UPDATE grants SET attempt = $2, attempt_owner = $7, lease_until = {now} + $3, \
             presented = CASE WHEN attempt = $2 THEN presented ELSE presented + 1 END, \
             presented_at = CASE WHEN attempt IS NOT NULL AND presented > 0 THEN presented_at ELSE {now} END \
             WHERE id = $1 AND generation = $4 AND ended_reason IS NULL AND refresh_token IS NOT NULL \
             AND (attempt IS NULL OR attempt = $2 OR (attempt = $5 AND lease_until <= {now} \
             AND ($11 OR lease_until = 0 OR EXISTS (SELECT 1 FROM replicas WHERE name = $8 AND seen_at > {now} - $12)) \
             AND ($6 IS NULL OR (presented_at > {now} - $6 AND presented_at <= {now})))) \
             AND COALESCE(retry_at, -1) = COALESCE($10, -1) \
             AND COALESCE((SELECT beats FROM replicas WHERE name = $8), 0) >= $9 \
             RETURNING refresh_token",
        );
        const BEATS: &str = "SELECT COALESCE((SELECT beats FROM replicas WHERE name = $1), 0) >= $2 AS is_there";
        // One statement, committed on its own: the intent is on disk before the token is in memory. Repeated after a lost
        // response, it finds its own intent. A reuse interval runs from when the token was first presented. The last heartbeat is
        // a part of the fence, because between two of them the database may have gone back to before the token was spent, and its clock
        // may have jumped ahead, by which a lease that runs seems to have expired. A lease of 0 was ended by whoever held it.
        let rows = self
            .query(SQL)
            .bind(&id.0[..])
            .bind(&attempt.0[..])
            .bind(millis(lease))
            .bind(generation)
            .bind(expired.map(|expired| expired.attempt.0.to_vec()))
            .bind(expired.and_then(|expired| expired.within).map(millis))
            .bind(owner_prefix(attempt) + own.replica)
            .bind(own.replica)
            .bind(own.count)
            .bind(retry_at.map(|at| at.0))
            .bind(own.is_unknown())
            .bind(millis(OWN_BEAT_AGE))
            // `fetch_all`, because SQLite commits after the last row.
            .fetch_all()
            .await?;
        if let Some(row) = rows.first() {
            return Ok(Begun::Written(row.get("refresh_token")?));
        }
        let is_there = self.query(BEATS).bind(own.replica).bind(own.count).fetch_one().await?.get("is_there")?;
        Ok(if is_there { Begun::Outdone } else { Begun::LacksHeartbeat })
    }

    pub(in crate::store) async fn save_renewal(
        &mut self,
        id: GrantId,
        attempt: AttemptId,
        generation: i64,
        renewed: &Renewed,
        sealed: &SealedTokens,
    ) -> Result<bool, StoreError> {
        // Fenced by the generation, not by the intent: if another attempt was made after this one's lease expired, the tokens
        // that come first are saved, and the other attempt fails its fence.
        let updated = self
            .query(
                "UPDATE grants SET access_token = $3, refresh_token = COALESCE($4, refresh_token), \
                 id_token = COALESCE($5, id_token), expires_at = $6, lifetime = $7, renewed_at = $8, rotation = $9, \
                 generation = generation + 1, attempt = NULL, attempt_owner = NULL, lease_until = NULL, \
                 last_attempt = $2, presented = 0, \
                 retry_at = $15, refused_code = NULL, ended_reason = NULL, refresh_until = $11, refresh_life = $12, \
                 scopes = COALESCE($13, scopes), unverified_since = $14 WHERE id = $1 AND generation = $10 \
                 AND COALESCE(ended_reason, 'outcome_unknown') = 'outcome_unknown'",
            )
            .bind(&id.0[..])
            .bind(&attempt.0[..])
            .bind(&sealed.access)
            .bind(sealed.refresh.as_ref())
            .bind(sealed.id.as_ref())
            .bind(renewed.tokens.expires_at.0)
            .bind(millis(renewed.tokens.lifetime))
            .bind(renewed.at.0)
            .bind(renewed.rotation.as_str())
            .bind(generation)
            .bind(renewed.tokens.refresh_life.map(|life| renewed.at.plus(life).0))
            .bind(renewed.tokens.refresh_life.map(millis))
            .bind(renewed.scopes.as_ref())
            .bind(renewed.unverified.map(|unverified| unverified.since.0))
            .bind(renewed.unverified.map(|unverified| unverified.retry_at.0))
            .execute()
            .await?;
        if updated > 0 {
            return Ok(true);
        }
        // An earlier call for this attempt may have been committed though its response was lost. The attempt may also have ended the grant.
        let ours = self
            .query("SELECT 1 AS one FROM grants WHERE id = $1 AND last_attempt = $2 AND generation > $3")
            .bind(&id.0[..])
            .bind(&attempt.0[..])
            .bind(generation)
            .fetch_optional()
            .await?;
        Ok(ours.is_some())
    }

    pub(in crate::store) async fn release_intent(
        &mut self,
        id: GrantId,
        attempt: AttemptId,
        retry_at: Option<Timestamp>,
        refused: Option<&str>,
    ) -> Result<(), StoreError> {
        self.query(
            "UPDATE grants SET attempt = CASE WHEN presented > 1 THEN CASE WHEN presented_at = 0 THEN id ELSE $5 END END, \
             lease_until = CASE WHEN presented > 1 THEN 0 END, \
             attempt_owner = NULL, presented = presented - 1, retry_at = $3, refused_code = $4 \
             WHERE id = $1 AND attempt = $2",
        )
        .bind(&id.0[..])
        .bind(&attempt.0[..])
        .bind(retry_at.map(|at| at.0))
        .bind(refused)
        // A token that was presented before this attempt is still of unknown fate, under an id that no other write has; or, where it was
        // first presented at 0, under that of `AttemptId::of_restored`, which tells of the backup.
        .bind(AttemptId::random().0.to_vec())
        .execute()
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn expire_lease(
        &mut self,
        id: GrantId,
        attempt: AttemptId,
        retry_at: Option<Timestamp>,
        settling: Duration,
    ) -> Result<(), StoreError> {
        // Without an owner, whose death would end the lease too early.
        const SQL: &Template = &Template::new(
            "UPDATE grants SET lease_until = CASE WHEN $4 > 0 THEN {now} + $4 ELSE 0 END, attempt_owner = NULL, retry_at = $3 \
             WHERE id = $1 AND attempt = $2",
        );
        self.query(SQL)
            .bind(&id.0[..])
            .bind(&attempt.0[..])
            .bind(retry_at.map(|at| at.0))
            .bind(millis(settling))
            .execute()
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn abandon_attempt(
        &mut self,
        id: GrantId,
        attempt: AttemptId,
        own: LastBeat<'_>,
    ) -> Result<bool, StoreError> {
        const SQL: &Template = &Template::new(
            "UPDATE grants SET ended_reason = 'outcome_unknown', attempt_owner = $6 \
             WHERE id = $1 AND attempt = $2 AND lease_until <= {now} AND ended_reason IS NULL \
             AND ($4 OR lease_until = 0 OR EXISTS (SELECT 1 FROM replicas WHERE name = $3 AND seen_at > {now} - $5))",
        );
        const OURS: &str = "SELECT 1 AS one FROM grants WHERE id = $1 AND attempt = $2 AND ended_reason = 'outcome_unknown' AND attempt_owner = $3";
        // The attempt's id stays, so that its outcome can still be saved. Whoever has abandoned it takes its owner's place, so that a call
        // that is repeated after a lost response finds its own end, and no other replica takes it for its own. As to this replica's
        // heartbeat, see `begin_renewal`.
        let abandoned_by = format!("abandoned/{}", own.replica);
        let updated = self
            .query(SQL)
            .bind(&id.0[..])
            .bind(&attempt.0[..])
            .bind(own.replica)
            .bind(own.is_unknown())
            .bind(millis(OWN_BEAT_AGE))
            .bind(&abandoned_by)
            .execute()
            .await?;
        if updated > 0 {
            return Ok(true);
        }
        Ok(self.query(OURS).bind(&id.0[..]).bind(&attempt.0[..]).bind(&abandoned_by).fetch_optional().await?.is_some())
    }

    pub(in crate::store) async fn expire_dead_owners_lease(
        &mut self,
        id: GrantId,
        attempt: AttemptId,
        limits: DeadLease,
        own: LastBeat<'_>,
    ) -> Result<bool, StoreError> {
        // A clock that was set back has dated in its future what was written before. A replica that lives corrects its heartbeat within
        // a second, and nobody corrects a lease. What is just too long for one comparison must not be short enough for the next, a
        // moment later: so a lease that is longer than `own`, though not than `longest`, is dated anew as well. Whoever lives ends its own
        // lease, which may be longer than any here: another replica's settings may give token calls more time. Where this replica's own
        // heartbeat looks old, that of another proves nothing.
        const SQL: &Template = &Template::new(
            "UPDATE grants SET lease_until = CASE WHEN lease_until > {now} + $6 THEN {now} + $6 ELSE 0 END \
             WHERE id = $1 AND attempt = $2 AND (lease_until > {now} + $7 \
             OR (lease_until <= {now} + $5 AND attempt_owner LIKE $4 || '%')) \
             AND NOT EXISTS (SELECT 1 FROM replicas WHERE attempt_owner = $4 || name \
             AND seen_at > {now} - $3 AND seen_at < {now} + $3) \
             AND ($9 OR EXISTS (SELECT 1 FROM replicas WHERE name = $8 AND seen_at > {now} - $10)) RETURNING lease_until",
        );
        // `fetch_all`, because SQLite commits after the last row.
        let rows = self
            .query(SQL)
            .bind(&id.0[..])
            .bind(&attempt.0[..])
            .bind(millis(limits.dead_after))
            .bind(owner_prefix(attempt))
            .bind(millis(limits.left))
            .bind(millis(limits.own))
            .bind(millis(limits.longest))
            .bind(own.replica)
            .bind(own.is_unknown())
            .bind(millis(OWN_BEAT_AGE))
            .fetch_all()
            .await?;
        let Some(row) = rows.first() else { return Ok(false) };
        Ok(row.get::<i64>("lease_until")? == 0)
    }

    pub(in crate::store) async fn provider_knowledge(
        &mut self,
        registration: ClientRegistration<'_>,
    ) -> Result<Knowledge, StoreError> {
        let row = self
            .query("SELECT rotates, rejects_dummy FROM provider_knowledge WHERE issuer = $1 AND client_id = $2")
            .bind(registration.issuer)
            .bind(registration.client_id)
            .fetch_optional()
            .await?;
        let Some(row) = row else { return Ok(Knowledge::default()) };
        Ok(Knowledge { rotates: row.get("rotates")?, rejects_dummy: row.get("rejects_dummy")? })
    }

    pub(in crate::store) async fn save_provider_knowledge(
        &mut self,
        registration: ClientRegistration<'_>,
        observed: Knowledge,
    ) -> Result<(), StoreError> {
        self.query(
            "INSERT INTO provider_knowledge (issuer, client_id, rotates, rejects_dummy) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (issuer, client_id) DO UPDATE SET \
             rotates = CASE WHEN provider_knowledge.rotates THEN provider_knowledge.rotates \
             ELSE COALESCE(excluded.rotates, provider_knowledge.rotates) END, \
             rejects_dummy = COALESCE(excluded.rejects_dummy, provider_knowledge.rejects_dummy)",
        )
        .bind(registration.issuer)
        .bind(registration.client_id)
        .bind(observed.rotates)
        .bind(observed.rejects_dummy)
        .execute()
        .await?;
        Ok(())
    }
}
