"""What the processes of a shared run owe each other: the same data, the same finished rounds, and one way."""

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


def require_alike(processes: ProcessGroup, hashes: Mapping[str, str]) -> None:
    """Refuse processes that have read another spec, other data or weights, as on another machine. Raises `UsageError` in all of them."""
    first, *others = processes.gathered(dict(hashes))
    for rank, found in enumerate(others, start=1):
        for name, sha256 in first.items():
            if found.get(name) != sha256:
                raise UsageError(
                    f"rank {rank} has other {name} ({str(found.get(name))[:12]}) than rank 0 ({sha256[:12]}); "
                    "bring the same files to every machine"
                )


def hand_over(processes: ProcessGroup, directory: RunDirectory) -> None:
    """Give the leader's finished rounds to all others, whose folders are empty; so no machine but the leader's needs the run."""
    if processes.size == 1:
        return
    names = processes.agree(lambda: [name for record in directory.records for name in record.files])
    for name in [ROUNDS, *names] if names else []:
        data = processes.agree(lambda name=name: _bytes(directory, name))
        if processes.rank:
            write_bytes(directory.path / name, data)
    if processes.rank:
        directory.records = directory.load_records()


def require_one_way(processes: ProcessGroup, record: RoundRecord) -> None:
    """Refuse a round that is not the same in every process, before it is written. Raises `ProcessGroupError` in all of them."""
    if len(set(processes.gathered(record.digest))) == 1:
        return
    first, *others = processes.gathered(_sealed(record))
    for rank, found in enumerate(others, start=1):
        for name, value in first.items():
            if found.get(name) != value:
                raise ProcessGroupError(
                    f"rank {rank} went another way in round {record.round}: {name} is {_short(found.get(name))} there and "
                    f"{_short(value)} in rank 0; the round is not kept. A plugin draws from a generator of its own, or reads "
                    "a clock; or the machines, their libraries or their numbers of threads differ"
                )


def _sealed(record: RoundRecord) -> dict[str, Any]:
    """What a record says that must be the same whenever the experiment is run, nested tables flattened."""
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
