-- Private networks: their ranges, subnets and routes, and who has which address in them.

CREATE TABLE networks (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id      bigint NOT NULL REFERENCES projects,
    name            text NOT NULL,
    ip_range        cidr NOT NULL,
    vswitch_routes  boolean NOT NULL DEFAULT false,      -- the wire's expose_routes_to_vswitch: kept, there is none
    protected       boolean NOT NULL DEFAULT false,
    labels          jsonb NOT NULL DEFAULT '{}',
    created         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, name)
);
CREATE INDEX networks_project ON networks (project_id, id);

-- Changed under a lock on the network's row: no two overlap.
CREATE TABLE subnets (
    network_id      bigint NOT NULL REFERENCES networks ON DELETE CASCADE,
    ip_range        cidr NOT NULL,
    type            text NOT NULL CHECK (type IN ('cloud', 'server')),
    network_zone    text NOT NULL,
    PRIMARY KEY (network_id, ip_range)
);

CREATE TABLE routes (
    network_id      bigint NOT NULL REFERENCES networks ON DELETE CASCADE,
    destination     cidr NOT NULL,
    gateway         inet NOT NULL,
    PRIMARY KEY (network_id, destination)
);

-- A server or a load balancer in a network; it leaves with either.
CREATE TABLE network_members (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    network_id          bigint NOT NULL REFERENCES networks ON DELETE CASCADE,
    server_id           bigint REFERENCES servers ON DELETE CASCADE,
    load_balancer_id    bigint,
    CHECK (num_nonnulls(server_id, load_balancer_id) = 1),
    UNIQUE (network_id, server_id),
    UNIQUE (network_id, load_balancer_id)
);
CREATE INDEX network_members_server ON network_members (server_id) WHERE server_id IS NOT NULL;
CREATE INDEX network_members_load_balancer ON network_members (load_balancer_id) WHERE load_balancer_id IS NOT NULL;

-- Its address and its aliases: no address of a network is held twice.
CREATE TABLE network_addresses (
    network_id      bigint NOT NULL,
    ip              inet NOT NULL,
    member_id       bigint NOT NULL REFERENCES network_members ON DELETE CASCADE,
    is_alias        boolean NOT NULL,
    PRIMARY KEY (network_id, ip)
);
CREATE UNIQUE INDEX network_addresses_own ON network_addresses (member_id) WHERE NOT is_alias;
CREATE INDEX network_addresses_member ON network_addresses (member_id);

-- Members with their addresses, as they are told.
CREATE VIEW members AS
SELECT m.id, m.network_id, m.server_id, m.load_balancer_id,
       (SELECT host(a.ip) FROM network_addresses a WHERE a.member_id = m.id AND NOT a.is_alias) AS ip,
       ARRAY(SELECT host(a.ip) FROM network_addresses a WHERE a.member_id = m.id AND a.is_alias ORDER BY a.ip)
       AS aliases
FROM network_members m;
