-- How many token refreshes came to what at a provider in an hour, and how long they took: for administrators' charts, so that nobody
-- counts the history. bucket is a place in the list of bounds of src/store/provider_hours.rs, hour the time at which it began.
CREATE TABLE provider_hours (
    hour      BIGINT NOT NULL,
    issuer    TEXT   NOT NULL,
    client_id TEXT   NOT NULL,
    outcome   TEXT   NOT NULL,
    bucket    BIGINT NOT NULL,
    calls     BIGINT NOT NULL,
    PRIMARY KEY (hour, issuer, client_id, outcome, bucket)
);
