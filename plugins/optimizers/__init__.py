"""Optimisers: update rules, with their constants and learning rates."""
