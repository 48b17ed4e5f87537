"""Adapters: the parametrisation that is trained at a site."""
