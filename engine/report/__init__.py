"""The report of an analysed study, for browsers, repositories, papers and spreadsheets; it renders, and computes nothing."""

from .files import FORMATS, write_report

__all__ = ["FORMATS", "write_report"]
