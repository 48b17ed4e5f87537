"""Exporters: an ensemble in the forms of other libraries."""
