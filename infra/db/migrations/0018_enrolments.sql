-- Enrolments: a machine that an operator lets in as a host, once. Of its token there is only the HMAC-SHA256 here.

-- An overcommit that nobody can multiply with would keep all hosts from being read.
ALTER TABLE hosts ADD CONSTRAINT hosts_overcommit_is_finite CHECK (overcommit <= 100);

CREATE TABLE enrolments (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest            bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    location_id       bigint NOT NULL REFERENCES locations,
    name              text,                              -- NULL: the machine says what it is called
    availability_zone text NOT NULL DEFAULT '',
    rack              text NOT NULL DEFAULT '',
    switch            text NOT NULL DEFAULT '',
    overcommit        double precision NOT NULL DEFAULT 4 CHECK (overcommit BETWEEN 1 AND 100),
    created           timestamptz NOT NULL DEFAULT now(),
    expires           timestamptz NOT NULL,
    host_id           bigint UNIQUE REFERENCES hosts ON DELETE CASCADE   -- NULL: not used yet; it goes with its host
);
