"""`boostlora predict`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import attrs
import click

from ..errors import UsageError
from ..foundation.counts import count_text
from .common import plugin_option, runs_option
from .ensembles import best_rounds_option, open_used_run
from .progress_display import late_progress
from .terminal import echo, inert

if TYPE_CHECKING:
    from ..ensemble.scores import ScoredRows


@click.command("predict")
@click.argument("run")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@best_rounds_option
@click.option("--id", "id_column", metavar="COLUMN", help="Column of the input to name rows by, not numbers.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file, not standard output."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines, not CSV.")
@plugin_option
@runs_option
def command(
    run: str,
    file: str | None,
    rounds: str,
    id_column: str | None,
    out: Path | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
) -> None:
    """Predict the rows of FILE with RUN's model: classes and their probabilities, or values.

    FILE has the columns of the training table: .csv, .tsv, .xlsx, .parquet or .jsonl. The label column may be missing; where labels are
    known, standard error ends with the accuracy or the RMSE. For text classification, FILE can be - or a pipe with one text a line.

    \b
    boostlora predict tumours new.csv --out predictions.csv
    boostlora predict tumours new.csv --id patient --rounds 5
    echo "a fine film" | boostlora predict reviews
    """  # noqa: D301 - click reads the backspace
    from .execution import plain_warnings

    with plain_warnings(), ExitStack() as shown:
        report = shown.enter_context(late_progress())
        source = _source(file)
        ensemble, choice = open_used_run(run, rounds, runs_folder, plugin_files, report)
        tally = _Tally()
        report("rows", 0, 0)
        if out is None and sys.stdout.isatty():
            shown.close()  # the rows are shown instead
        with _output(out) as stream:
            writer = _Writer(stream, ensemble.classes, id_column, source, as_json=as_json)
            for scored in ensemble.predict_rows(source, choice):
                writer.write(scored)
                tally.add(scored)
                report("rows", tally.rows, 0)
    for line in tally.lines(values=not ensemble.classes):
        echo(line, err=True)


def _source(file: str | None) -> str:
    if file is None and sys.stdin.isatty():
        raise UsageError("name a FILE of rows, or pipe texts, one a line, to standard input")
    return file or "-"


@contextmanager
def _output(out: Path | None) -> Generator[IO[str]]:
    """Standard output, or a file that is there only once it is whole."""
    if out is None:
        yield sys.stdout
        return
    from ..foundation.leftovers import unfinished

    temporary = unfinished(out, suffix=".tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


@attrs.define
class _Tally:
    """Counts of rows, and the sum of squared errors where labels are known."""

    rows: int = 0
    known: int = 0
    squares: float = 0.0

    def add(self, scored: ScoredRows) -> None:
        """Count one chunk."""
        errors = scored.errors
        self.rows += len(scored.rows)
        self.known += len(errors)
        self.squares += float(errors @ errors)

    def lines(self, *, values: bool) -> Iterator[str]:
        """The accuracy or RMSE; nothing without known labels."""
        if not self.known:
            return
        mean = self.squares / self.known
        measure = f"RMSE {mean**0.5:.4g}" if values else f"accuracy {100 * (1 - mean):.1f} %"
        missing = (
            f"; {count_text(self.rows - self.known, 'row has none', 'rows have none')}"
            if self.known < self.rows
            else ""
        )
        yield f"{measure} on {self.known:,} row{'s' * (self.known != 1)} with a known label{missing}"


class _Writer:
    """Writes predictions as CSV or JSON lines: the row's number or id, `prediction`, and `p_<class>` for every class."""

    def __init__(
        self, stream: IO[str], classes: Sequence[str], id_column: str | None, source: str, *, as_json: bool
    ) -> None:
        self._id, self._source, self._as_json = id_column, source, as_json
        self._stream = _Shown(stream) if stream.isatty() else stream
        self._titles = [id_column or "row", "prediction", *(f"p_{name}" for name in classes)]
        self._begun = False

    def write(self, scored: ScoredRows) -> None:
        """Write one chunk."""
        rows = zip(self._names(scored), *_columns(scored), strict=True)
        if self._as_json:
            for row in rows:
                record = dict(zip(self._titles, row, strict=True))
                self._stream.write(json.dumps(record, default=str) + "\n")
            return
        from ..foundation.markup import spreadsheet_text

        sheet = csv.writer(self._stream, lineterminator="\n")
        if not self._begun:
            sheet.writerow(map(spreadsheet_text, self._titles))
        self._begun = True
        sheet.writerows([spreadsheet_text(c) if isinstance(c, str) else c for c in row] for row in rows)

    def _names(self, scored: ScoredRows) -> Sequence[Any]:
        if self._id is None:
            return scored.rows.numbers.tolist()
        if self._id not in scored.rows.columns:
            there = ", ".join(scored.rows.columns)
            raise UsageError(f'{self._source}: no column "{self._id}" (--id); there are: {there}')
        return scored.rows.columns[self._id]


@attrs.frozen
class _Shown:
    """A terminal, with control characters escaped."""

    stream: IO[str]

    def write(self, text: str) -> None:
        """Write a text."""
        self.stream.write(inert(text))


def _columns(scored: ScoredRows) -> list[list[Any]]:
    """Predictions and probabilities as Python values, numbers with nine digits."""
    if scored.probabilities is None:
        return [[_digits(value) for value in scored.predictions.tolist()]]
    p = scored.probabilities
    return [scored.predictions.tolist(), *([_digits(v) for v in column] for column in p.T.tolist())]


def _digits(value: float) -> float:
    return float(f"{value:.9g}")
