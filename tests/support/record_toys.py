"""Small runs, and ways to interrupt them."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.contracts.records import UNSEALED
from boostlora.engine.contracts.run_info import RunResult
from boostlora.engine.foundation.atomic import file_sha256
from boostlora.engine.foundation.locks import locked
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec import Spec
from boostlora.engine.spec.resolve import load_spec

from .commands import PATIENCE

PLUGIN = Path(__file__).with_name("toy_plugin.py")
BOOSTLORA = Path(sys.executable).with_name("boostlora")
ROUNDS = 4
SPEC = f"""\
name = "toy"
rounds = {ROUNDS}
task.use = "toy-blobs"
model.use = "toy-random"
adapter.rank = 2
adapter.u = 3
optimizer.lr = 0.05
optimizer.steps = 3
optimizer.batch_size = 16
"""


def _silent(what: str, done: int, total: int) -> None:
    """Say nothing."""


@attrs.frozen
class Toy:
    """One spec that can be run in several folders."""

    folder: Path
    registry: Registry
    spec: Spec

    @classmethod
    def make(cls, folder: Path, *settings: str) -> "Toy":
        registry = Registry.load((PLUGIN,))
        return cls(folder, registry, load_spec(write_spec(folder), registry, settings))

    def path(self, name: str) -> Path:
        return self.folder / "runs" / name

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def go(self, name: str, report: Callable[[str, int, int], None] = _silent) -> RunResult:
        """Run what is missing, as the command line does."""
        prepared = prepare(self.spec)
        with locked(self.path(name)):
            directory = RunDirectory.create(self.path(name), self.spec)
            return boost(prepared, directory, self.registry, RunContext(cache=self.cache, report=report))


def write_spec(folder: Path, text: str = SPEC) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "toy.toml"
    path.write_text(text)
    return path


def sealed(path: Path) -> list[dict[str, Any]]:
    """What a run's lines say, without what may differ between two runs of one experiment."""
    lines = [json.loads(line) for line in (path / "rounds.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k not in UNSEALED} | {"digest": line["digest"]} for line in lines
    ]


def check_valid(path: Path, complete: list[dict[str, Any]]) -> int:
    """Hold whatever is on disk to the promise: a prefix of the complete run, vouched for byte by byte.

    Returns the number of rounds on disk.
    """
    if not (path / "spec.toml").exists():
        assert not (path / "rounds.jsonl").exists(), "rounds without a spec"
        return 0
    directory = RunDirectory.open(path)
    directory.check_spec()
    if directory.records:
        assert sealed(path) == complete[: len(directory.records)]
    for record in directory.records:
        assert record.files
        for name, sha256 in record.files.items():
            assert file_sha256(path / name) == sha256, name
        directory.outcomes(record.round)
    directory.ensemble()
    result = directory.result()
    assert result is None or result["digest"] == complete[-1]["digest"] == directory.digest
    return len(directory.records)


class Interrupter:
    """Raises at the n-th report of progress; an unreachable n only counts."""

    def __init__(self, at: int | None = None) -> None:
        self.calls, self.at = 0, at

    def __call__(self, what: str, done: int, total: int) -> None:
        del what, done, total
        self.calls += 1
        if self.calls - 1 == self.at:
            raise KeyboardInterrupt


@contextmanager
def listening(registry: Registry, listener: object) -> Generator[None]:
    """Tell a listener of the events meanwhile."""
    registry.manager.register(listener, name="listener")
    try:
        yield
    finally:
        registry.manager.unregister(listener)


def clone(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a command of this folder sees: its own cache, and the console script by its bare name."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BOOSTLORA", "TOY", "PYTEST"))}
    path = f"{BOOSTLORA.parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "BOOSTLORA_CACHE": str(folder / "cache")} | more


def run_arguments(folder: Path, *extra: str) -> list[str]:
    """`boostlora run` of the folder's spec."""
    toy, runs = str(folder / "toy.toml"), str(folder / "runs")
    return [str(BOOSTLORA), "run", toy, "--plugin", str(PLUGIN), "--runs", runs, *extra]


def call(arguments: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; a string goes through the shell, verbatim."""
    return subprocess.run(
        arguments,
        shell=isinstance(arguments, str),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def start(arguments: list[str], folder: Path, pause: str = "") -> subprocess.Popen[str]:
    """Start a command; with a pause, return when it has got there and sleeps."""
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env=environment(folder, TOY_PAUSE=pause),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if pause:
        assert process.stdout is not None
        assert process.stdout.readline() == "paused\n"
    return process


def only_run(folder: Path) -> Path:
    """The one run there is."""
    (path,) = (p.parent for p in (folder / "runs").glob("*/*/spec.toml"))
    return path


def disk_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
