"""A run and its file: written, read, and what tells one machine, problem or method from another."""
