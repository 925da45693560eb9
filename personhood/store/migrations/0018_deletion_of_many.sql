-- Deletions of many: a million receipts are written in a minute, and each once more when it is done.
-- That second time touches no index: it stays on the page of the first, for which there is room, and
-- no index goes by anything that changes then. (The two columns stay as they are for a profile alone.)

ALTER TABLE deletion
    ADD COLUMN is_open boolean NOT NULL GENERATED ALWAYS AS
        ((events OR recordings) AND state IN ('queued', 'waiting', 'running')) STORED,
    ADD COLUMN is_extendable boolean NOT NULL GENERATED ALWAYS AS
        (NOT profile AND started_at IS NULL AND state IN ('queued', 'waiting')) STORED,
    ADD COLUMN state_apart text GENERATED ALWAYS AS
        (CASE WHEN events OR recordings OR state NOT IN ('running', 'completed') THEN state END)
        STORED;
ALTER TABLE deletion SET (fillfactor = 50);
ALTER TABLE deletion_count SET (fillfactor = 50);

DROP INDEX deletion_due, deletion_open, deletion_project_state, deletion_wish, deletion_request;
CREATE INDEX deletion_open ON deletion (project_id, id) WHERE is_open;
CREATE UNIQUE INDEX deletion_wish ON deletion (person_id, events, recordings) WHERE is_extendable;
CREATE INDEX deletion_project_state ON deletion (project_id, state_apart, id DESC)
    WHERE state_apart IS NOT NULL;
-- A profile that went is told in the activity log, too.
CREATE INDEX deletion_request ON deletion (request_id)
    WHERE request_id IS NOT NULL AND NOT profile;

-- Deletions of profiles that are not settled yet.

CREATE TABLE deletion_unsettled (
    deletion_id bigint PRIMARY KEY
);
INSERT INTO deletion_unsettled
SELECT id
  FROM deletion
 WHERE profile AND settled_at IS NULL AND state IN ('queued', 'waiting', 'running');

-- Whom a deletion of many is still about, a row for what goes in one transaction.

CREATE TABLE bulk_deletion_batch (
    bulk_deletion_id bigint NOT NULL,
    number integer NOT NULL,
    person_ids bigint[] NOT NULL,
    PRIMARY KEY (bulk_deletion_id, number)
);
INSERT INTO bulk_deletion_batch
SELECT bulk_deletion_id, place / 2000, array_agg(person_id ORDER BY person_id)
  FROM (SELECT bulk_deletion_id, person_id,
               row_number() OVER (PARTITION BY bulk_deletion_id ORDER BY person_id) AS place
          FROM bulk_deletion_person) AS placed
 GROUP BY bulk_deletion_id, place / 2000;
DROP TABLE bulk_deletion_person;

-- The newest first, and what a request led to.

CREATE INDEX bulk_deletion_project ON bulk_deletion (project_id, id DESC);
CREATE INDEX bulk_deletion_request ON bulk_deletion (request_id) WHERE request_id IS NOT NULL;
