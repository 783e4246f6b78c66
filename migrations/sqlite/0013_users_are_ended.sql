-- Users whom their provider has had ended, by the hash of their name: a bearer token or a login from before that is good no more.
CREATE TABLE ended_users (
    name       BLOB    PRIMARY KEY,
    ended_at   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX ended_users_by_expiry ON ended_users (expires_at);
