-- Columns that an older replica does not know stay empty; nothing that it writes is refused.

-- When the refresh token was last presented, by the database's clock.
ALTER TABLE grants ADD COLUMN presented_at BIGINT;
-- Until when the refresh token lives if it is not renewed, and how long that was when it was issued.
ALTER TABLE grants ADD COLUMN refresh_until BIGINT;
ALTER TABLE grants ADD COLUMN refresh_life BIGINT;
-- The provider refused to renew this grant, with this code, and did not say that it is dead.
ALTER TABLE grants ADD COLUMN refused_code TEXT;
-- The provider's own name for the browser's session there (`sid`).
ALTER TABLE sessions ADD COLUMN provider_session TEXT;

CREATE INDEX grants_to_keep_alive ON grants ((refresh_until - refresh_life / 4)) WHERE refresh_until IS NOT NULL;
CREATE INDEX sessions_by_provider_session ON sessions (provider_session) WHERE provider_session IS NOT NULL;

-- One line of a grant's history each. It outlives the grant.
CREATE TABLE events (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       BIGINT NOT NULL,
    kind     TEXT   NOT NULL,
    grant_id BYTEA  NOT NULL,
    session  TEXT,
    subject  TEXT   NOT NULL,
    who      TEXT   NOT NULL,
    outcome  TEXT   NOT NULL,
    reason   TEXT   NOT NULL,
    code     TEXT,
    duration BIGINT,
    rotated  BOOLEAN,
    replica  TEXT   NOT NULL
);

CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_grant ON events (grant_id);
CREATE INDEX events_by_who ON events (who);
CREATE INDEX events_by_subject ON events (subject);
CREATE INDEX events_by_session ON events (session) WHERE session IS NOT NULL;

-- A session that moves to another grant is a change that caches must hear of; one that is only seen is not.
CREATE TRIGGER sessions_announce_moves AFTER UPDATE OF grant_id ON sessions
    FOR EACH ROW EXECUTE FUNCTION evergate_announce();
