"""Building blocks for plugin authors: metrics, judging, schedules, splits, ranks, and directions."""
