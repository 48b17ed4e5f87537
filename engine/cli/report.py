"""`boostlora report`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .common import json_option, quiet_option, runs_option
from .terminal import echo

FORMATS = ("html", "md", "tex", "csv", "parquet", "png", "svg", "pdf")
"""As in `report.FORMATS`, which --help does not import."""
DEFAULT = ("html", "md", "csv")


@click.command("report")
@click.argument("study")
@runs_option
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    type=click.Choice([*FORMATS, "all"]),
    help=f"Format to write: {', '.join(FORMATS)}, or all; repeatable. Default: {', '.join(DEFAULT)}.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to. Default: the study's own.",
)
@json_option
@quiet_option
def command(
    study: str, runs_folder: Path, formats: tuple[str, ...], out: Path | None, as_json: bool, quiet: bool
) -> None:
    """Write the report of STUDY: a self-contained HTML file, Markdown, LaTeX, CSV, Parquet, figures."""
    from ..analysis.analyse import analyse
    from ..report import write_report
    from ..study.store import find_study

    runs, record = find_study(study, runs_folder)
    wanted = FORMATS if "all" in formats else formats or DEFAULT
    written = write_report(analyse(runs, record), out or runs / record.name / "report", wanted)
    if as_json:
        echo(json.dumps({name: str(path) for name, path in written.items()}, indent=2))
    elif not quiet:
        for path in written.values():
            echo(path)
