-- Times are milliseconds since the Unix epoch. Tokens are sealed; see src/seal.rs.

CREATE TABLE grants (
    id            BYTEA  PRIMARY KEY,
    issuer        TEXT   NOT NULL,
    client_id     TEXT   NOT NULL,
    subject       TEXT   NOT NULL,
    identity      TEXT   NOT NULL,
    scopes        TEXT   NOT NULL,
    fingerprint   TEXT   NOT NULL,
    access_token  BYTEA  NOT NULL,
    refresh_token BYTEA,
    id_token      BYTEA,
    expires_at    BIGINT NOT NULL,
    lifetime      BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    renewed_at    BIGINT NOT NULL,
    -- Counts saved renewals; a writer that saw an older generation has lost its race.
    generation    BIGINT NOT NULL DEFAULT 0,
    rotation      TEXT   NOT NULL,
    -- The write-ahead intent: which attempt may present the refresh token, and until when (the database's clock).
    attempt       BYTEA,
    lease_until   BIGINT,
    last_attempt  BYTEA,
    presented     BIGINT NOT NULL DEFAULT 0,
    retry_at      BIGINT,
    ended_reason  TEXT,
    ended_code    TEXT
);

CREATE INDEX grants_by_subject ON grants (issuer, client_id, subject);

CREATE TABLE sessions (
    hash       BYTEA  PRIMARY KEY,
    grant_id   BYTEA  NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL
);

CREATE INDEX sessions_by_grant ON sessions (grant_id);
CREATE INDEX sessions_by_last_seen ON sessions (last_seen);
CREATE INDEX sessions_by_created_at ON sessions (created_at);

-- Login attempts that have returned, so that each returns once.
CREATE TABLE returned_attempts (
    hash       BYTEA  PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX returned_attempts_by_expiry ON returned_attempts (expires_at);

-- Every change that a replica's cache must hear of is announced when it commits, whoever makes it.
CREATE FUNCTION evergate_announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'grants' THEN
        PERFORM pg_notify('evergate_changes', 'grant ' || encode(OLD.id, 'hex'));
    ELSE
        PERFORM pg_notify('evergate_changes', 'session ' || encode(OLD.hash, 'hex'));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER grants_announce AFTER UPDATE OR DELETE ON grants
    FOR EACH ROW EXECUTE FUNCTION evergate_announce();
CREATE TRIGGER sessions_announce AFTER DELETE ON sessions
    FOR EACH ROW EXECUTE FUNCTION evergate_announce();
