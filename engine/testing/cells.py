"""Small cells that run in real processes, and their observable state, for the suites of executors and trackers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from ..contracts import Job
from ..foundation.locks import HOLDER
from ..registry import Registry
from ..runs.directory import RunDirectory
from ..spec import Spec
from ..spec.document import parse
from ..spec.faults import Source
from ..spec.resolve import resolve
from ..study.inputs import inputs_of

PLUGIN = Path(__file__).with_name("cell_plugin.py")
ROUNDS = 2
PATIENCE = 60.0
"""Timeout in seconds; starting a worker on a busy machine takes several."""
TEXT = """\
name = "cells"
seed = {seed}
rounds = {rounds}
task.use = "cell-clouds"
task.fails = {fails}
model.use = "mlp"
model.hidden = [8]
model.epochs = 1
adapter.rank = 2
adapter.u = 2
optimizer.steps = 2
optimizer.batch_size = 16
sampler.use = "cell-gated"
sampler.gate = "{gate}"
"""


@attrs.frozen
class Cells:
    """A study in a folder."""

    folder: Path
    registry: Registry = attrs.field(factory=lambda: Registry.load((PLUGIN,)))
    cache: Path = attrs.field(default=attrs.Factory(lambda self: self.folder / "cache", takes_self=True))
    """Cache of pretrained models, which several folders may share."""

    @property
    def gate(self) -> Path:
        """The file that gated cells wait for before their last round."""
        return self.folder / "gate"

    @property
    def study(self) -> Path:
        """The study's folder."""
        return self.folder / "runs" / "cells" / "study"

    def spec(self, seed: int, *, fails: bool = False, gated: bool = False) -> Spec:
        """The spec of a cell."""
        gate = self.gate.absolute() if gated else ""
        text = TEXT.format(seed=seed, rounds=ROUNDS, fails=str(fails).lower(), gate=gate)
        return resolve(parse(Source("cell", text, self.folder)), self.registry)

    def job(self, seed: int, *, fails: bool = False, gated: bool = False) -> Job:
        """A cell of two rounds; a gated one waits before the second until `gate` exists."""
        spec = self.spec(seed, fails=fails, gated=gated)
        return Job(
            cell=spec.short_hash,
            label=f"seed {seed}",
            spec=spec.dump(),
            folder=str((self.folder / "runs" / "cells" / spec.short_hash).absolute()),
            study=str(self.study.absolute()),
            cache=str(self.cache.absolute()),
            plugin_files=(str(PLUGIN),),
            inputs=inputs_of(spec, (PLUGIN,), self.cache),
        )


def rounds_of(job: Job) -> int:
    """Lines of the cell's record: one for the base and one for each round."""
    try:
        return (Path(job.folder) / "rounds.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def digest_of(job: Job) -> str:
    """Digest of the cell's run, after a check of its files."""
    directory = RunDirectory.open(Path(job.folder))
    directory.check_files()
    return directory.digest


def worker_of(job: Job) -> int | None:
    """Id of the process that runs the cell; None if none does."""
    try:
        return int(json.loads((Path(job.folder) / HOLDER).read_text())["pid"])
    except (OSError, ValueError):
        return None


def is_alive(process: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def is_waiting(job: Job) -> bool:
    """Whether a gated cell waits at its gate."""
    return rounds_of(job) == ROUNDS and worker_of(job) is not None


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds. Raises AssertionError with `what` after the timeout."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"timed out after {PATIENCE:g} s, waiting until {what}"
        time.sleep(0.05)
