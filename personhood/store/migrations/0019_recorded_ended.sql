-- Of persons who are gone, the ids that recordings may still refer to.

CREATE INDEX distinct_id_recorded_ended ON distinct_id (id)
    WHERE is_recorded AND ended_at IS NOT NULL;
