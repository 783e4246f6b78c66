//! The text of statements in the words of both databases.

/// A statement in the words of each database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sql {
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}

/// Text that both databases understand.
impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { postgres: text, sqlite: text }
    }
}

impl From<&'static Template> for Sql {
    fn from(template: &'static Template) -> Self {
        Self { postgres: template.postgres.as_str(), sqlite: template.sqlite.as_str() }
    }
}

/// A statement in which the databases differ. Its text is put together by the compiler, never at run time.
///
/// - `{now}` is the database's own clock, in milliseconds since the Unix epoch.
/// - `{for_update}` holds the selected rows until the transaction ends. SQLite has one lock for the whole file, which a write
///   takes.
/// - `{skip_locked}` does so too, and leaves out rows that another replica holds, so that replicas share the work.
/// - `{batch}` is the number of rows that one statement of the sweep takes. It is part of the text, because a planner that does not
///   know it expects a tenth of the table.
/// - `{username}` and `{email}` are those of an identity as it is stored, the latter in lower case; each has an index on Postgres, where
///   it is as JSON escapes it, up to the first quotation mark. It is cut out of the text, because an index on a JSON value would
///   refuse the row of an identity that Postgres' JSON does not take.
/// - `{username_key}` is the name in lower case and in the order of its bytes, in which names with the same beginning stand together.
/// - `{event_columns}` are those of an event, and `{tells_of_end}` is the condition of the index of those that tell of an end, in its own
///   words, without which no database takes the index.
/// - `{may_go_on}` is the condition of grants that live, or have ended without anybody's word against their user
///   ([`EndReason::leaves_remaining_use`](crate::grant::EndReason::leaves_remaining_use)).
/// - `{bytes}` compares a text by its bytes; lower case is then that of ASCII, as it is on SQLite in any case.
/// - `{listed_columns}` are those of a session and its grant that a list shows.
/// - `{grant_columns}` are the columns that `GrantRow` reads.
#[derive(Debug)]
pub(super) struct Template {
    postgres: Text,
    sqlite: Text,
}

impl Template {
    /// To be called in a `const` alone, so that a mistake in `text` is an error of the compiler's.
    pub(super) const fn new(text: &str) -> Self {
        Self { postgres: Text::EMPTY.push(text, &POSTGRES), sqlite: Text::EMPTY.push(text, &SQLITE) }
    }
}

struct Dialect {
    now: &'static str,
    for_update: &'static str,
    skip_locked: &'static str,
    username: &'static str,
    username_key: &'static str,
    email: &'static str,
    bytes: &'static str,
}

const POSTGRES: Dialect = Dialect {
    now: "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT",
    for_update: " FOR UPDATE",
    skip_locked: " FOR UPDATE SKIP LOCKED",
    username: "split_part(split_part(identity, '\"username\":\"', 2), '\"', 1)",
    username_key: "lower(split_part(split_part(identity, '\"username\":\"', 2), '\"', 1) COLLATE \"C\")",
    email: "lower(COALESCE(NULLIF(split_part(split_part(identity, '\"email\":\"', 2), '\"', 1), ''), \
        split_part(split_part(identity, '\"unverified_email\":\"', 2), '\"', 1)) COLLATE \"C\")",
    bytes: " COLLATE \"C\"",
};
const SQLITE: Dialect = Dialect {
    now: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    for_update: "",
    skip_locked: "",
    username: "COALESCE(identity ->> '$.username', identity ->> '$.unverified.username')",
    username_key: "lower(COALESCE(identity ->> '$.username', identity ->> '$.unverified.username'))",
    email: "lower(COALESCE(identity ->> '$.email', identity ->> '$.unverified_email'))",
    bytes: "",
};

/// The number that `{batch}` stands for.
pub(super) const BATCH: u64 = 100;

const GRANT_COLUMNS: &str = "grants.issuer, grants.client_id, grants.identity, grants.scopes, grants.fingerprint, \
    grants.access_token, substr(grants.refresh_token, 1, 5) AS refresh_token_head, grants.expires_at, grants.lifetime, \
    grants.created_at AS granted_at, grants.renewed_at, grants.generation, grants.rotation, grants.presented, \
    {now} - grants.presented_at AS presented_ago, grants.refresh_until, grants.attempt, \
    COALESCE(grants.lease_until, 0) <= {now} AS lapsed, grants.retry_at, grants.refused_code, grants.unverified_since, \
    grants.provider_session AS granted_session, grants.ended_reason, grants.ended_code";

const LISTED_COLUMNS: &str = "sessions.hash, sessions.grant_id, sessions.created_at, sessions.last_seen, grants.issuer, \
    grants.client_id, substr(grants.refresh_token, 1, 5) AS refresh_token_head, sessions.provider_session, sessions.site, sessions.login, sessions.token_expires_at, sessions.token, sessions.browser, sessions.address, grants.identity, grants.expires_at, grants.renewed_at, grants.generation, grants.rotation, \
    CASE WHEN grants.refresh_token IS NULL THEN 0 ELSE 1 END AS has_refresh_token, grants.refresh_until, grants.attempt, \
    COALESCE(grants.lease_until, 0) <= {now} AS lapsed, grants.refused_code, grants.unverified_since, grants.ended_reason, grants.ended_code";

/// What is returned of sessions that are deleted, with whose they were.
const REPLACED_COLUMNS: &str = "hash, grant_id, created_at, last_seen, provider_session, site, login, token_expires_at, token, \
    (SELECT identity FROM grants WHERE grants.id = grant_id) AS identity, \
    (SELECT issuer FROM grants WHERE grants.id = grant_id) AS issuer";

const EVENT_COLUMNS: &str = "id, at, kind, grant_id, session, issuer, subject, username, who, outcome, reason, code, duration, \
    rotated, detail, actor_issuer, actor_subject, actor_session, replica";

const TELLS_OF_END: &str = "(kind IN ('logout', 'limit', 'administration') OR (kind = 'login' AND outcome = 'denied') \
    OR (kind = 'renewal' AND (outcome IN ('dead', 'config') OR reason = 'outcome_unknown')))";

const MAY_GO_ON: &str = "COALESCE(ended_reason, 'outcome_unknown') IN ('outcome_unknown', 'key_lost')";

#[derive(Debug)]
struct Text {
    bytes: [u8; 2800],
    length: usize,
}

impl Text {
    const EMPTY: Self = Self { bytes: [0; 2800], length: 0 };

    /// Appends a template's text.
    #[expect(clippy::indexing_slicing, clippy::panic, reason = "the compiler runs it, and refuses what is out of bounds")]
    const fn push(mut self, text: &str, dialect: &Dialect) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] != b'{' {
                self.bytes[self.length] = bytes[at];
                self.length += 1;
                at += 1;
                continue;
            }
            let (_, rest) = bytes.split_at(at);
            let (name, part) = if starts_with(rest, b"{now}") {
                ("{now}", dialect.now)
            } else if starts_with(rest, b"{for_update}") {
                ("{for_update}", dialect.for_update)
            } else if starts_with(rest, b"{skip_locked}") {
                ("{skip_locked}", dialect.skip_locked)
            } else if starts_with(rest, b"{batch}") {
                ("{batch}", "100")
            } else if starts_with(rest, b"{username}") {
                ("{username}", dialect.username)
            } else if starts_with(rest, b"{username_key}") {
                ("{username_key}", dialect.username_key)
            } else if starts_with(rest, b"{email}") {
                ("{email}", dialect.email)
            } else if starts_with(rest, b"{listed_columns}") {
                ("{listed_columns}", LISTED_COLUMNS)
            } else if starts_with(rest, b"{event_columns}") {
                ("{event_columns}", EVENT_COLUMNS)
            } else if starts_with(rest, b"{replaced_columns}") {
                ("{replaced_columns}", REPLACED_COLUMNS)
            } else if starts_with(rest, b"{tells_of_end}") {
                ("{tells_of_end}", TELLS_OF_END)
            } else if starts_with(rest, b"{may_go_on}") {
                ("{may_go_on}", MAY_GO_ON)
            } else if starts_with(rest, b"{bytes}") {
                ("{bytes}", dialect.bytes)
            } else if starts_with(rest, b"{grant_columns}") {
                ("{grant_columns}", GRANT_COLUMNS)
            } else {
                panic!("no such name in a template");
            };
            self = self.push(part, dialect);
            at += name.len();
        }
        self
    }

    /// The text, which is whole because it was pushed in whole parts.
    fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

#[expect(clippy::indexing_slicing, reason = "the compiler runs it, and refuses what is out of bounds")]
const fn starts_with(text: &[u8], start: &[u8]) -> bool {
    let mut at = 0;
    while at < start.len() {
        if at >= text.len() || text[at] != start[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::EndReason;

    #[test]
    fn a_template_is_written_in_the_words_of_each_database() {
        let sql = Sql::from(const { &Template::new("SELECT {now} AS a, {now} AS b FROM t{for_update}") });
        let now = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";
        assert_eq!(sql.postgres, format!("SELECT {now} AS a, {now} AS b FROM t FOR UPDATE"));
        let now = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
        assert_eq!(sql.sqlite, format!("SELECT {now} AS a, {now} AS b FROM t"));
    }

    #[test]
    fn a_batch_in_a_template_is_the_number_of_rows_that_it_is_said_to_be() {
        let sql = Sql::from(const { &Template::new("{batch}{skip_locked}") });
        assert_eq!((sql.postgres, sql.sqlite), ("100 FOR UPDATE SKIP LOCKED", "100"));
        assert_eq!(sql.sqlite, BATCH.to_string());
    }

    #[test]
    fn the_statements_know_the_ends_that_leave_a_grant_its_remaining_use() {
        // What is told as restored is stored as an unknown outcome.
        for reason in EndReason::ALL.into_iter().filter(|reason| *reason != EndReason::Restored) {
            let stored = format!("'{}'", reason.as_str());
            assert_eq!(MAY_GO_ON.contains(&stored), reason.leaves_remaining_use(), "{stored}");
        }
    }

    #[test]
    fn parts_of_a_template_may_have_parts() {
        let sql = Sql::from(const { &Template::new("SELECT {grant_columns} FROM grants") });
        assert!(sql.sqlite.contains(" <= CAST(unixepoch('subsec') * 1000 AS INTEGER) AS lapsed, "), "{}", sql.sqlite);
    }
}
