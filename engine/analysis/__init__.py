"""Analysis of a study: reads its cells, and compares its arms with intervals and tests over seeds."""
