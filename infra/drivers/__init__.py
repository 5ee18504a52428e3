"""The host's hands: protocols, the real drivers, and their simulated twins."""
