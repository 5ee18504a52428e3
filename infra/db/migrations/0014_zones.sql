-- DNS zones and their RRSets, as their owners wrote them.

-- One set of name servers answers for all projects: a name is held once.
CREATE TABLE zones (
    id                      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id              bigint NOT NULL REFERENCES projects,
    name                    text NOT NULL UNIQUE,
    mode                    text NOT NULL CHECK (mode IN ('primary', 'secondary')),
    ttl                     bigint NOT NULL,
    name_servers            text[] NOT NULL,                    -- the catalog's, when the zone was made; absolute
    primary_nameservers     jsonb NOT NULL DEFAULT '[]',        -- of a secondary zone; keys included
    record_count            integer NOT NULL DEFAULT 0,
    protected               boolean NOT NULL DEFAULT false,
    labels                  jsonb NOT NULL DEFAULT '{}',
    created                 timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX zones_project ON zones (project_id, id);

-- Changed under a lock on the zone's row: what stands together was checked together.
CREATE TABLE rrsets (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,    -- ours; the wire's is "name/type"
    zone_id         bigint NOT NULL REFERENCES zones ON DELETE CASCADE,
    name            text COLLATE "C" NOT NULL,
    type            text COLLATE "C" NOT NULL,
    ttl             bigint,                                             -- NULL: the zone's
    records         jsonb NOT NULL CHECK (jsonb_array_length(records) > 0),     -- [{"value", "comment"}]
    protected       boolean NOT NULL DEFAULT false,
    labels          jsonb NOT NULL DEFAULT '{}',
    created         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (zone_id, name, type)
);
