-- Users whom a directory provisions by SCIM: what it needs to find them again.
CREATE TABLE scim_users (
    id          TEXT PRIMARY KEY,
    issuer      TEXT NOT NULL,
    client_id   TEXT NOT NULL,
    user_name   TEXT NOT NULL,
    -- The name in lower case, of which there is one at a provider.
    name_key    TEXT NOT NULL,
    external_id TEXT,
    -- The other attributes that are kept, as JSON.
    profile     TEXT NOT NULL,
    active      BOOLEAN NOT NULL,
    created_at  BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL
);

CREATE UNIQUE INDEX scim_users_by_name ON scim_users (issuer, client_id, name_key);
CREATE INDEX scim_users_by_external_id ON scim_users (issuer, client_id, external_id);

-- By which hashes of names a user is ended and locked out; see ended_users.
CREATE TABLE scim_names (
    user_id TEXT NOT NULL REFERENCES scim_users (id) ON DELETE CASCADE,
    name    BYTEA NOT NULL,
    PRIMARY KEY (user_id, name)
);

CREATE INDEX scim_names_by_name ON scim_names (name);
