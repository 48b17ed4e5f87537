"""Trackers: experiment-tracking tools."""
