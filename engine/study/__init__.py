"""Studies: one spec becomes many cells, every cell is a run, and the file system is the truth about all of them."""
