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

-- A directory may write a name in another case than the provider does. An index that an administrator has built before
-- (docs/postgres.md) is taken as it is.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
        WHERE NOT indisvalid AND pg_table_is_visible(class.oid) AND class.relname = 'grants_by_username_in_any_case') THEN
        RAISE EXCEPTION 'CREATE INDEX CONCURRENTLY left grants_by_username_in_any_case invalid: drop what is, and build it again';
    END IF;
END
$$;
CREATE INDEX IF NOT EXISTS grants_by_username_in_any_case ON grants
    ((lower(split_part(split_part(identity, '"username":"', 2), '"', 1))));
