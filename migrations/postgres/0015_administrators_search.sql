-- An index that an administrator has built before (docs/postgres.md) is taken as it is.
DO $$
DECLARE
    broken TEXT;
BEGIN
    SELECT string_agg(class.relname, ', ') INTO broken FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
        WHERE NOT indisvalid AND pg_table_is_visible(class.oid) AND class.relname IN
            ('grants_by_username_prefix', 'events_of_administrators');
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'CREATE INDEX CONCURRENTLY left % invalid: drop what is, and build it again', broken;
    END IF;
END
$$;

-- Users are found by the beginning of their names, which takes an order by bytes; that of e-mail addresses has it already.
CREATE INDEX IF NOT EXISTS grants_by_username_prefix ON grants
    ((split_part(split_part(identity, '"username":"', 2), '"', 1) COLLATE "C"));
-- What administrators did is few among many events.
CREATE INDEX IF NOT EXISTS events_of_administrators ON events (at) WHERE kind = 'administration';
