"""Comparison of two runs, or two rounds, example by example: it reads their files and loads no model."""
