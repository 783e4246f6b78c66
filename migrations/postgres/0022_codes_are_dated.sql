-- When a login's code was presented, by the database's clock, where the provider keeps one refresh token for all logins of a user: the
-- login whose code came last has the one that is alive. No renewal changes it. NULL where it is unknown, as of an earlier release.
ALTER TABLE grants ADD COLUMN IF NOT EXISTS code_presented_at BIGINT;
