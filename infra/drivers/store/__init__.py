"""The image store: content-addressed images on a mount that survives a zone; no worker's own thread touches it."""
