-- Requests that may be sent again, known by a hash of what only their client has. What is kept of the
-- answer is encrypted with the same: a person that it tells of may be forgotten before it goes.

CREATE TABLE idempotency (
    project_id bigint NOT NULL,
    hash bytea NOT NULL,
    fingerprint bytea NOT NULL,
    request_id uuid NOT NULL DEFAULT gen_random_uuid(),
    attempt integer NOT NULL DEFAULT 1,
    answer bytea,
    alive_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, hash)
);

CREATE INDEX idempotency_created ON idempotency (created_at);

-- Whether a request had its effect, although nobody is left to tell its answer.

CREATE INDEX activity_request ON activity (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX deletion_request ON deletion (request_id) WHERE request_id IS NOT NULL;
ALTER TABLE cohort ADD COLUMN request_id uuid;
CREATE INDEX cohort_request ON cohort (request_id) WHERE request_id IS NOT NULL;

-- How often a key asked, in slots of a period: the newest first. A crash may empty it.

CREATE UNLOGGED TABLE rate (
    api_key_id bigint NOT NULL,
    kind text NOT NULL,
    period_s integer NOT NULL,
    most integer NOT NULL,
    slot bigint NOT NULL,
    counts integer[] NOT NULL,
    admitted boolean NOT NULL,
    PRIMARY KEY (api_key_id, kind, period_s)
) WITH (fillfactor = 50);
