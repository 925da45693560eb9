-- When something was recorded, told under the lock that it was written under: now() is the begin of
-- a transaction that may have waited, so a later version could have seemed the earlier one.

ALTER TABLE ledger ALTER COLUMN recorded_at SET DEFAULT statement_timestamp();
ALTER TABLE merge ALTER COLUMN recorded_at SET DEFAULT statement_timestamp();
