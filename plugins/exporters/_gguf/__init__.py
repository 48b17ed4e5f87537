"""GGUF, the file format of llama.cpp: what is in a file, how one is written, and which models it can hold."""
