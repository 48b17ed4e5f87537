"""What models from Hugging Face have in common: folders, parameters, tokenizers, and the head of a classifier."""
