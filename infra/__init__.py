"""What a cloud is made of: pure decisions, books, drivers, guests and engines."""
