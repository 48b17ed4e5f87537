"""What exporters of weights have in common: safetensors written tensor by tensor, and what a coarse dtype keeps."""
