"""The catalog in the books: read as a whole, and a plan for it carried out."""
