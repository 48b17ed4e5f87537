"""Trackers: tools that record experiments, told of a run's metrics."""
