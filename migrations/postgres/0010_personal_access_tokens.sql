-- A session that is a personal access token's: when it ends, and its name and routes as JSON. NULL for a browser's.
ALTER TABLE sessions ADD COLUMN token_expires_at BIGINT;
ALTER TABLE sessions ADD COLUMN token TEXT;
CREATE INDEX sessions_token_expires_at ON sessions (token_expires_at) WHERE token_expires_at IS NOT NULL;
