"""The report of a single run as HTML, Markdown, CSV and Parquet; it renders what the run's folder holds."""

from .files import FORMATS, write_run_report

__all__ = ["FORMATS", "write_run_report"]
