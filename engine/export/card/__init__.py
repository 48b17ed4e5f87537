"""The model card of an export: description, results, provenance and usage."""
