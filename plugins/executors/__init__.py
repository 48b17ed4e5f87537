"""Executors: where the cells of a study are run."""
