"""An SQLite index of all runs and studies, for questions over thousands; made from the files, it can be thrown away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import attrs

from ..contracts.records import RoundRecord
from ..errors import BoostLoraError, RunError, UsageError
from ..records.run_result import RESULT, ROUNDS
from ..runs.directory import PROVENANCE, SPEC, RunDirectory
from .record import FOLDER, RECORD, StudyRecord

FILE = "index.sqlite"
VERSION = 2
"""Of the tables; an index of another version is made anew."""
SPLITS = ("train", "validation", "test")

TABLES = """
CREATE TABLE runs (path TEXT PRIMARY KEY, name TEXT, hash TEXT, status TEXT, reason TEXT, seed INTEGER, rounds INTEGER,
  planned INTEGER, best_round INTEGER, test_accuracy REAL, test_loss REAL, validation_accuracy REAL, validation_loss REAL,
  parameters INTEGER, rank INTEGER, seconds REAL, created TEXT, digest TEXT);
CREATE TABLE stamps (path TEXT PRIMARY KEY, stamp TEXT);
CREATE TABLE rounds (path TEXT, round INTEGER, status TEXT, scale REAL, failures INTEGER, lost INTEGER, gained INTEGER,
  parameters INTEGER, train_accuracy REAL, train_loss REAL, validation_accuracy REAL, validation_loss REAL,
  test_accuracy REAL, test_loss REAL, rank INTEGER, effective_rank REAL, overlap REAL, seconds REAL,
  PRIMARY KEY (path, round));
CREATE TABLE options (path TEXT, key TEXT, value TEXT, PRIMARY KEY (path, key));
CREATE INDEX options_by_key ON options (key, value);
CREATE TABLE cells (study TEXT, arm TEXT, block TEXT, seed INTEGER, tuning TEXT, excluded INTEGER, path TEXT);
"""


@attrs.frozen(kw_only=True)
class Refreshed:
    """What a refresh found."""

    runs: int
    read: int
    """Runs that were new or had changed."""
    removed: int
    unreadable: tuple[str, ...]
    """Runs that are damaged, with what is wrong."""


@attrs.frozen
class Index:
    """The index of a folder of runs, in `index.sqlite` there.

    Tables: `runs` (a line a run), `rounds` (a line a round), `options` (a line a key of a run's spec, `optimizer.lr`, its
    value as JSON), `cells` (a line a cell of a study, its tuning as JSON); `path` is `NAME/HASH` in all of them. Ranks are the largest over sites, effective ranks the mean.
    """

    runs: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.runs / FILE

    def refresh(self, *, rebuild: bool = False) -> Refreshed:
        """Bring it up to date: only runs whose files have changed since are read. Raises `RunError` if it cannot be written."""
        if not self.runs.is_dir():
            raise UsageError(f"{self.runs}: no such folder of runs")
        if rebuild or not self._is_good():
            self.path.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as database, database:
                if not database.execute("PRAGMA user_version").fetchone()[0]:
                    database.executescript(TABLES)
                    database.execute(f"PRAGMA user_version = {VERSION}")
                return self._refresh(database)
        except sqlite3.Error as error:
            raise RunError(
                f"{self.path}: {error}; it can be removed at any time, and is made anew"
            ) from error

    def _is_good(self) -> bool:
        if not self.path.is_file():
            return False
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.path)) as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            return version == VERSION and database.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        return False

    def _refresh(self, database: sqlite3.Connection) -> Refreshed:
        known = dict(database.execute("SELECT path, stamp FROM stamps"))
        found = {f"{s.parent.parent.name}/{s.parent.name}": s.parent for s in self.runs.glob(f"*/*/{SPEC}")}
        read, unreadable = 0, list[str]()
        for path, folder in found.items():
            stamp = _stamp(folder)
            if known.get(path) == stamp:
                continue
            _forget(database, path)
            try:
                _insert(database, path, stamp, RunDirectory.open(folder))
                read += 1
            except (BoostLoraError, KeyError, TypeError, ValueError) as error:
                unreadable.append(f"{path}: {error}")
        gone = known.keys() - found.keys()
        for path in gone:
            _forget(database, path)
        unreadable += _read_studies(database, self.runs)
        return Refreshed(
            runs=database.execute("SELECT COUNT(*) FROM runs").fetchone()[0],
            read=read,
            removed=len(gone),
            unreadable=tuple(unreadable),
        )

    def query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows of a question in SQL. Raises `UsageError` for SQL that is wrong, or would change anything."""
        try:
            address = f"{self.path.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
                cursor = database.execute(sql)
                return [column[0] for column in cursor.description or ()], cursor.fetchall()
        except sqlite3.Error as error:
            raise UsageError(
                f"{error}; tables: runs, rounds, options, cells; their columns: boostlora index --help"
            ) from error


def _stamp(folder: Path) -> str:
    """Size and time of change of the files that are read."""
    parts = list[str]()
    for name in (SPEC, ROUNDS, RESULT, PROVENANCE):
        with suppress(OSError):
            status = (folder / name).stat()
            parts.append(f"{name}:{status.st_size}:{status.st_mtime_ns}")
    return " ".join(parts)


def _forget(database: sqlite3.Connection, path: str) -> None:
    for table in ("runs", "rounds", "options", "stamps"):
        database.execute(f"DELETE FROM {table} WHERE path = ?", (path,))  # noqa: S608 - names of our own


def _insert(database: sqlite3.Connection, path: str, stamp: str, directory: RunDirectory) -> None:
    tree, result, records = directory.spec_tree(), directory.result() or {}, directory.records
    last = records[-1] if records else None
    row = (
        *(path, *path.split("/")),
        *(result.get("status", "unfinished"), result.get("reason", "")),
        *(tree["seed"], max(0, len(records) - 1), tree["rounds"], result.get("best_round")),
        *((last.test.accuracy, last.test.loss) if last else (None, None)),
        *((last.validation.accuracy, last.validation.loss) if last else (None, None)),
        *(sum(r.parameters for r in records if r.scale), _rank(last), sum(_seconds(r) for r in records)),
        *((directory.provenance() or {}).get("created"), directory.digest),
    )
    _put(database, "runs", row)
    _put(database, "stamps", (path, stamp))
    for record in records:
        _put(database, "rounds", _round(path, record))
    for key, value in _options(tree):
        _put(database, "options", (path, key, json.dumps(value)))


def _read_studies(database: sqlite3.Connection, runs: Path) -> list[str]:
    """Every study's cells, read anew each time: they are few files; those that cannot be read, with what is wrong."""
    database.execute("DELETE FROM cells")
    unreadable = list[str]()
    for path in sorted(runs.glob(f"*/{FOLDER}/{RECORD}")):
        try:
            study = StudyRecord.read(path.parent)
        except BoostLoraError as error:
            unreadable.append(str(error))
            continue
        for cell in study.cells:
            place = (study.name, cell.arm, cell.block, cell.seed, json.dumps(cell.tuning))
            _put(database, "cells", (*place, int(cell.key in study.excluded), cell.folder))
    return unreadable


def _round(path: str, record: RoundRecord) -> tuple[Any, ...]:
    ranks = list(record.effective_rank.values())
    return (
        *(path, record.round, record.status, record.scale),
        *(record.failures, record.lost, record.gained, record.parameters),
        *(v for split in SPLITS for v in (getattr(record, split).accuracy, getattr(record, split).loss)),
        *(_rank(record), sum(ranks) / len(ranks) if ranks else None, record.overlap, _seconds(record)),
    )


def _put(database: sqlite3.Connection, table: str, row: tuple[Any, ...]) -> None:
    marks = ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608 - names of our own


def _rank(record: RoundRecord | None) -> int | None:
    return max(record.rank.values(), default=0) if record else None


def _seconds(record: RoundRecord) -> float:
    return sum(record.seconds.values())


def _options(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _options(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
