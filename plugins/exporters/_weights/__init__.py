"""Shared parts of the weight exporters: streaming safetensors files, and the precision loss of a dtype."""
