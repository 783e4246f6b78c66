-- What administrators did is few among many events.
CREATE INDEX events_of_administrators ON events (at) WHERE kind = 'administration';
