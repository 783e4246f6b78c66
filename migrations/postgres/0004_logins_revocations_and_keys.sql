-- The provider's name for the session there that a grant came of; NULL where it is not known, as of older grants. Grants come before
-- sessions, as they do where a login is kept, so that neither waits for the other.
ALTER TABLE grants ADD COLUMN provider_session TEXT;

-- Addresses of pages that are too long to travel with their login attempts, sealed.
CREATE TABLE parked_addresses (
    name BYTEA PRIMARY KEY,
    sealed BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX parked_addresses_by_expiry ON parked_addresses (expires_at);

-- The session of the same user's and browser's whose place this one took: its connections live on.
ALTER TABLE sessions ADD COLUMN follows BYTEA;

CREATE INDEX sessions_by_follows ON sessions (follows) WHERE follows IS NOT NULL;

-- Refresh tokens that are to be revoked at the provider, sealed as they were in their grant.
CREATE TABLE revocations (
    id BYTEA PRIMARY KEY,
    grant_id BYTEA NOT NULL,
    session TEXT,
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    provider_session TEXT,
    identity TEXT NOT NULL,
    refresh_token BYTEA NOT NULL,
    reason TEXT NOT NULL,
    -- It is let be where it would hurt a grant that is in use.
    sparing BOOLEAN NOT NULL,
    tries INTEGER NOT NULL,
    due_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX revocations_by_due ON revocations (due_at);

-- Which keys each replica has, by their names; NULL where it does not say.
ALTER TABLE replicas ADD COLUMN keys TEXT;
