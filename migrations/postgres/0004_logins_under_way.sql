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
