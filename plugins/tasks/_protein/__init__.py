"""What the task of protein binding is made of: complexes, the groups that must not be torn apart, and windows of sequences."""
