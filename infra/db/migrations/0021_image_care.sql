-- Care for images: when each was last read back right, who doubts it, and since when it is kept from use.
-- The image store is marked with the id of the books that it belongs to: nobody sweeps another's.

CREATE TABLE installation (
    id   uuid NOT NULL DEFAULT gen_random_uuid(),
    sole boolean PRIMARY KEY DEFAULT true CHECK (sole)   -- there is one row
);
INSERT INTO installation DEFAULT VALUES;

ALTER TABLE images
    ADD COLUMN verified    timestamptz,                  -- NULL: never since it was made
    ADD COLUMN doubted     timestamptz,                  -- a host found it damaged or missing; NULL: nobody does
    ADD COLUMN quarantined timestamptz;                  -- the store has no good copy of it; NULL: it is not so
CREATE INDEX images_digest ON images (digest);
CREATE INDEX images_doubted ON images (doubted) WHERE doubted IS NOT NULL;
