-- Personal access tokens by when they were made: a shorter CODER_MAX_TOKEN_LIFETIME ends them before what they were promised.
CREATE INDEX sessions_token_created_at ON sessions (created_at) WHERE token_expires_at IS NOT NULL;
