-- Which distinct ids ever sent a recording: so that those of a person are found among a million ids
-- that sent none, wherever merges and splits have taken them.

ALTER TABLE distinct_id ADD COLUMN is_recorded boolean NOT NULL DEFAULT false;

UPDATE distinct_id
   SET is_recorded = true
 WHERE id IN (SELECT distinct_id_id FROM recording UNION SELECT distinct_id_id FROM recording_block);

CREATE INDEX distinct_id_recorded ON distinct_id (person_id, id)
    WHERE is_recorded AND ended_at IS NULL;
