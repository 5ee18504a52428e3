"""Certificates and keys, read with the library of those who know them."""
