"""How one step is done: each converges on its argument, and each has its undo beside it."""
