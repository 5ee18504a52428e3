-- Reports: what changes with each of them is in hosts; what hardly ever does is told apart, and written when it does.

-- digest: of all that is here and in host_holdings, as it was last told; a report that says the same writes neither.
CREATE TABLE host_details (
    host_id         bigint PRIMARY KEY REFERENCES hosts ON DELETE CASCADE,
    digest          bytea NOT NULL,
    taken           timestamptz NOT NULL DEFAULT now(),
    facts           jsonb NOT NULL,                      -- sizes and versions, by name
    images          text[] NOT NULL,                     -- digests of those in its cache
    links           jsonb NOT NULL,                      -- by uplink: speed_mbit, and received and sent as tenths of it
    problems        text[] NOT NULL                      -- what of the host does not work
);
ALTER TABLE hosts DROP COLUMN facts;

-- state: of the machine; NULL: there is none, or the host did not say. speaks: whether its agent does; NULL: not known.
-- spoke: when it did last, if it does not any more.
ALTER TABLE host_holdings
    ADD COLUMN state    text CHECK (state IN ('running', 'paused', 'off', 'crashed')),
    ADD COLUMN speaks   boolean,
    ADD COLUMN spoke    timestamptz;
