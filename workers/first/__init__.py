"""The first server: ordered as any caller would, watched while it comes up, and logged in to."""
