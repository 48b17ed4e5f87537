"""The model card of an export: what it is, how good it is, what it came from, how to use it."""
