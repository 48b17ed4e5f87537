"""Shared parts of text tasks: rows, templates, splits, and answers in generated text."""
