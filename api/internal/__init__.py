"""What hosts ask of the books: with a host key, or with the token that gets them one."""
