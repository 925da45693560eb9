-- By whom a person was ever absorbed, for telling whose an id was at a moment.

CREATE INDEX activity_absorbed ON activity (other_id) WHERE kind = 'merged';
