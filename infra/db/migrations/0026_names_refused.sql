-- A note that was not followed comes after all that nobody tried.
ALTER TABLE names_due ADD COLUMN tried timestamptz;

-- What name servers do not take, and why; all else of the zone is served. contents NULL: of the zone as a whole (its SOA
-- record). since: when what stands there now was first refused.
CREATE TABLE names_refused (
    zone            text NOT NULL,
    name            text NOT NULL,
    type            text NOT NULL,
    contents        text[],
    why             text NOT NULL,
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (zone, name, type)
);

-- reverse: all reverse zones, which say what addresses are called by default, and which name servers answer for them.
ALTER TABLE names_due DROP CONSTRAINT names_due_kind_check;
ALTER TABLE names_due ADD CHECK (kind IN ('zone', 'realm', 'name', 'address', 'reverse'));

CREATE FUNCTION catalog_names_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (OLD.ptr_template, OLD.name_servers) IS DISTINCT FROM (NEW.ptr_template, NEW.name_servers) THEN
        INSERT INTO names_due (kind, value) VALUES ('reverse', '');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER catalog_names_due AFTER INSERT OR UPDATE ON catalog_settings
    FOR EACH ROW EXECUTE FUNCTION catalog_names_due();

-- When a worker that has name servers looked last: as long as one does, nobody else takes notes away.
CREATE TABLE names_followed (
    single          boolean PRIMARY KEY DEFAULT true CHECK (single),
    at              timestamptz NOT NULL DEFAULT now()
);
