-- Which zones lie within another: their names begin alike when they are written backwards.

CREATE INDEX zones_backwards ON zones ((reverse(name) COLLATE "C"));
