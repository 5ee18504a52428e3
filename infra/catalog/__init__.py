"""The catalog as data: what a file says of it, and the one that every installation begins with."""
