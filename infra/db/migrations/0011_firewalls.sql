-- Firewalls: the rules of a project's own, and what they are applied to.

CREATE TABLE firewalls (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id      bigint NOT NULL REFERENCES projects,
    name            text NOT NULL,
    rules           jsonb NOT NULL DEFAULT '[]',         -- set as a whole: see infra/domain/firewalls.py
    labels          jsonb NOT NULL DEFAULT '{}',
    created         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, name),
    UNIQUE (id, project_id)
);
CREATE INDEX firewalls_project ON firewalls (project_id, id);

-- One server, or whichever servers of the project have the labels at the time. While there is one, its firewall stays.
CREATE TABLE firewall_targets (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    firewall_id     bigint NOT NULL,
    project_id      bigint NOT NULL,
    server_id       bigint REFERENCES servers ON DELETE CASCADE,
    selector        text,
    CHECK (num_nonnulls(server_id, selector) = 1),
    FOREIGN KEY (firewall_id, project_id) REFERENCES firewalls (id, project_id),
    UNIQUE (firewall_id, server_id),
    UNIQUE (firewall_id, selector)
);
CREATE INDEX firewall_targets_server ON firewall_targets (server_id) WHERE server_id IS NOT NULL;
CREATE INDEX firewall_targets_selectors ON firewall_targets (project_id) WHERE selector IS NOT NULL;
