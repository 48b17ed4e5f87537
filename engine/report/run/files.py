"""Write the report of a run in the chosen formats, each file atomically."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import UsageError
from ...foundation.atomic import write_bytes
from ...foundation.redaction import cleaned, publishable
from .view import RunView

FORMATS = ("html", "md", "csv", "parquet")


def write_run_report(run: Path, folder: Path, formats: Sequence[str]) -> dict[str, Path]:
    """Write a run's report into a folder; returns the paths by file name.

    `html`: `report.html`; `md`: `report.md`; `csv` and `parquet`: `rounds`, a row a round. Everything is rendered before the first
    file is written. Raises `UsageError` for another format, and `RunError` for a damaged run, or if a file cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UsageError(
            f'a run has no report in the format "{unknown[0]}"; allowed: {", ".join(FORMATS)}; the others are for studies'
        )
    view = cleaned(RunView.read(run), publishable)
    files = dict[str, bytes]()
    for name in FORMATS:
        if name in formats:
            files |= WRITERS[name](view)
    paths = {name: folder / name for name in files}
    for name, content in files.items():
        write_bytes(paths[name], content)
    return paths


def _html(view: RunView) -> dict[str, bytes]:
    from .page import html  # noqa: PLC0415 - jinja2 is slow to import

    return {"report.html": _encoded(html(view))}


def _markdown(view: RunView) -> dict[str, bytes]:
    from .markdown import markdown  # noqa: PLC0415

    return {"report.md": _encoded(markdown(view))}


def _encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate, which generated texts may contain, becomes a question mark."""
    return text.encode("utf-8", "replace")


def _csv(view: RunView) -> dict[str, bytes]:
    from .. import sheets  # noqa: PLC0415 - pandas is slow to import

    return {"rounds.csv": sheets.csv(sheets.rounds_of(view.records))}


def _parquet(view: RunView) -> dict[str, bytes]:
    from .. import sheets  # noqa: PLC0415

    return {"rounds.parquet": sheets.parquet(sheets.rounds_of(view.records))}


WRITERS: dict[str, Callable[[RunView], dict[str, bytes]]] = {
    "html": _html,
    "md": _markdown,
    "csv": _csv,
    "parquet": _parquet,
}
