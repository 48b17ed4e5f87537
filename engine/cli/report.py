"""`boostlora report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..foundation.shell import command_line
from .common import json_option, quiet_option, runs_option
from .terminal import echo

if TYPE_CHECKING:
    from ..study.record import StudyRecord

FORMATS = ("html", "md", "tex", "csv", "parquet", "png", "svg", "pdf")
"""As in `report.FORMATS`, which --help does not import."""
DEFAULT = ("html", "md", "csv")


@click.command("report")
@click.argument("target", metavar="STUDY|RUN")
@runs_option
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    type=click.Choice([*FORMATS, "all"]),
    help=f"Format to write: {', '.join(FORMATS)}, or all; repeatable. Default: {', '.join(DEFAULT)}. A run has html, md, csv, parquet.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to. Default: report in the folder of the study or run.",
)
@json_option
@quiet_option
def command(
    target: str, runs_folder: Path, formats: tuple[str, ...], out: Path | None, as_json: bool, quiet: bool
) -> None:
    """Write the report of a study or of a single run: a self-contained HTML file, Markdown, CSV, Parquet.

    STUDY is a study's name, folder or spec; its report can also be LaTeX and figures. RUN is a run's folder, name, or hash prefix. A study
    goes before a run of the same name.
    """
    found = _found(target, runs_folder)
    written = (
        _write_run(found, formats, out) if isinstance(found, Path) else _write_study(*found, formats, out)
    )
    if as_json:
        echo(json.dumps({name: str(path) for name, path in written.items()}, indent=2))
    elif not quiet:
        for path in written.values():
            echo(path)


def _found(target: str, runs_folder: Path) -> tuple[Path, StudyRecord] | Path:
    """The study, or else the run, of a name. Raises `UsageError` with the closest of both where there is none."""
    from ..errors import UsageError
    from ..runs.directory import SPEC
    from ..runs.lookup import find_runs, one_run
    from ..spec.faults import unknown_name
    from ..study.store import find_study, study_names

    try:
        return find_study(target, runs_folder)
    except UsageError as error:
        no_study = error
    try:
        find_runs(target, runs_folder)
    except UsageError:
        studies = study_names(runs_folder)
        runs = sorted({path.parent.parent.name for path in runs_folder.glob(f"*/*/{SPEC}")})
        known = list(dict.fromkeys((*studies, *runs)))
        if not known:
            raise no_study from None
        command = command_line("boostlora", "runs", "--runs", runs_folder)
        text = unknown_name("study or run", target, known, place=str(runs_folder), command=command)
        raise UsageError(text) from None
    return one_run(target, runs_folder)


def _write_study(
    runs: Path, record: StudyRecord, formats: tuple[str, ...], out: Path | None
) -> dict[str, Path]:
    from ..analysis.analyse import analyse
    from ..report import write_report

    wanted = FORMATS if "all" in formats else formats or DEFAULT
    return write_report(analyse(runs, record), out or runs / record.name / "report", wanted)


def _write_run(run: Path, formats: tuple[str, ...], out: Path | None) -> dict[str, Path]:
    from ..report.run import FORMATS as KNOWN
    from ..report.run import write_run_report

    wanted = KNOWN if "all" in formats else formats or DEFAULT
    return write_run_report(run, out or run / "report", wanted)
