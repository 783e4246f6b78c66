//! Statements on personal access tokens, which are sessions without a browser.

use crate::{
    client_registration::ClientRegistration,
    store::{NewToken, OwnToken, StoreError, TokenSaved, connection::Connection, rows},
};

impl Connection<'_> {
    /// Saves a token with the grant of the session that it is made from.
    pub(in crate::store) async fn save_token(&mut self, new: &NewToken<'_>) -> Result<TokenSaved, StoreError> {
        let mut transaction = self.begin().await?;
        let saved = transaction.connection().write_token(new).await?;
        match saved {
            TokenSaved::Saved(_) => transaction.commit().await?,
            TokenSaved::SessionEnded | TokenSaved::NotRenewable | TokenSaved::TooMany | TokenSaved::Repeated => {
                transaction.rollback().await?;
            }
        }
        Ok(saved)
    }

    /// Writes a token within a transaction, which is to be rolled back unless it is saved.
    async fn write_token(&mut self, new: &NewToken<'_>) -> Result<TokenSaved, StoreError> {
        // A write, which locks the row so that the end of its last session is not missed. SQLite, which would refuse to write after
        // what was read has changed, gives the turn to write at once.
        const GRANT: &str = "UPDATE grants SET scopes = scopes WHERE ended_reason IS NULL AND id = \
             (SELECT grant_id FROM sessions WHERE hash = $1 AND token IS NULL) \
             RETURNING id, issuer, client_id, subject, CASE WHEN refresh_token IS NULL THEN 0 ELSE 1 END AS renewable";
        let Some(grant) = self.query(GRANT).bind(&new.made_from.0[..]).fetch_optional().await? else {
            return Ok(TokenSaved::SessionEnded);
        };
        let id = rows::grant_from(grant.get("id")?)?;
        let (issuer, client_id, subject): (String, String, String) =
            (grant.get("issuer")?, grant.get("client_id")?, grant.get("subject")?);
        let registration = ClientRegistration { issuer: &issuer, client_id: &client_id };
        // Before what else could keep a token from being made: what has made one may have made the last that there may be. It is rolled
        // back if none is made.
        let (what, until) = new.once;
        if !self.consume_once(what, until).await? {
            return Ok(TokenSaved::Repeated);
        }
        if grant.get::<i32>("renewable")? == 0 {
            return Ok(TokenSaved::NotRenewable);
        }
        let (most, longest) = new.most;
        let is_alive = |OwnToken { session, is_over }: &&OwnToken| {
            let end = session.created_at.plus(longest);
            !is_over && session.token.as_ref().is_some_and(|token| new.at < token.expires_at.min(end))
        };
        if self.tokens_of(registration, &subject).await?.iter().filter(is_alive).count() >= most {
            return Ok(TokenSaved::TooMany);
        }
        // The idle limit is not a token's: the sweep, which looks for the lowest `seen_floor`, does not come to it while it lives.
        self.query(
            "INSERT INTO sessions (hash, grant_id, created_at, last_seen, seen_floor, token_expires_at, token) \
             VALUES ($1, $2, $3, $3, $4, $4, $5)",
        )
        .bind(&new.hash.0[..])
        .bind(&id.0[..])
        .bind(new.at.0)
        .bind(new.token.expires_at.0)
        .bind(rows::token_scope_to_text(&new.token.scope)?)
        .execute()
        .await?;
        Ok(TokenSaved::Saved(id))
    }

    /// The tokens of a user, the newest first. Those of a grant whose outcome is unknown may go on with another one.
    pub(in crate::store) async fn tokens_of(
        &mut self,
        registration: ClientRegistration<'_>,
        subject: &str,
    ) -> Result<Vec<OwnToken>, StoreError> {
        let found = self
            .query(
                "SELECT sessions.hash, grant_id, sessions.created_at, last_seen, sessions.provider_session, site, login, \
                 token_expires_at, token, \
                 CASE WHEN COALESCE(grants.ended_reason, 'outcome_unknown') = 'outcome_unknown' THEN 0 ELSE 1 END AS is_over FROM grants JOIN sessions ON sessions.grant_id = grants.id \
                 WHERE grants.issuer = $1 AND grants.client_id = $2 AND grants.subject = $3 AND token IS NOT NULL \
                 ORDER BY sessions.created_at DESC, sessions.hash",
            )
            .bind(registration.issuer)
            .bind(registration.client_id)
            .bind(subject)
            .fetch_all()
            .await?;
        found
            .iter()
            .map(|row| Ok(OwnToken { session: rows::session_from(row)?, is_over: row.get::<i32>("is_over")? != 0 }))
            .collect()
    }
}
