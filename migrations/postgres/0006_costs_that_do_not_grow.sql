-- Nothing that an older replica writes is refused; what it leaves out has a default.
--
-- What takes long comes first, while writes wait and reads go on; what reads wait for comes last. Indexes that an administrator has
-- built before (docs/postgres.md) are taken as they are.
DO $$
DECLARE
    broken TEXT;
BEGIN
    SELECT string_agg(class.relname, ', ') INTO broken FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
        WHERE NOT indisvalid AND pg_table_is_visible(class.oid) AND class.relname IN
            ('sessions_by_seen_floor', 'grants_by_user', 'grants_by_username', 'grants_by_email');
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'CREATE INDEX CONCURRENTLY left % invalid: drop what is, and build it again', broken;
    END IF;
END
$$;

-- Grants that a session has left: it ended, or moved to another grant. Each is looked at once, and removed if it was the last. A
-- trigger notes them, so that none is missed, whoever ends a session. There may be several rows for one grant: a unique key would
-- make those wait for each other who end sessions.
CREATE TABLE left_grants (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    grant_id BYTEA  NOT NULL,
    -- When it is to be looked at, by the database's clock.
    due_at   BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX left_grants_by_due ON left_grants (due_at, id);

-- When it is next looked at whether a grant's refresh token is to be used before it expires for want of use, by the replicas' clocks:
-- at the latest when that is due. Renewals only move the time at which it is due on, so that they have nothing to write here; triggers
-- write what comes sooner, whichever release makes it. A row outlives its grant until it is due.
CREATE TABLE keep_alive (
    grant_id BYTEA  PRIMARY KEY,
    due_at   BIGINT NOT NULL
);

CREATE INDEX keep_alive_by_due ON keep_alive (due_at);

-- With their owner's rights: a role that an older release was given need have none on these tables. As in the migration before, they
-- find these tables and no others, least of all temporary ones of the caller's, on which the caller may have triggers.
CREATE FUNCTION evergate_leave_grant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO left_grants (grant_id) VALUES (OLD.grant_id);
    RETURN NULL;
END
$$;

CREATE FUNCTION evergate_keep_alive() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO keep_alive (grant_id, due_at) VALUES (NEW.id, NEW.refresh_until - NEW.refresh_life / 4)
        ON CONFLICT (grant_id) DO UPDATE SET due_at = LEAST(keep_alive.due_at, excluded.due_at);
    RETURN NULL;
END
$$;

DO $$
DECLARE
    named TEXT;
BEGIN
    FOREACH named IN ARRAY ARRAY['evergate_leave_grant()', 'evergate_keep_alive()'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', named, current_schema());
    END LOOP;
END
$$;

CREATE TRIGGER sessions_leave AFTER DELETE ON sessions
    FOR EACH ROW EXECUTE FUNCTION evergate_leave_grant();
CREATE TRIGGER sessions_leave_by_moving AFTER UPDATE OF grant_id ON sessions
    FOR EACH ROW WHEN (OLD.grant_id <> NEW.grant_id) EXECUTE FUNCTION evergate_leave_grant();

CREATE TRIGGER grants_keep_alive AFTER INSERT ON grants
    FOR EACH ROW WHEN (NEW.refresh_until IS NOT NULL AND NEW.refresh_life IS NOT NULL) EXECUTE FUNCTION evergate_keep_alive();
CREATE TRIGGER grants_keep_alive_sooner AFTER UPDATE OF refresh_until ON grants
    FOR EACH ROW WHEN (NEW.refresh_until IS NOT NULL AND NEW.refresh_life IS NOT NULL
        AND (OLD.refresh_until IS NULL OR OLD.refresh_life IS NULL OR NEW.refresh_until < OLD.refresh_until
            OR NEW.refresh_life < OLD.refresh_life OR OLD.ended_reason IS NOT NULL
            -- It may have been taken for expired. Two minutes are for clocks that differ.
            OR OLD.refresh_until <= (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT + 120000))
    EXECUTE FUNCTION evergate_keep_alive();

INSERT INTO left_grants (grant_id)
    SELECT id FROM grants WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.grant_id = grants.id);
INSERT INTO keep_alive (grant_id, due_at)
    SELECT id, refresh_until - refresh_life / 4 FROM grants WHERE refresh_until IS NOT NULL AND refresh_life IS NOT NULL;

-- A user's sessions are found by the user's names, whoever the provider is. The names are cut out of the text, so that no identity is
-- refused, and JSON escapes in them stay as they are.
CREATE INDEX IF NOT EXISTS grants_by_user ON grants (subject, issuer, client_id);
CREATE INDEX IF NOT EXISTS grants_by_username ON grants ((split_part(split_part(identity, '"username":"', 2), '"', 1)));
CREATE INDEX IF NOT EXISTS grants_by_email ON grants
    ((lower(COALESCE(NULLIF(split_part(split_part(identity, '"email":"', 2), '"', 1), ''),
        split_part(split_part(identity, '"unverified_email":"', 2), '"', 1)) COLLATE "C")));

-- A time before which the session was not last seen; NULL: its creation. The sweep alone moves it, so that the index on it changes
-- once in an idle limit, and not each time that a session is seen. No other index has last_seen: its updates are heap-only.
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS seen_floor BIGINT;
CREATE INDEX IF NOT EXISTS sessions_by_seen_floor ON sessions ((COALESCE(seen_floor, created_at)));

DROP INDEX sessions_by_last_seen;
-- It changed with each renewal.
DROP INDEX grants_to_keep_alive;
DROP INDEX grants_by_subject;

-- Room in each page for the row's next version.
ALTER TABLE sessions SET (fillfactor = 80);
ALTER TABLE grants SET (fillfactor = 70);
