-- By what a user recognises a session: the browser and the system, and the network address of the login. NULL where an older release
-- made it, and of personal access tokens.
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS browser TEXT;
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS address TEXT;
