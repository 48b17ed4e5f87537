"""Samplers: the examples that a round trains on."""
