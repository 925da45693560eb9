-- Deletions of many: a million receipts are written in a minute, and each once more when it is done.

-- Counts are known when a deletion is settled: that update stays on its page and touches no index.
ALTER TABLE deletion_count SET (fillfactor = 50);

-- Nearly all are completed, so these are found without an index of their own.
DROP INDEX deletion_project_state;
CREATE INDEX deletion_project_state ON deletion (project_id, state, id DESC)
    WHERE state <> 'completed';

-- Profiles that have gone and are not settled yet: few, and only for a moment.
DROP INDEX deletion_due;
CREATE INDEX deletion_unsettled ON deletion (id)
    WHERE profile AND settled_at IS NULL AND state IN ('queued', 'waiting', 'running');

-- The newest first, and what a request led to.
CREATE INDEX bulk_deletion_project ON bulk_deletion (project_id, id DESC);
CREATE INDEX bulk_deletion_request ON bulk_deletion (request_id) WHERE request_id IS NOT NULL;
