-- Columns that an older replica does not know stay empty; nothing that it writes is refused.

-- When each replica last said that it lives, by the database's clock.
CREATE TABLE replicas (
    name    TEXT   PRIMARY KEY,
    seen_at INTEGER NOT NULL
);

-- What renewals have shown of a provider, which must outlive the process that learnt it.
CREATE TABLE provider_knowledge (
    issuer        TEXT    NOT NULL,
    client_id     TEXT    NOT NULL,
    -- Whether a renewal of some grant replaced its refresh token; once true, always true.
    rotates       BOOLEAN,
    -- Whether a refresh token that is nobody's is refused as it should be.
    rejects_dummy BOOLEAN,
    PRIMARY KEY (issuer, client_id)
);

-- Which replica holds the intent, so that a dead one's need not be waited for.
ALTER TABLE grants ADD COLUMN attempt_owner TEXT;
-- Since when the newest access token's owner could not be verified.
ALTER TABLE grants ADD COLUMN unverified_since INTEGER;
-- More words on an event, such as the provider's own.
ALTER TABLE events ADD COLUMN detail TEXT;
