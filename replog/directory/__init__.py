"""A node's data directory: whose it is, and what is in it."""
