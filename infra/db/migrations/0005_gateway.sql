-- Who asks, and how often: a key may expire, its last use is kept to the minute, and each user has one bucket.

ALTER TABLE api_keys ADD COLUMN expires timestamptz, ADD COLUMN last_used timestamptz;

-- GCRA: the bucket is the time at which it is full again. ``granted``: how many requests the last question let through.
-- What a crash of the database may forget needs no WAL, and a page that is mostly free takes every update in place.
CREATE UNLOGGED TABLE buckets (
    user_id     bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    full_at     timestamptz NOT NULL,
    granted     integer NOT NULL
) WITH (fillfactor = 20);
