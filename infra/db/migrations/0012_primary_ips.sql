-- Public addresses are held by primary IPs, which outlast servers when their owners want that, and by load balancers.

CREATE TABLE primary_ips (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id      bigint NOT NULL REFERENCES projects,
    name            text NOT NULL,
    type            text NOT NULL CHECK (type IN ('ipv4', 'ipv6')),
    location_id     bigint NOT NULL REFERENCES locations,
    auto_delete     boolean NOT NULL DEFAULT false,      -- goes with the server that it is assigned to
    protected       boolean NOT NULL DEFAULT false,
    dns_ptr         jsonb NOT NULL DEFAULT '{}',         -- {address: name}, where the owner set one
    labels          jsonb NOT NULL DEFAULT '{}',
    created         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, name)
);
CREATE INDEX primary_ips_project ON primary_ips (project_id, id);

-- server_id: whose the address is now; a primary IP that is not assigned keeps its address.
ALTER TABLE addresses
    ADD COLUMN primary_ip_id bigint UNIQUE REFERENCES primary_ips,
    ADD COLUMN load_balancer_id bigint,
    ADD COLUMN held boolean NOT NULL GENERATED ALWAYS AS (num_nonnulls(server_id, primary_ip_id, load_balancer_id) > 0)
        STORED,
    ADD CHECK (load_balancer_id IS NULL OR num_nonnulls(server_id, primary_ip_id) = 0);
CREATE UNIQUE INDEX addresses_load_balancer ON addresses (load_balancer_id, type) WHERE load_balancer_id IS NOT NULL;

-- Servers that are there get the primary IPs that they would have got.
INSERT INTO primary_ips (id, project_id, name, type, location_id, auto_delete)
OVERRIDING SYSTEM VALUE
SELECT a.id, s.project_id, 'primary_ip-' || a.id, a.type, s.location_id, true
FROM addresses a JOIN servers s ON s.id = a.server_id;
SELECT setval(pg_get_serial_sequence('primary_ips', 'id'), max(id)) FROM addresses HAVING count(*) > 0;
UPDATE addresses SET primary_ip_id = id WHERE server_id IS NOT NULL;

DROP INDEX addresses_free;
CREATE INDEX addresses_free ON addresses (pool_id, released NULLS FIRST, id) WHERE NOT held;
