-- Who acted, as their provider names them (`sub`), and the session that they acted in: what an administrator is shown by, they may have chosen.
ALTER TABLE events ADD COLUMN actor_subject TEXT;
ALTER TABLE events ADD COLUMN actor_session TEXT;
