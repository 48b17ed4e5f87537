"""Bases: the directions in which a round may change a weight."""
