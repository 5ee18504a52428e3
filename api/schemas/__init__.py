"""The shapes of the wire: what a request may hold, and how what we know is told."""
