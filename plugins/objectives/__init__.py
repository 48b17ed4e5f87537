"""Objectives: the batches and the loss of a round."""
