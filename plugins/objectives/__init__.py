"""Objectives: the batches, and so the loss, of a round."""
