-- Which clients Evergate is and was at providers, by issuer, and which of them have come after one another (CODER_OIDC_CLIENT_ID).
CREATE TABLE clients (
    issuer     TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    -- The client ID that those have in common that have come after one another.
    lineage    TEXT NOT NULL,
    -- Whether the last start with this issuer was with this client.
    is_present INTEGER NOT NULL,
    PRIMARY KEY (issuer, client_id)
) STRICT;
