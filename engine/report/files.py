"""Write a report in the chosen formats, each file atomically."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..analysis.model import Analysis
from ..errors import UsageError
from ..foundation.atomic import write_bytes
from ..foundation.redaction import cleaned, publishable

FIGURES = ("png", "svg", "pdf")
FORMATS = ("html", "md", "tex", "csv", "parquet", *FIGURES)


def write_report(analysis: Analysis, folder: Path, formats: Sequence[str]) -> dict[str, Path]:
    """Write a study's report into a folder; returns the paths by file name.

    `html`: `report.html`; `md`: `report.md`, with the figures of the same call; `tex`: `table.tex`; `csv` and
    `parquet`: `results` (a row per cell) and `rounds` (a row per round); `png`, `svg`, `pdf`: `curves`, and `differences` if
    arms are compared. Everything is rendered before the first file is written. Raises `UsageError` for an unknown format or
    a missing library, and `RunError` if a file cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UsageError(f'unknown report format "{unknown[0]}"\n  allowed: {", ".join(FORMATS)}')
    analysis = cleaned(analysis, publishable)
    files = dict[str, bytes]()
    for name in FORMATS:  # render figures first, since Markdown refers to them
        if name in FIGURES and name in formats:
            files |= _figures(analysis, name)
    figures = tuple(sorted(files, reverse=True))  # svg before png
    for name in FORMATS:
        if name in formats and name not in FIGURES:
            files |= WRITERS[name](analysis, figures)
    paths = {name: folder / name for name in files}
    for name, content in files.items():
        write_bytes(paths[name], content)
    return paths


def _figures(analysis: Analysis, suffix: str) -> dict[str, bytes]:
    from .figures import figures  # noqa: PLC0415 - matplotlib is an extra

    return {f"{stem}.{suffix}": content for stem, content in figures(analysis, suffix).items()}


def _html(analysis: Analysis, _figures: Sequence[str]) -> dict[str, bytes]:
    from .page import html  # noqa: PLC0415 - jinja2 is slow to import

    return {"report.html": html(analysis).encode()}


def _markdown(analysis: Analysis, figures: Sequence[str]) -> dict[str, bytes]:
    from .markdown import markdown  # noqa: PLC0415

    return {"report.md": markdown(analysis, figures).encode()}


def _latex(analysis: Analysis, _figures: Sequence[str]) -> dict[str, bytes]:
    from .latex import latex  # noqa: PLC0415

    return {"table.tex": latex(analysis).encode()}


def _csv(analysis: Analysis, _figures: Sequence[str]) -> dict[str, bytes]:
    from . import sheets  # noqa: PLC0415 - pandas is slow to import

    return {f"{make.__name__}.csv": sheets.csv(make(analysis)) for make in (sheets.results, sheets.rounds)}


def _parquet(analysis: Analysis, _figures: Sequence[str]) -> dict[str, bytes]:
    from . import sheets  # noqa: PLC0415

    return {
        f"{make.__name__}.parquet": sheets.parquet(make(analysis)) for make in (sheets.results, sheets.rounds)
    }


Writer = Callable[[Analysis, Sequence[str]], dict[str, bytes]]

WRITERS: dict[str, Writer] = {
    "html": _html,
    "md": _markdown,
    "tex": _latex,
    "csv": _csv,
    "parquet": _parquet,
}
