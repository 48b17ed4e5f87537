"""The ensemble: a base and its rounds of tiny updates; any selection of rounds is a model."""
