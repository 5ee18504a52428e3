-- Requests for more quota, and keys that take another's place.

-- Asked by a project's people, decided once by an operator. NULL: no more of it is asked for. Memory in MiB, disk in GiB.
CREATE TABLE quota_requests (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id      bigint NOT NULL REFERENCES projects,
    user_id         bigint NOT NULL REFERENCES users,    -- whose key asked
    scope           text NOT NULL CHECK (scope IN ('user', 'project')),
    subject_id      bigint GENERATED ALWAYS AS (CASE scope WHEN 'user' THEN user_id ELSE project_id END) STORED,
    max_servers     integer CHECK (max_servers >= 0),
    max_cores       integer CHECK (max_cores >= 0),
    max_memory_mib  bigint CHECK (max_memory_mib >= 0),
    max_disk_gib    bigint CHECK (max_disk_gib >= 0),
    reason          text NOT NULL,
    state           text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'rejected')),
    created         timestamptz NOT NULL DEFAULT now(),
    decided         timestamptz,
    CHECK ((state = 'open') = (decided IS NULL)),
    CHECK (num_nonnulls(max_servers, max_cores, max_memory_mib, max_disk_gib) > 0)
);
CREATE INDEX quota_requests_project ON quota_requests (project_id, id);
CREATE INDEX quota_requests_open ON quota_requests (id) WHERE state = 'open';

-- Orders under way: what they hold of a quota is told apart from what servers use. There are few at a time.
CREATE INDEX servers_initializing ON servers (id) WHERE status = 'initializing';

-- A rotated key's successor: it has one at most.
ALTER TABLE api_keys ADD COLUMN replaces bigint UNIQUE REFERENCES api_keys;
