"""A run on disk: nothing is ever half-written, and every file's bytes are vouched for by a hash."""
