"""Shared parts of the Hugging Face models: folders, parameters, tokenizers, and the classifier head."""
