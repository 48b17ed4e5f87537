"""Tasks: the data, and how answers are judged."""
