"""The durable engine: install, configure, connect."""
