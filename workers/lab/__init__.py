"""Puchify's own processes in the lab: what runs on its machines, and what they are told."""
