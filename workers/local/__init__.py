"""One machine's Puchify: where its things lie, what runs on it and in which order, and how all of it ends."""
