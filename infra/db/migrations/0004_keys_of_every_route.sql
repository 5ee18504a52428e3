-- A key also stands for what is done when it is answered, and has no order: an SSH key, for one.

ALTER TABLE idempotency_keys ALTER COLUMN server_id DROP NOT NULL, ALTER COLUMN action_id DROP NOT NULL;
