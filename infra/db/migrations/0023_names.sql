-- What name servers answer follows the books: what changed is noted in the transaction that changes it, and the note
-- stays until the name servers answer by it.

-- Servers whose names are published. Its create makes the row, its delete takes it away.
CREATE TABLE published_names (
    server_id       bigint PRIMARY KEY REFERENCES servers ON DELETE CASCADE,
    published       timestamptz NOT NULL DEFAULT now()
);

-- zone: its contents; realm: a zone that comes or goes, so that servers' names come and go with it; name: a server's;
-- address: an address, or a network (/64) of which the first one is meant. project_id NULL: whose it was is not known.
-- No two are merged: what is noted while an earlier note is followed is a note of its own.
CREATE TABLE names_due (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('zone', 'realm', 'name', 'address')),
    value           text NOT NULL,
    project_id      bigint,
    noted           timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX names_due_project ON names_due (project_id, id);

-- Every change of what a zone holds counts its records, under the zone's lock.
CREATE FUNCTION zone_names_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO names_due (kind, value, project_id) VALUES ('zone', NEW.name, NEW.project_id);
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO names_due (kind, value, project_id) VALUES ('realm', NEW.name, NEW.project_id);
    ELSE
        INSERT INTO names_due (kind, value, project_id) VALUES ('realm', OLD.name, OLD.project_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER zone_names_due AFTER INSERT OR DELETE OR UPDATE OF ttl, record_count, primary_nameservers ON zones
    FOR EACH ROW EXECUTE FUNCTION zone_names_due();

-- A server's name and all its addresses.
CREATE FUNCTION server_due(server bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO names_due (kind, value, project_id) SELECT 'name', name, project_id FROM servers WHERE id = server;
    INSERT INTO names_due (kind, value, project_id)
    SELECT 'address', a.address, s.project_id FROM addresses a JOIN servers s ON s.id = a.server_id
    WHERE a.server_id = server;
$$;

CREATE FUNCTION published_names_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM server_due(CASE WHEN TG_OP = 'INSERT' THEN NEW.server_id ELSE OLD.server_id END);
    RETURN NULL;
END $$;
CREATE TRIGGER published_names_due AFTER INSERT OR DELETE ON published_names
    FOR EACH ROW EXECUTE FUNCTION published_names_due();

CREATE FUNCTION server_names_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO names_due (kind, value, project_id) VALUES ('name', OLD.name, OLD.project_id);
    IF TG_OP = 'UPDATE' THEN
        PERFORM server_due(NEW.id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER server_renamed AFTER UPDATE OF name ON servers
    FOR EACH ROW WHEN (OLD.name <> NEW.name) EXECUTE FUNCTION server_names_due();
CREATE TRIGGER server_gone AFTER DELETE ON servers FOR EACH ROW EXECUTE FUNCTION server_names_due();

-- Whoever has it now, or had it: a server's name has other addresses, and the address another name.
CREATE FUNCTION address_due() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    whose bigint := coalesce((SELECT project_id FROM primary_ips
                              WHERE id = coalesce(NEW.primary_ip_id, OLD.primary_ip_id)),
                             (SELECT project_id FROM load_balancers
                              WHERE id = coalesce(NEW.load_balancer_id, OLD.load_balancer_id)),
                             (SELECT project_id FROM servers WHERE id = coalesce(NEW.server_id, OLD.server_id)));
BEGIN
    INSERT INTO names_due (kind, value, project_id) VALUES ('address', NEW.address, whose);
    INSERT INTO names_due (kind, value, project_id)
    SELECT 'name', name, project_id FROM servers WHERE id IN (OLD.server_id, NEW.server_id);
    RETURN NULL;
END $$;
CREATE TRIGGER address_due AFTER UPDATE OF server_id, primary_ip_id, load_balancer_id ON addresses FOR EACH ROW
    WHEN ((OLD.server_id, OLD.primary_ip_id, OLD.load_balancer_id)
          IS DISTINCT FROM (NEW.server_id, NEW.primary_ip_id, NEW.load_balancer_id))
    EXECUTE FUNCTION address_due();

-- The names that owners gave to addresses.
CREATE FUNCTION ptr_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO names_due (kind, value, project_id)
    SELECT DISTINCT 'address', ip, OLD.project_id
    FROM jsonb_object_keys(CASE WHEN TG_OP = 'UPDATE' THEN OLD.dns_ptr || NEW.dns_ptr ELSE OLD.dns_ptr END) ip;
    RETURN NULL;
END $$;
CREATE TRIGGER ptr_due AFTER UPDATE OF dns_ptr ON primary_ips
    FOR EACH ROW WHEN (OLD.dns_ptr <> NEW.dns_ptr) EXECUTE FUNCTION ptr_due();
CREATE TRIGGER ptr_gone AFTER DELETE ON primary_ips
    FOR EACH ROW WHEN (OLD.dns_ptr <> '{}') EXECUTE FUNCTION ptr_due();
CREATE TRIGGER ptr_due AFTER UPDATE OF dns_ptr ON load_balancers
    FOR EACH ROW WHEN (OLD.dns_ptr <> NEW.dns_ptr) EXECUTE FUNCTION ptr_due();
CREATE TRIGGER ptr_gone AFTER DELETE ON load_balancers
    FOR EACH ROW WHEN (OLD.dns_ptr <> '{}') EXECUTE FUNCTION ptr_due();

-- Servers and zones that are there are served from now on.
INSERT INTO published_names (server_id) SELECT id FROM servers WHERE status NOT IN ('initializing', 'deleting');
INSERT INTO names_due (kind, value, project_id) SELECT 'realm', name, project_id FROM zones;

-- What the newest comparison of a zone with its name servers found. wrong NULL: nothing.
CREATE TABLE zone_checks (
    zone            text PRIMARY KEY,
    checked         timestamptz,
    wrong           text
);
