-- The session at the login site that this one was handed over from, at another site: they end together. NULL where the login was at the
-- session's own site.
ALTER TABLE sessions ADD COLUMN login BLOB;

CREATE INDEX IF NOT EXISTS sessions_by_login ON sessions (login) WHERE login IS NOT NULL;
