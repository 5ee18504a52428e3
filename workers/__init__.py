"""Who runs it: the processes, their wiring, and the puchify command."""
