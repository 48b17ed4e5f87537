"""Models: what is boosted."""
