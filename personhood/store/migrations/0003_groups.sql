-- Groups: companies, teams, whatever events are counted by beside persons.

CREATE TABLE group_type (
    project_id bigint NOT NULL,
    index smallint NOT NULL CHECK (index BETWEEN 0 AND 4),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, index),
    CONSTRAINT group_type_name_key UNIQUE (project_id, name)
);

CREATE TABLE "group" (
    project_id bigint NOT NULL,
    type_index smallint NOT NULL,
    key text NOT NULL,
    properties jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (project_id, type_index, key)
);
