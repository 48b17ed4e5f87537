"""Two runs, or two rounds of runs, example by example: read from their files alone, without a model."""
