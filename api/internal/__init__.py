"""What hosts ask of the books, with a host key."""
