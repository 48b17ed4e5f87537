"""Studies: a spec expands into cells, every cell is a run, and their state is read from the file system."""
