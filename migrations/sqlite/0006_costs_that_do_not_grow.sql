-- Grants that a session has left: it ended, or moved to another grant. Each is looked at once, and removed if it was the last. A
-- trigger notes them, so that none is missed, whoever ends a session.
CREATE TABLE left_grants (
    id       INTEGER PRIMARY KEY,
    grant_id BLOB    NOT NULL,
    -- When it is to be looked at, by the database's clock.
    due_at   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX left_grants_by_due ON left_grants (due_at, id);

CREATE TRIGGER sessions_leave AFTER DELETE ON sessions BEGIN
    INSERT INTO left_grants (grant_id) VALUES (OLD.grant_id);
END;
CREATE TRIGGER sessions_leave_by_moving AFTER UPDATE OF grant_id ON sessions WHEN OLD.grant_id <> NEW.grant_id BEGIN
    INSERT INTO left_grants (grant_id) VALUES (OLD.grant_id);
END;

INSERT INTO left_grants (grant_id)
    SELECT id FROM grants WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.grant_id = grants.id);

-- A time before which the session was not last seen; NULL: its creation. The sweep alone moves it, so that the index on it changes
-- once in an idle limit, and not each time that a session is seen.
ALTER TABLE sessions ADD COLUMN seen_floor INTEGER;

CREATE INDEX sessions_by_seen_floor ON sessions (COALESCE(seen_floor, created_at));
DROP INDEX sessions_by_last_seen;

-- When it is next looked at whether a grant's refresh token is to be used before it expires for want of use: at the latest when that
-- is due. Renewals only move the time at which it is due on, so that they have nothing to write here; triggers write what comes
-- sooner. A row outlives its grant until it is due.
CREATE TABLE keep_alive (
    grant_id BLOB    PRIMARY KEY,
    due_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX keep_alive_by_due ON keep_alive (due_at);

CREATE TRIGGER grants_keep_alive AFTER INSERT ON grants
WHEN NEW.refresh_until IS NOT NULL AND NEW.refresh_life IS NOT NULL BEGIN
    INSERT INTO keep_alive (grant_id, due_at) VALUES (NEW.id, NEW.refresh_until - NEW.refresh_life / 4)
        ON CONFLICT (grant_id) DO UPDATE SET due_at = MIN(keep_alive.due_at, excluded.due_at);
END;
CREATE TRIGGER grants_keep_alive_sooner AFTER UPDATE OF refresh_until ON grants
WHEN NEW.refresh_until IS NOT NULL AND NEW.refresh_life IS NOT NULL
    AND (OLD.refresh_until IS NULL OR OLD.refresh_life IS NULL OR NEW.refresh_until < OLD.refresh_until
        OR NEW.refresh_life < OLD.refresh_life OR OLD.ended_reason IS NOT NULL
        -- It may have been taken for expired. Two minutes are for clocks that differ.
        OR OLD.refresh_until <= CAST(unixepoch('subsec') * 1000 AS INTEGER) + 120000) BEGIN
    INSERT INTO keep_alive (grant_id, due_at) VALUES (NEW.id, NEW.refresh_until - NEW.refresh_life / 4)
        ON CONFLICT (grant_id) DO UPDATE SET due_at = MIN(keep_alive.due_at, excluded.due_at);
END;

INSERT INTO keep_alive (grant_id, due_at)
    SELECT id, refresh_until - refresh_life / 4 FROM grants WHERE refresh_until IS NOT NULL AND refresh_life IS NOT NULL;

DROP INDEX grants_to_keep_alive;

-- A user's sessions are found by the user's names, whoever the provider is.
CREATE INDEX grants_by_user ON grants (subject, issuer, client_id);
DROP INDEX grants_by_subject;
