-- By which hashes of names a deleted user stays locked out: whoever is provisioned as the same user again is let in by all of them.
CREATE TABLE scim_names_of_deleted (
    user_id TEXT NOT NULL,
    name    BYTEA NOT NULL,
    -- 1 a user name, 2 the provider's identifier: a new user who has it is the same. 0 any other name, which others may have too.
    kind    BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
);

CREATE INDEX scim_names_of_deleted_by_name ON scim_names_of_deleted (name);
