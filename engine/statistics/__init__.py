"""Statistics of small paired samples, on plain arrays."""
