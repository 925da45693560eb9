-- Whether an event came by a historical import, so that a history can be gone through again by the
-- rules that held. NULL is live: it takes no room.

ALTER TABLE event ADD COLUMN historical boolean;
CREATE INDEX event_historical ON event (distinct_id_id) WHERE historical;
