"""What models made from nothing have in common: tokenizers, folders, and pretraining on a task's own texts."""
