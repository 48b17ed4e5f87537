"""Bases: in which directions a round may change a weight."""
