-- Images that a project brings in: uploaded in parts, or fetched from an address, and made into an image by a story.

-- Of an image that is being made nobody knows yet what it needs: 0.
ALTER TABLE images
    DROP CONSTRAINT images_disk_gib_check,
    ADD CONSTRAINT images_disk_gib_check CHECK (disk_gib > 0 OR (disk_gib = 0 AND status <> 'available'));

-- A project's images may have names; those of deleted ones are free again.
CREATE UNIQUE INDEX images_own_name ON images (project_id, name, architecture)
    WHERE project_id IS NOT NULL AND deleted IS NULL;

-- What was said of an image when it was ordered, and how much of it is in the store. Sizes in bytes.
CREATE TABLE image_imports (
    image_id        bigint PRIMARY KEY REFERENCES images,
    action_id       bigint NOT NULL UNIQUE REFERENCES actions,
    source_url      text,                                       -- NULL: it is uploaded
    sha256          text CHECK (sha256 ~ '^[0-9a-f]{64}$'),     -- as it was said; NULL: it was not
    size            bigint CHECK (size > 0),                    -- likewise
    format          text CHECK (format IN ('qcow2', 'raw', 'vmdk')),
    received        bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    writer          uuid,                                       -- who may acknowledge more; the one before may not
    validator       text,                                       -- by which its source tells that it is still the same
    uploaded        timestamptz,                                -- when the last byte was there
    touched         timestamptz NOT NULL DEFAULT now(),         -- when the last byte came
    CHECK (size IS NULL OR received <= size)
);

-- Each writer has a file of its own. They follow one another without a gap; only the last one grows.
CREATE TABLE image_segments (
    image_id        bigint NOT NULL REFERENCES image_imports ON DELETE CASCADE,
    start           bigint NOT NULL CHECK (start >= 0),
    length          bigint NOT NULL CHECK (length > 0),         -- of it that is acknowledged: the file may be longer
    name            text NOT NULL,
    PRIMARY KEY (image_id, start)
);
