"""Exports of a run: boost files, formats of other libraries, and model cards."""
