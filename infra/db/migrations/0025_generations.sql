-- Of two that announce an address routers take the newer. How often it has changed hands is counted by address, since a
-- server's claims and a load balancer's edges are counted apart: whoever had it before has a lower count, whoever it was.

ALTER TABLE addresses ADD COLUMN generation integer NOT NULL DEFAULT 0;

UPDATE addresses a SET generation = s.epoch FROM servers s WHERE s.id = a.server_id;
UPDATE addresses a SET generation = b.edge_epoch FROM load_balancers b WHERE b.id = a.load_balancer_id;

CREATE FUNCTION next_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.generation := OLD.generation + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER address_held BEFORE UPDATE OF server_id, load_balancer_id ON addresses FOR EACH ROW
    WHEN ((OLD.server_id, OLD.load_balancer_id) IS DISTINCT FROM (NEW.server_id, NEW.load_balancer_id))
    EXECUTE FUNCTION next_generation();

-- A power command's epoch is not counted: the host is the same.
CREATE FUNCTION server_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE addresses SET generation = generation + 1 WHERE server_id = NEW.server_id;
    RETURN NULL;
END $$;
CREATE TRIGGER server_claimed AFTER INSERT ON claims FOR EACH ROW EXECUTE FUNCTION server_moved();
CREATE TRIGGER server_moved AFTER UPDATE OF host_id ON claims
    FOR EACH ROW WHEN (OLD.host_id <> NEW.host_id) EXECUTE FUNCTION server_moved();

CREATE FUNCTION balancer_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE addresses SET generation = generation + 1 WHERE load_balancer_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER balancer_moved AFTER UPDATE OF edge_id ON load_balancers
    FOR EACH ROW WHEN (OLD.edge_id IS DISTINCT FROM NEW.edge_id) EXECUTE FUNCTION balancer_moved();
