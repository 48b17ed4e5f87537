"""What everything stands on: files, locks, caches, processes, random streams, hardware, options."""
