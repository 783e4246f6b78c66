-- The issuer of the user's provider, which an older release leaves empty; the user name, where the user is shown by an e-mail address;
-- and the issuer of the administrator who acted.
ALTER TABLE events ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN username TEXT;
ALTER TABLE events ADD COLUMN actor_issuer TEXT;

-- These serve what events_by_subject and events_by_grant served, too.
CREATE INDEX events_of_user ON events (subject, at);
CREATE INDEX events_of_grant ON events (grant_id, at);
-- What tells of an end is little among many renewals. The condition is that of src/store/sql.rs, word for word.
CREATE INDEX ends_of_user ON events (subject, at)
    WHERE (kind IN ('logout', 'limit', 'administration') OR (kind = 'login' AND outcome = 'denied')
        OR (kind = 'renewal' AND (outcome IN ('dead', 'config') OR reason = 'outcome_unknown')));
CREATE INDEX ends_of_grant ON events (grant_id, at)
    WHERE (kind IN ('logout', 'limit', 'administration') OR (kind = 'login' AND outcome = 'denied')
        OR (kind = 'renewal' AND (outcome IN ('dead', 'config') OR reason = 'outcome_unknown')));
-- By names in lower case.
CREATE INDEX events_by_name ON events (lower(who), subject, issuer);
CREATE INDEX events_by_username ON events (lower(username), subject, issuer) WHERE username IS NOT NULL;
DROP INDEX events_by_subject;
DROP INDEX events_by_grant;
