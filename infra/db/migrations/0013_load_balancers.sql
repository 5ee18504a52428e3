-- Load balancers: what they listen on, and whom they send it to.

CREATE TABLE load_balancers (
    id                      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id              bigint NOT NULL REFERENCES projects,
    name                    text NOT NULL,
    load_balancer_type_id   bigint NOT NULL REFERENCES load_balancer_types,
    location_id             bigint NOT NULL REFERENCES locations,
    algorithm               text NOT NULL CHECK (algorithm IN ('round_robin', 'least_connections')),
    public_enabled          boolean NOT NULL DEFAULT true,  -- it keeps its addresses while this is off
    protected               boolean NOT NULL DEFAULT false,
    dns_ptr                 jsonb NOT NULL DEFAULT '{}',    -- {address: name}, where the owner set one
    labels                  jsonb NOT NULL DEFAULT '{}',
    created                 timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, name)
);
CREATE INDEX load_balancers_project ON load_balancers (project_id, id);

-- Changed under a lock on the load balancer's row: what redirects from port 80 listens there, too.
CREATE TABLE load_balancer_services (
    load_balancer_id    bigint NOT NULL REFERENCES load_balancers ON DELETE CASCADE,
    listen_port         integer NOT NULL CHECK (listen_port BETWEEN 1 AND 65535),
    protocol            text NOT NULL CHECK (protocol IN ('tcp', 'http', 'https')),
    destination_port    integer NOT NULL CHECK (destination_port BETWEEN 1 AND 65535),
    proxyprotocol       boolean NOT NULL,
    http                jsonb,                              -- as infra.domain.load_balancers.Http; NULL: tcp
    health_check        jsonb NOT NULL,                     -- as infra.domain.load_balancers.HealthCheck
    PRIMARY KEY (load_balancer_id, listen_port),
    CHECK ((protocol = 'tcp') = (http IS NULL))
);

-- A server, all servers with some labels, or an address. member_id: it is reached by way of the network that the load
-- balancer is in there, and goes when the load balancer leaves that; NULL: by its public address. An address goes when
-- its owner gives it back.
CREATE TABLE load_balancer_targets (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    load_balancer_id    bigint NOT NULL REFERENCES load_balancers ON DELETE CASCADE,
    server_id           bigint REFERENCES servers ON DELETE CASCADE,
    selector            text,
    ip                  text,
    primary_ip_id       bigint REFERENCES primary_ips ON DELETE CASCADE,
    member_id           bigint REFERENCES network_members ON DELETE CASCADE,
    CHECK (num_nonnulls(server_id, selector, ip) = 1),
    CHECK (CASE WHEN ip IS NULL THEN primary_ip_id IS NULL ELSE num_nonnulls(primary_ip_id, member_id) = 1 END)
);
CREATE INDEX load_balancer_targets_balancer ON load_balancer_targets (load_balancer_id, id);
CREATE UNIQUE INDEX load_balancer_targets_server ON load_balancer_targets (server_id, load_balancer_id)
    WHERE server_id IS NOT NULL;
CREATE UNIQUE INDEX load_balancer_targets_selector ON load_balancer_targets (load_balancer_id, selector)
    WHERE selector IS NOT NULL;
CREATE UNIQUE INDEX load_balancer_targets_ip ON load_balancer_targets (load_balancer_id, ip) WHERE ip IS NOT NULL;
CREATE INDEX load_balancer_targets_owner ON load_balancer_targets (primary_ip_id) WHERE primary_ip_id IS NOT NULL;
CREATE INDEX load_balancer_targets_member ON load_balancer_targets (member_id) WHERE member_id IS NOT NULL;

-- It leaves its network when it goes, and is in one at most.
ALTER TABLE network_members
    ADD FOREIGN KEY (load_balancer_id) REFERENCES load_balancers ON DELETE CASCADE;
DROP INDEX network_members_load_balancer;
CREATE UNIQUE INDEX network_members_load_balancer ON network_members (load_balancer_id)
    WHERE load_balancer_id IS NOT NULL;

-- Its addresses come to rest before it goes.
ALTER TABLE addresses
    ADD FOREIGN KEY (load_balancer_id) REFERENCES load_balancers;
