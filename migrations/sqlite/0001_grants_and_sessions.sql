-- Times are milliseconds since the Unix epoch. Tokens are sealed; see src/seal.rs.

CREATE TABLE grants (
    id            BLOB    PRIMARY KEY,
    issuer        TEXT    NOT NULL,
    client_id     TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    identity      TEXT    NOT NULL,
    scopes        TEXT    NOT NULL,
    fingerprint   TEXT    NOT NULL,
    access_token  BLOB    NOT NULL,
    refresh_token BLOB,
    id_token      BLOB,
    expires_at    INTEGER NOT NULL,
    lifetime      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    renewed_at    INTEGER NOT NULL,
    -- Counts saved renewals; a writer that saw an older generation has lost its race.
    generation    INTEGER NOT NULL DEFAULT 0,
    rotation      TEXT    NOT NULL,
    -- The write-ahead intent: which attempt may present the refresh token, and until when.
    attempt       BLOB,
    lease_until   INTEGER,
    last_attempt  BLOB,
    presented     INTEGER NOT NULL DEFAULT 0,
    retry_at      INTEGER,
    ended_reason  TEXT,
    ended_code    TEXT
) STRICT;

CREATE INDEX grants_by_subject ON grants (issuer, client_id, subject);

CREATE TABLE sessions (
    hash       BLOB    PRIMARY KEY,
    grant_id   BLOB    NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_grant ON sessions (grant_id);
CREATE INDEX sessions_by_last_seen ON sessions (last_seen);
CREATE INDEX sessions_by_created_at ON sessions (created_at);

-- Login attempts that have returned, so that each returns once.
CREATE TABLE returned_attempts (
    hash       BLOB    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX returned_attempts_by_expiry ON returned_attempts (expires_at);
