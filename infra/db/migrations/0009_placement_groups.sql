-- Which servers of a project are to stand on different hosts.

CREATE TABLE placement_groups (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id      bigint NOT NULL REFERENCES projects,
    name            text NOT NULL,
    type            text NOT NULL CHECK (type = 'spread'),
    labels          jsonb NOT NULL DEFAULT '{}',
    created         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (project_id, name)
);
CREATE INDEX placement_groups_project ON placement_groups (project_id, id);

ALTER TABLE servers ADD COLUMN placement_group_id bigint REFERENCES placement_groups;
CREATE INDEX servers_placement_group ON servers (placement_group_id) WHERE placement_group_id IS NOT NULL;
