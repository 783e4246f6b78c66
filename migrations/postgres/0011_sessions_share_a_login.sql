-- An index that an administrator has built before (docs/postgres.md) is taken as it is.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
        WHERE NOT indisvalid AND pg_table_is_visible(class.oid) AND class.relname = 'sessions_by_login') THEN
        RAISE EXCEPTION 'CREATE INDEX CONCURRENTLY left sessions_by_login invalid: drop it, and build it again';
    END IF;
END
$$;

-- The session at the login site that this one was handed over from, at another site: they end together. NULL where the login was at the
-- session's own site.
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS login BYTEA;

CREATE INDEX IF NOT EXISTS sessions_by_login ON sessions (login) WHERE login IS NOT NULL;
