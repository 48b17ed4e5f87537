"""Parts of the protein-binding task: complexes, group splits, and sequence windows."""
