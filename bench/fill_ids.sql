-- Persons with :ids distinct ids each, to be merged: 1 and 2. Persons 3 and 4 have two.
\set ON_ERROR_STOP on
-- Little log to copy for each run; the setting does not stay.
ALTER SYSTEM SET max_wal_size = '256MB';
SELECT pg_reload_conf();
BEGIN;
INSERT INTO person (id, project_id, uuid, properties, is_identified, created_at, last_seen_at,
                    version)
SELECT n, 1, gen_random_uuid(), jsonb_build_object('name', 'Person ' || n, 'key ' || n, n), false,
       now() - interval '1 day', now() - interval '1 day', 0
  FROM generate_series(1, 4) AS n;

INSERT INTO distinct_id (project_id, distinct_id, person_id)
SELECT 1, 'person-' || n || '-' || i, n
  FROM generate_series(1, 4) AS n, generate_series(1, CASE WHEN n < 3 THEN :ids ELSE 2 END) AS i;

INSERT INTO ledger (project_id, person_id, version, kind, at, after, is_identified, created_at)
SELECT 1, id, 0, 'created', created_at, properties, false, created_at FROM person;
SELECT setval('person_id_seq', 4);

CREATE TABLE person_before AS TABLE person;
COMMIT;
VACUUM (ANALYZE) person, distinct_id, ledger;
CHECKPOINT;
ALTER SYSTEM RESET max_wal_size;
