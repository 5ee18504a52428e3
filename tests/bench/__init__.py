"""The bench: ``python -m tests.bench`` measures the pipeline beside a bare Temporal story of the same shape."""
