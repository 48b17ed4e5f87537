"""The part of BoostLoRA that is the same for every plugin and every backend."""
