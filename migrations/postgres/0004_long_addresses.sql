-- Addresses of pages that are too long to travel with their login attempts, sealed.
CREATE TABLE parked_addresses (
    name BYTEA PRIMARY KEY,
    sealed BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX parked_addresses_by_expiry ON parked_addresses (expires_at);
