"""Basics: files, locks, caches, processes, random streams, hardware, options."""
