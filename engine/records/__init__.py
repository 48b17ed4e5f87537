"""Files of a run that are read without its spec: rounds, updates, outcomes, result."""
