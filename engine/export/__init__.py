"""What leaves a run: the boost file, exports for other libraries, the model card."""
