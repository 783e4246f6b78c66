-- Forms that met the end of their session, sealed, until their users send them again. `owner` is a hash of who was signed in last.
CREATE TABLE kept_posts (
    name BYTEA PRIMARY KEY,
    owner BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX kept_posts_by_expiry ON kept_posts (expires_at);
