-- The end of a deletion looks for its persons in every column that may refer to one. Few rows have
-- these: merges in the ledger, and what was split.

CREATE INDEX ledger_source ON ledger (source_id) WHERE source_id IS NOT NULL;
CREATE INDEX split_person_leaf ON split_person (leaf_id);
CREATE INDEX split_merge_source ON split_merge (source_id);
CREATE INDEX split_merge_target ON split_merge (target_id);
CREATE INDEX split_merge_source_leaf ON split_merge (source_leaf_id);
CREATE INDEX split_merge_target_leaf ON split_merge (target_leaf_id);
