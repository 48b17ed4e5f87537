"""Tasks: data sets and their evaluation."""
