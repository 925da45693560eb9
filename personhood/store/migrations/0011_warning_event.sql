-- A warning of an event that was dropped is told once, however often its client sends it again.

CREATE INDEX ingestion_warning_event ON ingestion_warning (event_uuid, type)
    WHERE event_uuid IS NOT NULL;
