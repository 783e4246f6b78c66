-- Addresses of pages that are too long to travel with their login attempts, sealed.
CREATE TABLE parked_addresses (
    name BLOB PRIMARY KEY,
    sealed BLOB NOT NULL,
    expires_at INTEGER NOT NULL
);

CREATE INDEX parked_addresses_by_expiry ON parked_addresses (expires_at);

-- The session of the same user's and browser's whose place this one took: its connections live on.
ALTER TABLE sessions ADD COLUMN follows BLOB;

CREATE INDEX sessions_by_follows ON sessions (follows) WHERE follows IS NOT NULL;
