"""GGUF, the file format of llama.cpp: content, writing, and supported models."""
