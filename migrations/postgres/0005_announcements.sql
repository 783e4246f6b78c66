-- What caches must hear of at once is announced by the transaction that changes it, whoever makes it. A token refresh changes
-- nothing that a cache must not go on using until it hears of it, so its replica announces it by itself, a moment later and in
-- batches: a commit with a notification takes a lock that all databases of a server share.

-- Announcements for replicas that no notification reaches, which poll.
CREATE TABLE changes (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      BIGINT NOT NULL,
    payload TEXT   NOT NULL
);

CREATE INDEX changes_by_time ON changes (at);

-- These functions have their owner's rights, so that a role that may change rows needs none on the table of announcements. What they
-- name is found where this migration found it, and never in a schema of the caller's. Those that can be called are of use to whoever
-- may change grants alone: any other role of the database could delete the announcement that a session has ended.
CREATE OR REPLACE FUNCTION evergate_announce() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    change TEXT;
BEGIN
    IF TG_TABLE_NAME = 'grants' THEN
        change := 'grant ' || encode(OLD.id, 'hex');
    ELSE
        change := 'session ' || encode(OLD.hash, 'hex');
    END IF;
    INSERT INTO changes (at, payload) VALUES ((EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT, change);
    BEGIN
        PERFORM pg_notify('evergate_changes', change);
    EXCEPTION WHEN feature_not_supported OR undefined_function THEN
        -- A database that has no notifications; its replicas poll.
        NULL;
    END;
    RETURN NULL;
END
$$;

-- Announces grants that were refreshed, whose ids are separated by commas.
CREATE FUNCTION evergate_announce_grants(ids TEXT) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NOT has_table_privilege(session_user, 'grants', 'UPDATE') THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s may not change grants, and so announces nothing', session_user);
    END IF;
    INSERT INTO changes (at, payload) VALUES ((EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT, 'grants ' || ids);
    BEGIN
        PERFORM pg_notify('evergate_changes', 'grant ' || id) FROM unnest(string_to_array(ids, ',')) AS id;
    EXCEPTION WHEN feature_not_supported OR undefined_function THEN
        NULL;
    END;
END
$$;

-- Deletes announcements of before a time, some of them at once, and returns how many.
CREATE FUNCTION evergate_forget_announcements(before BIGINT) RETURNS BIGINT LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    deleted BIGINT;
BEGIN
    IF NOT has_table_privilege(session_user, 'grants', 'UPDATE') THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s may not change grants, and so announces nothing', session_user);
    END IF;
    DELETE FROM changes WHERE id IN (SELECT id FROM changes WHERE at < before ORDER BY at LIMIT 10000);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;

DO $$
DECLARE
    named TEXT;
BEGIN
    FOREACH named IN ARRAY ARRAY['evergate_announce()', 'evergate_announce_grants(TEXT)', 'evergate_forget_announcements(BIGINT)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', named, current_schema());
    END LOOP;
END
$$;

DROP TRIGGER grants_announce ON grants;
CREATE TRIGGER grants_announce_removal AFTER DELETE ON grants
    FOR EACH ROW EXECUTE FUNCTION evergate_announce();
CREATE TRIGGER grants_announce_change AFTER UPDATE ON grants
    FOR EACH ROW WHEN (OLD.ended_reason IS DISTINCT FROM NEW.ended_reason OR OLD.identity IS DISTINCT FROM NEW.identity)
    EXECUTE FUNCTION evergate_announce();
