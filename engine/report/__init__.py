"""Reports of an analysed study as HTML, Markdown, LaTeX, tables and figures; they render and compute nothing."""

from .files import FORMATS, write_report

__all__ = ["FORMATS", "write_report"]
