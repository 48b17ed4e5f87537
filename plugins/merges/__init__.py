"""Merge policies: the scale of an update, or its refusal."""
