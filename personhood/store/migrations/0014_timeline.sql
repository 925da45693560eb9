-- The events that a person was given, in the order of time: what a timeline counts, from the index
-- alone. (What is a person's by its distinct ids, the primary key of `event` finds.)

CREATE INDEX event_timeline ON event (person_id, timestamp)
    INCLUDE (person_version, person_mode, name)
    WHERE person_id IS NOT NULL;
