-- By which hashes of names a deleted user stays locked out: whoever is provisioned as the same user again is let in by all of them.
CREATE TABLE scim_names_of_deleted (
    user_id TEXT NOT NULL,
    name    BLOB NOT NULL,
    -- 1 a user name, 2 the provider's identifier: a new user who has it is the same. 0 any other name, which others may have too.
    kind    INTEGER NOT NULL,
    PRIMARY KEY (user_id, name)
) STRICT;

CREATE INDEX scim_names_of_deleted_by_name ON scim_names_of_deleted (name);
