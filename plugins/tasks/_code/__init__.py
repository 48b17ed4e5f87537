"""Shared parts of programming tasks: exercises with tests, program extraction, and the sandbox."""
