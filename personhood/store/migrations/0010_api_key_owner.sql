-- Whose key it is: what the activity log tells beside the label.

ALTER TABLE api_key ADD COLUMN owner text;
