"""Holds a backend to the reference: the same rounds, from the same starts, with the same draws, quantity by quantity."""
