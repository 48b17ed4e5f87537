"""A study's folder: write, find and update its record, including excluded cells."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from ..errors import BoostLoraError, UsageError
from ..foundation.atomic import write_text
from ..foundation.redaction import command_without_credentials
from ..foundation.shell import command_line
from ..runs.provenance import provenance
from ..spec.document import find_spec, load
from ..spec.faults import did_you_mean, listed, unknown_name
from ..spec.resolve import legal_name
from ..spec.spec import NAME
from .record import FOLDER, RECORD, SPEC, CellRecord, StudyRecord, setting_text
from .states import study_folder
from .study_loader import Study


def known_record(runs: Path, name: str) -> StudyRecord | None:
    """The record on disk of the study with this name, if any."""
    folder = study_folder(runs, name)
    return StudyRecord.read(folder) if (folder / RECORD).is_file() else None


def with_exclusions(
    study: Study, known: StudyRecord | None, exclude: Sequence[str], include: Sequence[str]
) -> Study:
    """The study with earlier and new exclusions, minus the cells to include again."""
    keys = {cell.key for cell in study.record.cells}
    excluded = keys & set(known.excluded if known else ())
    excluded |= select_cells(study.record.cells, exclude)
    excluded -= select_cells(study.record.cells, include)
    record = attrs.evolve(study.record, excluded=tuple(sorted(excluded)))
    return attrs.evolve(study, record=record)


def replaces(study: Study, known: StudyRecord | None) -> bool:
    """Whether the name belonged to another study, without common cells."""
    return known is not None and not {c.key for c in known.cells} & {c.key for c in study.record.cells}


def select_cells(cells: Iterable[CellRecord], words: Sequence[str]) -> set[str]:
    """Keys of the cells that words select.

    A word is an arm, a block, `seed=3`, a candidate such as `lr=0.1`, a cell's label, or the first characters of its hash.

    Raises `UsageError` for a word that selects none.
    """
    cells, found = list(cells), set[str]()
    for word in words:
        keys = {
            cell.key
            for cell in cells
            if word in {cell.arm, cell.block, cell.label, f"seed={cell.seed}", *_tuned(cell)}
            or (len(word) >= 4 and cell.key.startswith(word))
        }
        if not word or not keys:
            arms = list(dict.fromkeys(cell.arm for cell in cells))
            hint, quoted = did_you_mean(word, arms), listed(f'"{arm}"' for arm in arms)
            raise UsageError(
                f'"{word}" selects no cell; {f"{hint} Give" if hint else "give"} an arm ({quoted}), a block, seed=N, a tuned value '
                "such as lr=0.1, or the first characters of a hash"
            )
        found |= keys
    return found


def _tuned(cell: CellRecord) -> set[str]:
    """Words that select a cell by its tuning: `lr=0.1`, `optimizer.lr=0.1`."""
    return {
        f"{name}={setting_text(v)}"
        for key, v in cell.tuning.items()
        for name in (key, key.rpartition(".")[2])
    }


def write_study(
    study: Study, runs: Path, known: StudyRecord | None, again: str, *, runs_cells: bool
) -> StudyRecord:
    """Write the study's record and spec; a record of other cells under the same name is renamed with its hash.

    `again` is the command that reproduces the study. If no cell is run, the recorded executor is kept.
    """
    folder = study_folder(runs, study.record.name)
    record = study.record
    if known is not None and not runs_cells:
        record = attrs.evolve(record, executor=known.executor, executor_options=known.executor_options)
    if known is not None and known.sha256 == record.sha256:
        record = attrs.evolve(record, created=known.created, provenance=known.provenance)
    else:
        origin = provenance({"study": record.sha256}, record.seeds[0]) | {
            "command": command_without_credentials(shlex.split(again))
        }
        record = attrs.evolve(record, provenance=origin)
        if known is not None:
            old = (folder / RECORD).read_text(encoding="utf-8")
            write_text(folder / f"study-{known.sha256[:12]}.json", old)
    if record != known:
        write_text(folder / SPEC, study.toml)
        record.write(folder)
    return record


def find_study(name: str, runs: Path) -> tuple[Path, StudyRecord]:
    """The folder of runs and the record of a study, by its name, its folder, a file in it, or its spec.

    Raises `UsageError` with a list of the studies.
    """
    path = Path(name)
    folders = [path, path / FOLDER, path.parent] if path.name in {RECORD, SPEC} else [path, path / FOLDER]
    for folder in (*folders, *([study_folder(runs, name)] if name else [])):
        if _has_record(folder):
            return folder.resolve().parent.parent, StudyRecord.read(folder)
    for word in _study_names_of_spec(name) if name else ():
        if _has_record(study_folder(runs, word)):
            return runs, StudyRecord.read(study_folder(runs, word))
    known = study_names(runs)
    status = command_line("boostlora", "status", "--runs", runs)
    text = unknown_name("study", name, known, place=str(runs), command=status)
    raise UsageError(f"{text}; run one with: boostlora ablate SPEC")


def _has_record(folder: Path) -> bool:
    try:
        return (folder / RECORD).is_file()
    except (OSError, ValueError):  # not a path: too long, or with NUL
        return False


def _study_names_of_spec(name: str) -> Iterator[str]:
    """Names that a spec's study may have: its `name`, and its file's stem."""
    with suppress(BoostLoraError):
        named = load(find_spec(name)).tree.get("name")
        if isinstance(named, str) and NAME.fullmatch(named):
            yield named
    yield legal_name(Path(name).stem)


def study_names(runs: Path) -> list[str]:
    """The studies in a folder of runs."""
    return sorted(path.parent.parent.name for path in runs.glob(f"*/{FOLDER}/{RECORD}"))
