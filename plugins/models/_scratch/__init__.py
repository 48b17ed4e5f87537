"""Shared parts of models trained from scratch: tokenizers, folders and pretraining."""
