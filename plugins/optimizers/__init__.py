"""Optimisers: update rules, hyperparameters and learning rates."""
