"""Adapters: what is trained at a site."""
