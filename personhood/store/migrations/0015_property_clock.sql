-- What a historical import knew of the times of a person's properties, beyond what the ledger tells:
-- which events came in and changed nothing. `version` is the person's when it was written; what
-- happened since is in the ledger. Only persons that a historical import had to do with have a row.

CREATE TABLE property_clock (
    project_id bigint NOT NULL,
    person_id bigint PRIMARY KEY,
    version bigint NOT NULL,
    times jsonb NOT NULL
);
