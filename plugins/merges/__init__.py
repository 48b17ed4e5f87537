"""Merge policies: with which scale an update enters the model, if at all."""
