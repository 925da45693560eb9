-- Running deletions: when one that failed is tried again, and what a request for many made.

ALTER TABLE deletion
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN retry_at timestamptz;

CREATE INDEX deletion_open ON deletion (project_id, id)
    WHERE state IN ('queued', 'waiting', 'running') AND (events OR recordings);
CREATE INDEX deletion_project_state ON deletion (project_id, state, id DESC);

-- What has begun is not extended any more, also while it waits to go on.

DROP INDEX deletion_wish;
CREATE UNIQUE INDEX deletion_wish ON deletion (person_id, events, recordings)
    WHERE NOT profile AND started_at IS NULL AND state IN ('queued', 'waiting');

-- Persons that live on, and were once one with whom a deletion is about: their own ledgers may
-- hold something of it. Gone when the deletion is settled.

CREATE TABLE deletion_neighbour (
    deletion_id bigint NOT NULL,
    person_id bigint NOT NULL,
    PRIMARY KEY (deletion_id, person_id)
);

-- Events of one id may tell another's name. Hashes, because such a text may be longer than an entry
-- of a B-tree; and only of the few events that claim something.

CREATE INDEX event_anon_distinct_id ON event USING hash ((properties ->> '$anon_distinct_id'))
    WHERE properties ? '$anon_distinct_id';
CREATE INDEX event_alias ON event USING hash ((properties ->> 'alias'))
    WHERE properties ? 'alias';
