-- The site (host) that the session's login was for, by which the list of sessions is filtered. NULL where an older release made it.
ALTER TABLE sessions ADD COLUMN site TEXT;
