"""A run on disk: files are written atomically, and checked by hash."""
