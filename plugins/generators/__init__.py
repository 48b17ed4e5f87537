"""Generators: inference engines for evaluations and rollouts."""
