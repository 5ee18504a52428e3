-- What hosts say that they hold, and what the audit makes of it.

-- When the host last said what it holds; NULL: never.
ALTER TABLE hosts ADD COLUMN told timestamptz;

-- A host's newest account, row for row; since: reported again and again from then on.
CREATE TABLE host_holdings (
    host_id         bigint NOT NULL REFERENCES hosts ON DELETE CASCADE,
    server_id       bigint NOT NULL,
    parts           text[] NOT NULL,                     -- of machine, disk, seed, port; in this order
    since           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host_id, server_id)
);
CREATE INDEX host_holdings_server ON host_holdings (server_id);

-- Actions outlive their servers; those that run are few.
CREATE INDEX actions_running ON actions (server_id) WHERE status = 'running';

-- What is wrong now, and since which audit; a row goes with the first audit that does not find it any more.
CREATE TABLE findings (
    kind            text NOT NULL,
    subject         text NOT NULL,
    location_id     bigint REFERENCES locations,         -- NULL: of the books as a whole
    since           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, subject)
);

-- The newest audit of each location, a row per kind of finding; healed counts from the first audit on.
CREATE TABLE audits (
    location_id     bigint NOT NULL REFERENCES locations,
    kind            text NOT NULL,
    leaks           integer NOT NULL,
    pending         integer NOT NULL,
    healed          bigint NOT NULL DEFAULT 0,
    at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (location_id, kind)
);
