"""One file per resource of the wire."""
