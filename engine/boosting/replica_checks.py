"""Consistency checks of a distributed run: every process has the same inputs, the same finished rounds, and computes the same record.

Every process runs the same engine code, and backends share out the batches. A process with other inputs would corrupt the summed
gradients, or make a collective operation hang.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ..contracts.records import UNSEALED, RoundRecord
from ..errors import RunError, UsageError
from ..foundation.atomic import write_bytes
from ..foundation.process_group import ProcessGroup, ProcessGroupError
from ..records.run_result import ROUNDS
from ..runs.directory import RunDirectory


def check_same_inputs(processes: ProcessGroup, hashes: Mapping[str, str]) -> None:
    """Raises `UsageError`, in all processes, unless all have the same hashes of spec, data and weights."""
    first, *others = processes.gathered(dict(hashes))
    for index, found in enumerate(others, start=1):
        for name, sha256 in first.items():
            if found.get(name) != sha256:
                raise UsageError(
                    f"process {index} has another hash of {name} ({str(found.get(name))[:12]}) than process 0 ({sha256[:12]}); "
                    "copy the same files to every machine"
                )


def copy_rounds_to_workers(processes: ProcessGroup, directory: RunDirectory) -> None:
    """Send process 0's finished rounds to the other processes, whose run folders start empty. Only process 0's machine keeps the run."""
    if processes.size == 1:
        return
    names = processes.agree(lambda: [name for record in directory.records for name in record.files])
    for name in [ROUNDS, *names] if names else []:
        data = processes.agree(lambda name=name: _bytes(directory, name))
        if processes.index:
            write_bytes(directory.path / name, data)
    if processes.index:
        directory.records = directory.load_records()


def check_same_round(processes: ProcessGroup, record: RoundRecord) -> None:
    """Raises `ProcessGroupError`, in all processes, unless all computed the same record. Called before the round is written."""
    if len(set(processes.gathered(record.digest))) == 1:
        return
    first, *others = processes.gathered(_sealed(record))
    for index, found in enumerate(others, start=1):
        for name, value in first.items():
            if found.get(name) != value:
                raise ProcessGroupError(
                    f"process {index} diverged in round {record.round}: {name} is {_short(found.get(name))}, but "
                    f"{_short(value)} in process 0. The round is discarded. Likely causes: a plugin with a random generator of its own "
                    "or a clock, or machines with other libraries or thread counts"
                )


def _sealed(record: RoundRecord) -> dict[str, Any]:
    """The fields of a record that are reproducible, nested tables flattened."""
    found = dict[str, Any]()
    for name, value in attrs.asdict(record).items():
        if name not in UNSEALED:
            found |= (
                {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
            )
    return found


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else str(value)


def _bytes(directory: RunDirectory, name: str) -> bytes:
    try:
        return (directory.path / name).read_bytes()
    except OSError as error:
        raise RunError(f"{directory.path / name}: cannot be read ({error.strerror or error})") from error
