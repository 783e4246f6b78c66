//! Statements that list sessions with their grants. They read no token.

use crate::{
    clock::Timestamp,
    grant::{EndReason, Ended, Rotation},
    session::{Opener, Session, SessionHash},
    store::{
        ListPosition, ListedGrant, ListedSession, StoreError,
        connection::{Connection, Row},
        rows,
        sql::{BATCH, Template},
    },
};

/// The bounds of what begins with a number of hexadecimal digits, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct PrefixRange {
    pub(in crate::store) first: Vec<u8>,
    pub(in crate::store) last: Vec<u8>,
}

impl PrefixRange {
    /// `None`: not lower-case hexadecimal digits, or more than any identifier has.
    pub(in crate::store) fn of(prefix: &str) -> Option<Self> {
        let digits =
            prefix.chars().map(|digit| digit.to_digit(16).filter(|_| !digit.is_ascii_uppercase())).collect::<Option<Vec<_>>>()?;
        if digits.len() > 64 {
            return None;
        }
        let bytes = |filler: u32| {
            let padded: Vec<u32> = digits.iter().copied().chain(std::iter::repeat_n(filler, 64 - digits.len())).collect();
            padded.chunks(2).filter_map(|pair| u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit)).ok()).collect()
        };
        Some(Self { first: bytes(0), last: bytes(15) })
    }
}

impl Connection<'_> {
    /// Lists the page behind `after`, and says where the next one begins.
    pub(in crate::store) async fn list_sessions(
        &mut self,
        after: ListPosition,
    ) -> Result<(Vec<ListedSession>, Option<ListPosition>), StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT {listed_columns} FROM (SELECT hash, grant_id, created_at, last_seen, provider_session, site, login, \
             token_expires_at, token, browser, address FROM sessions WHERE (created_at, hash) < ($1, $2) ORDER BY created_at DESC, hash DESC LIMIT {batch}) AS sessions \
             JOIN grants ON grants.id = sessions.grant_id ORDER BY sessions.created_at DESC, sessions.hash DESC",
        );
        let rows = self.query(SQL).bind(after.created_at.0).bind(&after.hash.0[..]).fetch_all().await?;
        let is_full = u64::try_from(rows.len()).unwrap_or(u64::MAX) >= BATCH;
        let next = match rows.last().filter(|_| is_full) {
            Some(row) => Some(ListPosition {
                created_at: Timestamp(row.get("began_at")?),
                hash: rows::session_hash_from(row.get("hash")?)?,
            }),
            None => None,
        };
        Ok((readable(&rows)?, next))
    }

    pub(in crate::store) async fn sessions_named(&mut self, name: &str) -> Result<Vec<ListedSession>, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT {listed_columns} FROM sessions JOIN grants ON grants.id = sessions.grant_id WHERE grants.id IN \
             (SELECT id FROM grants WHERE subject = $1 UNION SELECT id FROM grants WHERE {username} = $2 \
             UNION SELECT id FROM grants WHERE {email} = $3) ORDER BY sessions.created_at DESC, sessions.hash DESC",
        );
        let key = if self.is_postgres() { escaped(name) } else { name.to_owned() };
        let email = key.to_ascii_lowercase();
        readable(&self.query(SQL).bind(name).bind(key).bind(email).fetch_all().await?)
    }

    /// Lists sessions of a hundred grants at most whose user name or e-mail address begins so.
    pub(in crate::store) async fn sessions_beginning(&mut self, beginning: &str) -> Result<Vec<ListedSession>, StoreError> {
        // Of ranges, because nothing in what somebody types is a pattern.
        const SQL: &Template = &Template::new(
            "SELECT {listed_columns} FROM sessions JOIN grants ON grants.id = sessions.grant_id WHERE grants.id IN \
             (SELECT id FROM (SELECT id FROM grants WHERE {email} >= $1 AND {email} <= $2 ORDER BY {email} LIMIT {batch}) AS by_email \
             UNION SELECT id FROM (SELECT id FROM grants WHERE {username_key} >= $3 AND {username_key} <= $4 \
             ORDER BY {username_key} LIMIT {batch}) AS by_name) ORDER BY sessions.created_at DESC, sessions.hash DESC LIMIT {batch}",
        );
        let name = if self.is_postgres() { escaped(beginning) } else { beginning.to_owned() };
        let (email, last) = (name.to_ascii_lowercase(), |first: &str| format!("{first}{}", char::MAX));
        let (last_email, last_name) = (last(&email), last(&name));
        readable(&self.query(SQL).bind(email).bind(last_email).bind(name).bind(last_name).fetch_all().await?)
    }

    /// Lists the sessions and tokens of one user whose grants live, those that were used last first, without those that were handed over
    /// to another site.
    pub(in crate::store) async fn sessions_of_user(
        &mut self,
        issuer: &str,
        client_id: &str,
        subject: &str,
    ) -> Result<Vec<ListedSession>, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT {listed_columns} FROM grants JOIN sessions ON sessions.grant_id = grants.id WHERE grants.issuer = $1 \
             AND grants.client_id = $2 AND grants.subject = $3 AND grants.ended_reason IS NULL AND sessions.login IS NULL \
             ORDER BY sessions.last_seen DESC, sessions.hash DESC LIMIT {batch}",
        );
        readable(&self.query(SQL).bind(issuer).bind(client_id).bind(subject).fetch_all().await?)
    }

    pub(in crate::store) async fn sessions_by_prefix(&mut self, range: &PrefixRange) -> Result<Vec<ListedSession>, StoreError> {
        const BY_HASH: &Template = &Template::new(
            "SELECT {listed_columns} FROM sessions JOIN grants ON grants.id = sessions.grant_id \
             WHERE sessions.hash >= $1 AND sessions.hash <= $2 ORDER BY sessions.created_at DESC, sessions.hash DESC",
        );
        const BY_GRANT: &Template = &Template::new(
            "SELECT {listed_columns} FROM sessions JOIN grants ON grants.id = sessions.grant_id \
             WHERE sessions.grant_id >= $1 AND sessions.grant_id <= $2 ORDER BY sessions.created_at DESC, sessions.hash DESC",
        );
        let mut found = readable(&self.query(BY_HASH).bind(&range.first).bind(&range.last).fetch_all().await?)?;
        let head = |bytes: &[u8]| bytes.get(..16).unwrap_or(bytes).to_vec();
        let query = self.query(BY_GRANT).bind(head(&range.first)).bind(head(&range.last));
        for listed in readable(&query.fetch_all().await?)? {
            if found.iter().all(|other| other.session.hash != listed.session.hash) {
                found.push(listed);
            }
        }
        Ok(found)
    }
}

/// A name as it stands in the JSON of an identity, up to the first quotation mark.
pub(super) fn escaped(name: &str) -> String {
    let quoted = serde_json::Value::from(name).to_string();
    quoted.split('"').nth(1).unwrap_or_default().to_owned()
}

/// Reads rows, and leaves out those that cannot be read: one must not hide the others.
fn readable(rows: &[Row]) -> Result<Vec<ListedSession>, StoreError> {
    let mut sessions = Vec::with_capacity(rows.len());
    for row in rows {
        let hash = rows::session_hash_from(row.get("hash")?)?;
        match listed(hash, row) {
            Ok(listed) => sessions.push(listed),
            Err(error) => {
                tracing::error!(session = hash.short(), %error, "a session's grant cannot be read, and is left out");
            }
        }
    }
    Ok(sessions)
}

fn listed(hash: SessionHash, row: &Row) -> Result<ListedSession, StoreError> {
    let id = rows::grant_from(row.get("grant_id")?)?;
    let (code, reason) = (row.get("ended_code")?, row.get::<Option<&str>>("ended_reason")?);
    let ended = reason
        .map(|text| EndReason::parse(text).ok_or(StoreError::Malformed("end reason")).map(|reason| Ended { reason, code }))
        .transpose()?;
    let is_presented = row.get::<Option<Vec<u8>>>("attempt")?.is_some();
    Ok(ListedSession {
        session: Session {
            hash,
            grant: id,
            created_at: Timestamp(row.get("began_at")?),
            last_seen: Timestamp(row.get("last_seen")?),
            provider_session: row.get::<Option<String>>("provider_session")?.map(Box::from),
            site: row.get::<Option<String>>("site")?.map(Box::from),
            token: rows::token_from(row.get("token_expires_at")?, row.get("token")?)?,
            login: row.get::<Option<Vec<u8>>>("login")?.map(|hash| rows::session_hash_from(&hash)).transpose()?,
        },
        grant: ListedGrant {
            id,
            issuer: row.get("issuer")?,
            identity: rows::identity_from(row.get("identity")?)?,
            expires_at: Timestamp(row.get("expires_at")?),
            renewed_at: Timestamp(row.get("renewed_at")?),
            generation: row.get("generation")?,
            rotation: Rotation::parse(row.get("rotation")?).ok_or(StoreError::Malformed("rotation class"))?,
            has_refresh_token: row.get::<i32>("has_refresh_token")? != 0,
            refresh_until: row.get::<Option<i64>>("refresh_until")?.map(Timestamp),
            is_outcome_unknown: is_presented && row.get("lapsed")?,
            refused: row.get("refused_code")?,
            ended,
        },
        opener: Opener {
            browser: row.get("browser")?,
            // What is no address is none: it decides nothing.
            address: row.get::<Option<&str>>("address")?.and_then(|address| address.parse().ok()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_range_of_what_begins_with_it() {
        let range = PrefixRange::of("0a1").unwrap();
        assert_eq!((&range.first[..3], &range.last[..3]), (&[0x0a, 0x10, 0][..], &[0x0a, 0x1f, 0xff][..]));
        assert_eq!((range.first.len(), range.last.len()), (32, 32));
        for odd in ["0A1", "ann@example.com", "xyz", &"0".repeat(65)] {
            assert_eq!(PrefixRange::of(odd), None, "{odd}");
        }
    }
}
