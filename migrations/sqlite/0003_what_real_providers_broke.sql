-- Since when the newest tokens wait for their ID token to be verified; empty where it was. An older replica leaves it as it is.
ALTER TABLE grants ADD COLUMN unverified_since INTEGER;
