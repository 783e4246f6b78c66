-- The history is searched by what administrators know of a user whose session is gone, and of a long one the ends are found without
-- reading the rest. Events that an older release has written, or writes beside this one, are found by what they carry.
--
-- Indexes that an administrator has built before (docs/postgres.md) are taken as they are.
DO $$
DECLARE
    broken TEXT;
BEGIN
    SELECT string_agg(class.relname, ', ') INTO broken FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
        WHERE NOT indisvalid AND pg_table_is_visible(class.oid) AND class.relname IN
            ('events_of_user', 'events_of_grant', 'ends_of_user', 'ends_of_grant', 'events_by_name', 'events_by_username',
             'grants_by_username_beginning');
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'CREATE INDEX CONCURRENTLY left % invalid: drop what is, and build it again', broken;
    END IF;
END
$$;

-- These serve what events_by_subject and events_by_grant served, too.
CREATE INDEX IF NOT EXISTS events_of_user ON events (subject, at, id);
CREATE INDEX IF NOT EXISTS events_of_grant ON events (grant_id, at, id);
-- What tells of an end is little among many renewals. The condition is that of src/store/sql.rs, word for word.
CREATE INDEX IF NOT EXISTS ends_of_user ON events (subject, at, id)
    WHERE (kind IN ('logout', 'limit', 'administration') OR (kind = 'login' AND outcome = 'denied')
        OR (kind = 'renewal' AND (outcome IN ('dead', 'config') OR reason = 'outcome_unknown')));
CREATE INDEX IF NOT EXISTS ends_of_grant ON events (grant_id, at, id)
    WHERE (kind IN ('logout', 'limit', 'administration') OR (kind = 'login' AND outcome = 'denied')
        OR (kind = 'renewal' AND (outcome IN ('dead', 'config') OR reason = 'outcome_unknown')));

-- From here on those wait who read the history. The issuer of the user's provider, which an older release leaves empty; the user name,
-- where the user is shown by an e-mail address; and the issuer of the administrator who acted.
ALTER TABLE events ADD COLUMN IF NOT EXISTS issuer TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN IF NOT EXISTS username TEXT;
ALTER TABLE events ADD COLUMN IF NOT EXISTS actor_issuer TEXT;
-- By names in lower case.
CREATE INDEX IF NOT EXISTS events_by_name ON events (lower(who COLLATE "C"), subject, issuer);
CREATE INDEX IF NOT EXISTS events_by_username ON events (lower(username COLLATE "C"), subject, issuer) WHERE username IS NOT NULL;
DROP INDEX events_by_subject;
DROP INDEX events_by_grant;

-- Users are found by the beginnings of their names, in whichever case. Last: from here on to the end logins and token refreshes wait.
DO $$
BEGIN
    -- Even to find it there takes the lock.
    IF to_regclass('grants_by_username_beginning') IS NULL THEN
        CREATE INDEX grants_by_username_beginning ON grants
            ((lower(split_part(split_part(identity, '"username":"', 2), '"', 1) COLLATE "C")));
    END IF;
END
$$;
