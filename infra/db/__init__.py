"""The books: migrations, the pool, and one module of queries per table family."""
