"""Advice from one gradient pass: how much of the gradient directions, cores and ranks capture, and what to choose."""
