-- Placement: where hosts stand, what is really free on them, and which of them changed since a table of them was read.

ALTER TABLE hosts
    ADD COLUMN availability_zone text NOT NULL DEFAULT '',
    ADD COLUMN cpu_busy        double precision NOT NULL DEFAULT 0,
    ADD COLUMN free_memory_mib bigint,                  -- really, at the last report; NULL: it did not say
    ADD COLUMN free_disk_gib   bigint,
    -- The most that claims may hold: the capacity, or what they held when it shrank below that.
    ADD COLUMN room_cores      integer NOT NULL DEFAULT 0,
    ADD COLUMN room_memory_mib bigint NOT NULL DEFAULT 0,
    ADD COLUMN room_disk_gib   bigint NOT NULL DEFAULT 0,
    ADD COLUMN changed         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    DROP CONSTRAINT hosts_state_check,
    ADD CONSTRAINT hosts_state_check CHECK (state IN ('accepting', 'cordoned', 'draining', 'lost'));

-- Who writes a host need not think of either: its room follows its capacity, and a table of hosts that is kept warm reads
-- what changed since its last snapshot.
CREATE FUNCTION host_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := pg_current_xact_id();
    IF TG_OP = 'INSERT' OR (NEW.cores, NEW.overcommit, NEW.memory_mib, NEW.disk_gib)
                           IS DISTINCT FROM (OLD.cores, OLD.overcommit, OLD.memory_mib, OLD.disk_gib) THEN
        NEW.room_cores := greatest(floor(NEW.cores * NEW.overcommit), NEW.used_cores);
        NEW.room_memory_mib := greatest(NEW.memory_mib, NEW.used_memory_mib);
        NEW.room_disk_gib := greatest(NEW.disk_gib, NEW.used_disk_gib);
    END IF;
    RETURN NEW;
END $$;
UPDATE hosts SET room_cores = greatest(floor(cores * overcommit)::int, used_cores),
                 room_memory_mib = greatest(memory_mib, used_memory_mib),
                 room_disk_gib = greatest(disk_gib, used_disk_gib);
ALTER TABLE hosts
    ADD CONSTRAINT hosts_room_for_cores CHECK (used_cores <= room_cores),
    ADD CONSTRAINT hosts_room_for_memory CHECK (used_memory_mib <= room_memory_mib),
    ADD CONSTRAINT hosts_room_for_disk CHECK (used_disk_gib <= room_disk_gib);
CREATE TRIGGER host_written BEFORE INSERT OR UPDATE ON hosts FOR EACH ROW EXECUTE FUNCTION host_written();
CREATE INDEX hosts_changed ON hosts (location_id, changed);
DROP INDEX hosts_location;

-- Hosts that are gone from a location cannot be read there: their number says that one is.
CREATE TABLE hosts_gone (
    location_id     bigint PRIMARY KEY REFERENCES locations,
    hosts           bigint NOT NULL
);
CREATE FUNCTION host_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hosts_gone (location_id, hosts) VALUES (OLD.location_id, 1)
    ON CONFLICT (location_id) DO UPDATE SET hosts = hosts_gone.hosts + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER host_gone AFTER DELETE ON hosts FOR EACH ROW EXECUTE FUNCTION host_gone();
CREATE TRIGGER host_moved AFTER UPDATE OF location_id ON hosts FOR EACH ROW
    WHEN (OLD.location_id <> NEW.location_id) EXECUTE FUNCTION host_gone();

-- Where a project's servers are is asked with each of its placements.
ALTER TABLE claims ADD COLUMN project_id bigint;
UPDATE claims SET project_id = s.project_id FROM servers s WHERE s.id = claims.server_id;
ALTER TABLE claims ALTER COLUMN project_id SET NOT NULL;

-- No two servers of a spread group are on one host.
ALTER TABLE claims ADD COLUMN placement_group_id bigint REFERENCES placement_groups;
UPDATE claims SET placement_group_id = first.placement_group_id
FROM (SELECT DISTINCT ON (c.host_id, s.placement_group_id) c.server_id, s.placement_group_id
      FROM claims c JOIN servers s ON s.id = c.server_id
      WHERE s.placement_group_id IS NOT NULL
      ORDER BY c.host_id, s.placement_group_id, c.server_id) first
WHERE claims.server_id = first.server_id;
CREATE INDEX claims_project ON claims (project_id, host_id) INCLUDE (placement_group_id);
CREATE UNIQUE INDEX claims_spread ON claims (placement_group_id, host_id) WHERE placement_group_id IS NOT NULL;
