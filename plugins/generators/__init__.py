"""Generators: who writes for a model, in evaluations and rollouts."""
