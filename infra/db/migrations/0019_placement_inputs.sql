-- What each placement was decided on, for a week: anyone can decide it again. Decisions of one moment differ in few hosts,
-- so they share a table of hosts, and each keeps what had changed since.
CREATE TABLE placement_hosts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hosts           bytea NOT NULL,                      -- infra/domain/host_table.py, packed
    created         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX placement_hosts_created ON placement_hosts (created);
ALTER TABLE placement_hosts ALTER COLUMN hosts SET STORAGE EXTERNAL;  -- it is compressed already

-- Outlives its server, and is there for those that were refused.
CREATE TABLE placement_inputs (
    server_id       bigint NOT NULL,
    epoch           integer NOT NULL,
    host_id         bigint,                              -- that was claimed; NULL: none fitted
    ask             jsonb NOT NULL,
    hosts_id        bigint NOT NULL REFERENCES placement_hosts ON DELETE CASCADE,
    changed         bytea NOT NULL,
    digest          text NOT NULL,
    created         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (server_id, epoch)
);
CREATE INDEX placement_inputs_hosts ON placement_inputs (hosts_id);
