"""For authors of plugins: metrics, judging, schedules, splits, ranks, and the search for directions."""
