-- By which hashes of names a deleted user stays locked out: whoever is provisioned as the same user again is let in by all of them.
CREATE TABLE scim_names_of_deleted (
    user_id TEXT NOT NULL,
    name    BYTEA NOT NULL,
    -- Whether a new user who has it is the same: a user name or an identifier, and no address, which others may have.
    is_own  BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, name)
);

CREATE INDEX scim_names_of_deleted_by_name ON scim_names_of_deleted (name);
