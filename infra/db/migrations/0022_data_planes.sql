-- What the network's data planes need of the books: which overlay a network is, which firewalls guard which server by
-- now, and what a project wants where nobody says otherwise.

-- Numbered in turn, round and round: one that was given up is not another's at once (RFC 7348: 24 bits; the first 4,096
-- are left to operators).
CREATE SEQUENCE network_vnis AS integer MINVALUE 4096 MAXVALUE 16777215 START 4096 CYCLE;

CREATE FUNCTION next_vni() RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    candidate integer;
BEGIN
    LOOP
        candidate := nextval('network_vnis');
        IF NOT EXISTS (SELECT FROM networks WHERE vni = candidate) THEN
            RETURN candidate;
        END IF;
    END LOOP;
END $$;

ALTER TABLE networks ADD COLUMN vni integer;
UPDATE networks SET vni = nextval('network_vnis');
ALTER TABLE networks
    ALTER COLUMN vni SET NOT NULL,
    ALTER COLUMN vni SET DEFAULT next_vni(),
    ADD UNIQUE (vni),
    ADD CHECK (vni BETWEEN 4096 AND 16777215);

-- As its host told it, under the claim of that epoch. A firewall may be gone from the books and still guard a server.
CREATE TABLE enforced_firewalls (
    server_id       bigint NOT NULL REFERENCES servers ON DELETE CASCADE,
    firewall_id     bigint NOT NULL,
    epoch           integer NOT NULL,
    PRIMARY KEY (server_id, firewall_id)
);
CREATE INDEX enforced_firewalls_firewall ON enforced_firewalls (firewall_id);

ALTER TABLE projects
    ADD COLUMN default_network boolean NOT NULL DEFAULT true,   -- servers that name no networks join the one of that name
    ADD COLUMN inbound_policy text NOT NULL DEFAULT 'drop'      -- what no rule names, while no firewall is in effect
        CHECK (inbound_policy IN ('drop', 'accept'));
