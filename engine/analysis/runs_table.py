"""A table of all runs in a folder: one flat row a run, newest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import attrs

from ..contracts.records import RoundRecord
from ..errors import BoostLoraError, UsageError
from ..foundation.run_context import Report, no_report
from ..records.prefix import EarlierFormatError
from ..records.run_result import best_of
from ..runs.directory import HASH, SPEC, RunDirectory
from ..runs.lookup import SET_ASIDE, unknown_run
from ..study.record import FOLDER, RECORD, StudyRecord
from .quantities import parameters, seconds, stored

Row = dict[str, str | int | float | None]
"""One run; a key of `COLUMNS` each. What a run does not have (yet) is None."""

COLUMNS = (
    *("name", "hash", "status", "reason", "rounds", "planned_rounds", "best_round"),
    *("validation_accuracy", "validation_loss", "test_accuracy", "test_loss"),
    *("validation_rmse", "test_rmse"),
    *("parameters", "stored", "rank", "seconds", "seed", "study", "arm", "cell", "created", "path"),
)
"""Keys of a row, in order.

`status` is how the run ended (`completed`, `converged`, `patience`, `exhausted`, `failed`), or `unfinished`. Accuracies are shares in
[0, 1] and losses are in nats, after the last round; the RMSE is None but in a regression; `best_round` is the best on validation so far. `parameters` were trained in merged rounds,
`stored` must be kept to rebuild the model from its base. `rank` is the largest over sites. A run in several studies names all of them.
"""


@attrs.frozen(kw_only=True)
class LeftOut:
    """A run folder or a study record that is not in the table."""

    reason: str
    """Its class, such as `damaged`."""
    error: str
    """The whole message."""


@attrs.frozen(kw_only=True)
class RunsTable:
    """The rows, and what could not be read."""

    rows: list[Row]
    left_out: list[LeftOut]

    @property
    def warning(self) -> str:
        """One line: how many were left out, and why, with the first message of each reason; empty for none."""
        if not self.left_out:
            return ""
        counts = Counter(one.reason for one in self.left_out)
        first = {one.reason: one.error for one in reversed(self.left_out)}
        parts = (f"{count} {reason} ({' '.join(first[reason].split())})" for reason, count in counts.items())
        return f"left out {len(self.left_out)}: {'; '.join(parts)}"


def read_runs(runs: Path, names: Sequence[str] = (), report: Report = no_report) -> RunsTable:
    """Read every run in a folder of runs, or those whose name matches one of the shell patterns `names`.

    Every round's line is checked against its digest; arrays are not read. Runs that `--fresh` has set aside are not listed.

    Raises:
        UsageError: for no such folder, and for names that no run has.
    """
    if not runs.is_dir():
        raise UsageError(f"{runs}: no such folder of runs; start a run with: boostlora run quickstart")
    left_out = list[LeftOut]()
    found = list(_run_folders(runs, left_out))
    chosen = [folder for folder in found if _matches(folder.parent.name, names)]
    if found and names and not chosen:
        raise UsageError(unknown_run(" ".join(names), sorted({folder.parent.name for folder in found}), runs))
    cells, rows = _cells_by_folder(runs, left_out), list[Row]()
    for done, folder in enumerate(chosen):
        report("reading runs", done, len(chosen))
        try:
            rows.append(_row(folder, cells.get(f"{folder.parent.name}/{folder.name}", ())))
        except EarlierFormatError as error:
            left_out.append(LeftOut(reason="in an earlier format", error=str(error)))
        except UsageError as error:
            left_out.append(LeftOut(reason="not a run", error=str(error)))
        except (BoostLoraError, OSError, ValueError) as error:
            left_out.append(LeftOut(reason="damaged", error=str(error)))
    rows.sort(key=lambda row: (str(row["created"]), str(row["path"])), reverse=True)
    return RunsTable(rows=rows, left_out=left_out)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _run_folders(runs: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Folders `NAME/HASH`: those that have a spec, and those that are named like a run."""
    for named in sorted(runs.iterdir()):
        try:
            inner = sorted(named.iterdir()) if named.is_dir() else []
            found = [folder for folder in inner if _is_run(folder)]
        except OSError as error:
            left_out.append(LeftOut(reason="unreadable", error=f"{named}: {error.strerror or error}"))
            continue
        yield from found


def _is_run(folder: Path) -> bool:
    if SET_ASIDE in folder.name or not folder.is_dir():
        return False
    return bool(HASH.fullmatch(folder.name)) or (folder / SPEC).is_file()


def _cells_by_folder(runs: Path, left_out: list[LeftOut]) -> Mapping[str, list[tuple[str, str, str]]]:
    """Study, arm and label of every study's cells, by `NAME/HASH`."""
    cells = dict[str, list[tuple[str, str, str]]]()
    for path in sorted(runs.glob(f"*/{FOLDER}/{RECORD}")):
        try:
            study = StudyRecord.read(path.parent)
        except (BoostLoraError, OSError) as error:
            left_out.append(LeftOut(reason="damaged study", error=str(error)))
            continue
        for cell in study.cells:
            cells.setdefault(cell.folder, []).append((study.name, cell.arm, cell.label))
    return cells


def _row(folder: Path, cells: Sequence[tuple[str, str, str]]) -> Row:
    directory = RunDirectory.open(folder)
    tree, result, records = directory.spec_tree(), directory.result(), directory.records
    seed, planned, stop = tree.get("seed"), tree.get("rounds"), tree.get("stop", {})
    if not (isinstance(seed, int) and isinstance(planned, int) and isinstance(stop, dict)):
        raise UsageError(f"{folder}: not a run ({SPEC} is not the spec of one)")
    metric = str(stop.get("metric", ""))
    studies, arms, labels = zip(*cells, strict=True) if cells else ((), (), ())
    return {
        "name": folder.parent.name,
        "hash": folder.name,
        "status": str(result["status"]) if result else "unfinished",
        "reason": str(result["reason"]) if result else "",
        "rounds": len(records) - 1 if records else None,
        "planned_rounds": planned,
        "best_round": best_of(records, metric, float(stop.get("min_delta", 0.0))) if records else None,
        **_last(records),
        "parameters": parameters(records),
        "stored": stored(records),
        "rank": max(records[-1].rank.values(), default=0) if records else None,
        "seconds": sum(map(seconds, records)),
        "seed": seed,
        "study": _joined(studies),
        "arm": _joined(arms),
        "cell": _joined(labels),
        "created": _created(directory),
        "path": str(folder),
    }


def _last(records: Sequence[RoundRecord]) -> Row:
    """Metrics of the last round."""
    last: Row = dict.fromkeys(COLUMNS[7:13])
    if records:
        for split in ("validation", "test"):
            metrics = getattr(records[-1], split)
            last |= {f"{split}_accuracy": metrics.accuracy, f"{split}_loss": metrics.loss}
            last[f"{split}_rmse"] = metrics.measures.get("rmse")
    return last


def _joined(words: Iterable[str]) -> str | None:
    return "; ".join(dict.fromkeys(words)) or None


def _created(directory: RunDirectory) -> str:
    """When the run began, in UTC; without provenance, when its spec was written."""
    recorded = (directory.provenance() or {}).get("created")
    if isinstance(recorded, str):
        return recorded
    written = (directory.path / SPEC).stat().st_mtime
    return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")
