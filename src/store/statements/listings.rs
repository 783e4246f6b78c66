//! Statements that list sessions with their grants. They read no token.

use std::{cmp::Reverse, collections::HashMap};

use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    grant::{Ended, GrantId},
    seal::KeyRing,
    session::{Opener, SessionHash},
    store::{
        ListPosition, ListedGrant, ListedSession, NameKind, SeenPosition, SessionKind, StoreError,
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

/// The statements of a hundred grants whose name is in a range, in the order of their names: their sessions, and the grants themselves. They
/// are of ranges, because nothing in what somebody types is a pattern.
macro_rules! names_beginning {
    ($within:literal, $key:literal) => {{
        const SESSIONS: &Template = &Template::new(concat!(
            "SELECT {listed_columns}, page.name_key FROM (SELECT id, ",
            $key,
            " AS name_key FROM grants WHERE ",
            $within,
            " AND (",
            $key,
            ", id) >= ($3, $4) ORDER BY ",
            $key,
            ", id LIMIT {batch}) AS page JOIN grants ON grants.id = page.id JOIN sessions ON sessions.grant_id = grants.id \
             ORDER BY page.name_key, grants.id, sessions.created_at DESC, sessions.hash DESC"
        ));
        const GRANTS: &Template = &Template::new(concat!(
            "SELECT id, ",
            $key,
            " AS name_key FROM grants WHERE ",
            $within,
            " AND (",
            $key,
            ", id) >= ($3, $4) ORDER BY ",
            $key,
            ", id LIMIT {batch}"
        ));
        (SESSIONS, GRANTS)
    }};
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
        let next = match last_if_full(&rows) {
            Some(row) => Some(ListPosition {
                created_at: Timestamp(row.get("created_at")?),
                hash: rows::session_hash_from(row.get("hash")?)?,
            }),
            None => None,
        };
        Ok((readable(&rows)?, next))
    }

    pub(in crate::store) async fn sessions_named(&mut self, name: &str) -> Result<Vec<ListedSession>, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT {listed_columns} FROM sessions JOIN grants ON grants.id = sessions.grant_id WHERE grants.id IN \
             (SELECT id FROM grants WHERE subject = $1 UNION SELECT id FROM grants WHERE {username_key} = $2 \
             UNION SELECT id FROM grants WHERE {email} = $2) ORDER BY sessions.created_at DESC, sessions.hash DESC",
        );
        let key = if self.is_postgres() { escaped(name) } else { name.to_owned() };
        readable(&self.query(SQL).bind(name).bind(key.to_ascii_lowercase()).fetch_all().await?)
    }

    /// Lists the sessions of a hundred grants whose user name or e-mail address begins so, in the order of these names, from one grant on,
    /// and says which grant is the last of the hundred.
    pub(in crate::store) async fn sessions_beginning(
        &mut self,
        beginning: &str,
        by: NameKind,
        from: Option<(&str, GrantId)>,
    ) -> Result<(Vec<(ListedSession, String)>, Option<(String, GrantId)>), StoreError> {
        let name = if self.is_postgres() { escaped(beginning) } else { beginning.to_owned() };
        let first = name.to_ascii_lowercase();
        let last = format!("{first}{}", char::MAX);
        // What is written in a link may be any name.
        let (key, grant) = from.filter(|(key, _)| *key >= first.as_str()).unwrap_or((&first, GrantId([0; 16])));
        let (sessions, grants) = match by {
            NameKind::Email => names_beginning!("{email} >= $1 AND {email} <= $2", "{email}"),
            // Those whose address begins so, too, are among the others.
            NameKind::Username => names_beginning!(
                "{username_key} >= $1 AND {username_key} <= $2 AND NOT COALESCE({email} >= $5 AND {email} <= $2, FALSE)",
                "{username_key}"
            ),
        };
        let mut found = Vec::new();
        for sql in [sessions, grants] {
            let query = self.query(sql).bind(key).bind(&last).bind(key).bind(&grant.0[..]);
            let query = match by {
                NameKind::Email => query,
                NameKind::Username => query.bind(&first),
            };
            found.push(query.fetch_all().await?);
        }
        let [sessions, grants] = found.as_slice() else { return Ok((Vec::new(), None)) };
        let next = match last_if_full(grants) {
            Some(row) => Some((row.get("name_key")?, rows::grant_from(row.get("id")?)?)),
            None => None,
        };
        let keys = sessions.iter().map(|row| Ok((rows::session_hash_from(row.get("hash")?)?, row.get("name_key")?)));
        let keys: HashMap<SessionHash, String> = keys.collect::<Result<_, StoreError>>()?;
        let with_key = |listed: ListedSession| {
            let key = keys.get(&listed.session.hash).cloned().unwrap_or_default();
            (listed, key)
        };
        Ok((readable(sessions)?.into_iter().map(with_key).collect(), next))
    }

    /// Lists the sessions and tokens of one user whose grants may go on, those that were used last first, without those that were handed
    /// over to another site: a hundred behind `after`.
    pub(in crate::store) async fn sessions_of_user(
        &mut self,
        registration: ClientRegistration<'_>,
        subject: &str,
        of_kind: SessionKind,
        after: SeenPosition,
    ) -> Result<(Vec<ListedSession>, Option<SeenPosition>), StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT {listed_columns} FROM grants JOIN sessions ON sessions.grant_id = grants.id WHERE grants.issuer = $1 \
             AND grants.client_id = $2 AND grants.subject = $3 AND {may_go_on} AND sessions.login IS NULL \
             AND ($4 = 'all' OR ($4 = 'browser' AND sessions.token IS NULL) OR ($4 = 'token' AND sessions.token IS NOT NULL)) \
             AND (sessions.last_seen, sessions.hash) < ($5, $6) \
             ORDER BY sessions.last_seen DESC, sessions.hash DESC LIMIT {batch}",
        );
        let kind = match of_kind {
            SessionKind::All => "all",
            SessionKind::Browser => "browser",
            SessionKind::Token => "token",
        };
        let query = self.query(SQL).bind(registration.issuer).bind(registration.client_id).bind(subject).bind(kind);
        let rows = query.bind(after.last_seen.0).bind(&after.hash.0[..]).fetch_all().await?;
        let next = match last_if_full(&rows) {
            Some(row) => Some(SeenPosition {
                last_seen: Timestamp(row.get("last_seen")?),
                hash: rows::session_hash_from(row.get("hash")?)?,
            }),
            None => None,
        };
        Ok((readable(&rows)?, next))
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
        // A part of a list goes on behind the last of the one before, by whichever name it was found.
        found.sort_by_key(|listed| Reverse((listed.session.created_at, listed.session.hash.0)));
        Ok(found)
    }
}

/// A name as it stands in the JSON of an identity, up to the first quotation mark.
pub(super) fn escaped(name: &str) -> String {
    let quoted = serde_json::Value::from(name).to_string();
    quoted.split('"').nth(1).unwrap_or_default().to_owned()
}

/// The last row of a page that is full, behind which there may be another.
fn last_if_full(rows: &[Row]) -> Option<&Row> {
    rows.last().filter(|_| u64::try_from(rows.len()).unwrap_or(u64::MAX) >= BATCH)
}

/// Reads rows, and leaves out those that cannot be read: one must not hide the others.
fn readable(rows: &[Row]) -> Result<Vec<ListedSession>, StoreError> {
    let mut sessions = Vec::with_capacity(rows.len());
    for row in rows {
        let hash = rows::session_hash_from(row.get("hash")?)?;
        match listed(row) {
            Ok(listed) => sessions.push(listed),
            Err(error) => {
                tracing::error!(session = hash.short(), %error, "a session's grant cannot be read, and is left out");
            }
        }
    }
    Ok(sessions)
}

fn listed(row: &Row) -> Result<ListedSession, StoreError> {
    let id = rows::grant_from(row.get("grant_id")?)?;
    let (code, reason) = (row.get("ended_code")?, row.get::<Option<&str>>("ended_reason")?);
    let attempt = row.get::<Option<Vec<u8>>>("attempt")?.map(|bytes| rows::attempt_from(&bytes)).transpose()?;
    let ended = reason.map(|text| Ended { reason: rows::end_reason_from(text).with_attempt(id, attempt), code });
    let is_unknown = attempt.is_some() && row.get("lapsed")?;
    Ok(ListedSession {
        session: rows::session_from(row)?,
        grant: ListedGrant {
            id,
            issuer: row.get("issuer")?,
            client_id: row.get("client_id")?,
            // A row that cannot be read hides no other.
            identity: rows::identity_from(row.get("identity")?).unwrap_or_default(),
            expires_at: Timestamp(row.get("expires_at")?),
            renewed_at: Timestamp(row.get("renewed_at")?),
            generation: row.get("generation")?,
            rotation: rows::rotation_from(row.get("rotation")?),
            has_refresh_token: row.get::<i32>("has_refresh_token")? != 0,
            refresh_key: row.get::<Option<Vec<u8>>>("refresh_token_head")?.as_deref().and_then(KeyRing::key_of),
            refresh_until: row.get::<Option<i64>>("refresh_until")?.map(Timestamp),
            is_outcome_unknown: is_unknown,
            is_restored: attempt.is_some_and(|attempt| attempt.is_of_restored(id)),
            unserved: None,
            refused: row.get("refused_code")?,
            unverified_since: row.get::<Option<i64>>("unverified_since")?.map(Timestamp),
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
