-- How often a replica has written its heartbeat: a count that falls shows the replica that the database went back in time. NULL where
-- a replica of an older release does not count.
ALTER TABLE replicas ADD COLUMN beats INTEGER;
