"""What adapters for Hugging Face's PEFT have in common: factors, names of modules, files, and how they are loaded."""
