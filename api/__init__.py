"""What callers touch: the HTTP wire, its schemas, authentication and errors."""
