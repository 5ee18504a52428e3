-- Who was in a network that is gone: their hosts are yet to follow, which the story of its delete sees to. A server may
-- be gone meanwhile.
CREATE TABLE network_leavers (
    action_id       bigint NOT NULL REFERENCES actions ON DELETE CASCADE,
    server_id       bigint NOT NULL,
    PRIMARY KEY (action_id, server_id)
);
