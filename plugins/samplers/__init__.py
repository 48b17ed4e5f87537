"""Samplers: which examples a round trains on."""
