"""What proves Puchify: one folder per layer, against the real thing wherever it can run."""
