"""Verification of a backend against the reference: same rounds, starting points and random draws, quantity by quantity."""
