-- Users whom their provider has had ended, by the hash of their name: a bearer token or a login from before that is good no more.
CREATE TABLE ended_users (
    name       BYTEA  PRIMARY KEY,
    ended_at   BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX ended_users_by_expiry ON ended_users (expires_at);

-- Every replica hears of it, whoever records it; see migration 0005.
CREATE FUNCTION evergate_announce_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    change TEXT := 'user ' || encode(CASE WHEN TG_OP = 'DELETE' THEN OLD.name ELSE NEW.name END, 'hex');
BEGIN
    INSERT INTO changes (at, payload) VALUES ((EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT, change);
    BEGIN
        PERFORM pg_notify('evergate_changes', change);
    EXCEPTION WHEN feature_not_supported OR undefined_function THEN
        NULL;
    END;
    RETURN NULL;
END
$$;

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION evergate_announce_user() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END
$$;

CREATE TRIGGER ended_users_announce AFTER INSERT OR DELETE ON ended_users
    FOR EACH ROW EXECUTE FUNCTION evergate_announce_user();
CREATE TRIGGER ended_users_announce_change AFTER UPDATE ON ended_users
    FOR EACH ROW WHEN (OLD.ended_at <> NEW.ended_at) EXECUTE FUNCTION evergate_announce_user();
