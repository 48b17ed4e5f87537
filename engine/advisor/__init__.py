"""From one look at the data through the model: what directions, cores and ranks could take hold of, and what to choose."""
