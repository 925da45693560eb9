-- All events of a project, in the order of time.

CREATE INDEX event_listed ON event (project_id, timestamp);
