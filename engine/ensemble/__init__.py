"""The ensemble: a base and a list of tiny updates, of which any selection is a model."""
