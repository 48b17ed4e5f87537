"""Shared parts of the PEFT exporters: factors, module names, files and loading."""
