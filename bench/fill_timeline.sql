-- One person, and a million events of it in the last 30 days that changed it 300 times.
-- psql variable: events.

BEGIN;

INSERT INTO person (id, project_id, uuid, properties, is_identified, created_at, version)
VALUES (1, 1, gen_random_uuid(), '{"plan": 30, "visits": 300}', true, now() - interval '30 days', 300);

INSERT INTO distinct_id (id, project_id, distinct_id, person_id) VALUES (1, 1, 'ada', 1);

INSERT INTO ledger (project_id, person_id, version, kind, at, before, after)
SELECT 1, 1, n, CASE n WHEN 0 THEN 'created' ELSE 'set' END, now() - interval '30 days',
       CASE WHEN n > 0 THEN jsonb_build_object('plan', (n - 1) / 10, 'visits', n - 1) END,
       jsonb_build_object('plan', n / 10, 'visits', n)
  FROM generate_series(0, 300) AS n;

INSERT INTO event (project_id, distinct_id_id, timestamp, uuid, name, received_at, person_id,
                   person_version, person_mode, properties)
SELECT 1, 1, at, gen_random_uuid(), (ARRAY['$pageview', '$autocapture', 'click'])[1 + n % 3], at, 1,
       n * 300::bigint / :events, 0, jsonb_build_object('$lib', 'web', 'padding', repeat('x', 300))
  FROM (SELECT n, now() - interval '30 days' * (1 - n::float / :events) AS at
          FROM generate_series(0, :events - 1) AS n) AS sent;

SELECT setval('person_id_seq', 1), setval('distinct_id_id_seq', 1);
COMMIT;
VACUUM (ANALYZE) person, distinct_id, ledger, event;
CHECKPOINT;
