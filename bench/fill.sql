-- A project with :persons persons, each with one distinct id, one ledger entry and one event: what
-- ingestion leaves of a first event. Person, distinct id and number of the text are the same n.
-- Every fifth of them was somebody anonymous before, who was merged into it. The random things are
-- uuids, so that their indexes are as scattered as they are in life.
\set ON_ERROR_STOP on
-- Little log to copy for each run; the setting does not stay.
ALTER SYSTEM SET max_wal_size = '256MB';
SELECT pg_reload_conf();
BEGIN;
CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT n AS id,
       gen_random_uuid() AS uuid,
       gen_random_uuid() AS event_uuid,
       date_trunc('second', now() - interval '45 days' * (1 - n::float / :persons)) AS at
  FROM generate_series(1, :persons) AS n;

CREATE TEMP VIEW described AS
SELECT *,
       jsonb_build_object(
           'email', 'user-' || id || '@example.com',
           'name', 'User Number ' || id,
           'plan', (ARRAY['free', 'team', 'scale'])[1 + id % 3],
           'company', 'Company ' || id % 5000,
           'signup_source', (ARRAY['search', 'friend', 'advert', 'unknown'])[1 + id % 4],
           'seats', id % 100,
           '$browser', (ARRAY['Chrome', 'Firefox', 'Safari'])[1 + id % 3],
           '$os', (ARRAY['Windows', 'Mac OS X', 'Linux', 'Android'])[1 + id % 4],
           '$initial_referrer', '$direct',
           '$initial_current_url', 'https://app.example.com/welcome?step=' || id % 7,
           '$geoip_country_code', (ARRAY['DE', 'US', 'GB', 'FR', 'JP'])[1 + id % 5],
           '$creator_event_uuid', event_uuid
       ) AS properties
  FROM made;

INSERT INTO person (id, project_id, uuid, properties, is_identified, created_at, last_seen_at,
                    version)
SELECT id, 1, uuid, properties, id % 5 = 0, at, date_trunc('hour', at), (id % 5 = 0)::int
  FROM described ORDER BY id;

INSERT INTO distinct_id (id, project_id, distinct_id, person_id)
SELECT id, 1, 'user-' || id, id FROM made ORDER BY id;

INSERT INTO ledger (project_id, person_id, version, kind, at, event_uuid, distinct_id_id, after,
                    is_identified, created_at, ids)
SELECT 1, id, 0, 'created', at, event_uuid, id, properties, false, at, ARRAY[id]
  FROM described ORDER BY id;

INSERT INTO event_key (project_id, uuid, distinct_id_id, timestamp)
SELECT 1, event_uuid, id, at FROM made ORDER BY id;

INSERT INTO event (project_id, distinct_id_id, timestamp, uuid, name, received_at, person_id,
                   person_version, person_mode, properties)
SELECT 1, id, at, event_uuid, 'signed up', at, id, 0, 0,
       jsonb_build_object('$ip', '127.0.0.1', '$lib', 'posthog-python', 'step', id % 7)
  FROM made ORDER BY id;

-- The anonymous ones: n is that of the person they became.
CREATE TEMP TABLE absorbed ON COMMIT DROP AS
SELECT :persons + n / 5 AS id, n AS target_id, gen_random_uuid() AS event_uuid, at
  FROM (SELECT id AS n, at FROM made WHERE id % 5 = 0) AS fifth;

INSERT INTO person (id, project_id, uuid, properties, is_identified, created_at, last_seen_at,
                    version, merged_into_id)
SELECT id, 1, gen_random_uuid(), jsonb_build_object('$creator_event_uuid', event_uuid), false, at,
       date_trunc('hour', at), 0, target_id
  FROM absorbed ORDER BY id;

INSERT INTO distinct_id (id, project_id, distinct_id, person_id)
SELECT id, 1, gen_random_uuid(), id FROM absorbed ORDER BY id;

INSERT INTO ledger (project_id, person_id, version, kind, at, event_uuid, distinct_id_id, after,
                    is_identified, created_at, ids)
SELECT 1, id, 0, 'created', at, event_uuid, id,
       jsonb_build_object('$creator_event_uuid', event_uuid), false, at, ARRAY[id]
  FROM absorbed ORDER BY id;

INSERT INTO ledger (project_id, person_id, version, kind, at, event_uuid, distinct_id_id,
                    is_identified, source_id)
SELECT 1, target_id, 1, 'merged', at, event_uuid, target_id, true, id FROM absorbed ORDER BY id;

INSERT INTO merge (project_id, source_id, target_id, source_leaf_id, target_leaf_id, source_version,
                   target_version, at, event_uuid, distinct_id_id)
SELECT 1, id, target_id, id, target_id, 0, 1, at, event_uuid, target_id FROM absorbed ORDER BY id;

INSERT INTO event_key (project_id, uuid, distinct_id_id, timestamp)
SELECT 1, event_uuid, id, at FROM absorbed ORDER BY id;

INSERT INTO event (project_id, distinct_id_id, timestamp, uuid, name, received_at, person_id,
                   person_version, person_mode, properties)
SELECT 1, id, at, event_uuid, 'page opened', at, id, 0, 0, jsonb_build_object('$lib', 'web')
  FROM absorbed ORDER BY id;

SELECT setval('person_id_seq', max(id)), setval('distinct_id_id_seq', max(id)) FROM absorbed;
COMMIT;
VACUUM (ANALYZE) person, distinct_id, ledger, merge, event, event_key;
CHECKPOINT;
ALTER SYSTEM RESET max_wal_size;
