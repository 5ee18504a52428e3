-- An action may be about any resource, and about several; those of a server's own life name it as before.

ALTER TABLE actions
    ALTER COLUMN server_id DROP NOT NULL,
    ADD COLUMN resources jsonb NOT NULL DEFAULT '[]',    -- [{"id", "type"}]; what it changes stands first
    ADD COLUMN location_id bigint REFERENCES locations;  -- of a change of a resource: whose workers carry it out
UPDATE actions SET resources = jsonb_build_array(jsonb_build_object('id', server_id, 'type', 'server'));

CREATE INDEX actions_resources ON actions USING gin (resources jsonb_path_ops);
CREATE INDEX actions_running_changes ON actions (started) WHERE status = 'running' AND location_id IS NOT NULL;

-- Protected: neither deleted nor rebuilt.
ALTER TABLE servers ADD COLUMN protected boolean NOT NULL DEFAULT false;

-- Lists are by project, and in the order of ids unless asked otherwise.
CREATE INDEX servers_project ON servers (project_id, id);
CREATE INDEX actions_project ON actions (project_id, id);
CREATE INDEX ssh_keys_project ON ssh_keys (project_id, id);
