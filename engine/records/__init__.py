"""What a run writes of its rounds, read without its spec: lines, updates and outcomes, how it ended."""
