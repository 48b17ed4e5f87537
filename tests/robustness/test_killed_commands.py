"""Commands killed at random moments: nothing is lost, nothing is left, and the next try ends as if nothing had happened."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ..support.commands import PATIENCE, SCRIPT, boostlora
from ..support.forked import cut_short
from .whole import ALL, SMALL, Whole, times

COUNT = times("BOOSTLORA_KILLS", 19)
"""How many commands are killed that are forked from this process, which has imported everything."""
PROCESSES = times("BOOSTLORA_PROCESS_KILLS", 3)
"""How many are killed that are processes of their own, workers included."""
KINDS = ("run", "export", "boost", "apply", "rollback", "ablate")
IN_PROCESSES = ("run", "ablate", "export")
"""Kinds that are killed in processes of their own, which take seconds to start; forks are of every kind."""
MADE = {"run": ("quickstart", "ex"), "cold": ("quickstart", "ex"), "ablate": ("tiny", "ex")}
"""What a command makes, and what is not there before it; by default the export."""
Call = Callable[..., tuple[int, float]]
"""Calls a command in a folder; its exit code, and what it took in seconds. With `delay`, it is killed after so many."""


def arguments(kind: str, whole: Whole) -> tuple[str, ...]:
    """A command that writes something."""
    run = str(whole.run) if kind not in {"run", "cold"} else ""
    return {
        "run": Whole.RUN,
        "cold": Whole.RUN,
        "export": ("export", run, "--to", "safetensors", *ALL, "--out", "ex", "-q"),
        "boost": ("export", run, "--to", "boost", *ALL, "--out", "y.boost.safetensors", "-q"),
        "apply": ("apply", str(whole.base), "x.boost.safetensors", "--out", "merged", "-q"),
        "rollback": ("rollback", run, "--to", "1"),
        "ablate": Whole.ABLATE,
    }[kind]


def started(folder: Path, *words: str, delay: float | None = None) -> tuple[int, float]:
    """A command in a process of its own, which is killed with its workers; seconds by the clock."""
    environment = {**os.environ, "BOOSTLORA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    begin = time.monotonic()
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [SCRIPT, *words], cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
        )
        try:
            code = process.wait(PATIENCE if delay is None else delay)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
    return code, time.monotonic() - begin


def forked(folder: Path, *words: str, delay: float | None = None) -> tuple[int, float]:
    """A command in a fork of this process, a study's cells included; seconds of CPU time."""

    def main() -> None:
        os.environ["BOOSTLORA_CACHE"] = str(folder / "cache")
        answer = boostlora(*words, cwd=folder)
        (folder / "said").write_text(answer.stderr + answer.stdout)
        sys.exit(answer.returncode)

    return cut_short(main, folder, delay)


def expect(call: Call, whole: Whole, *words: str) -> float:
    """The seconds of a command that ends well."""
    code, seconds = call(whole.folder, *words)
    assert code == 0, (words, (whole.folder / "said").read_text())
    return seconds


class Attack:
    """Kills commands, and looks at what they leave."""

    def __init__(self, call: Call, whole: Whole, folder: Path) -> None:
        self.call, self.whole, self.folder = call, whole, folder
        self.expected, self.lives, self.killed = whole.digests(), dict[str, float](), 0

    def copy(self, kind: str, name: str) -> Whole:
        """What is there before a command; forks find a full cache, but for those whose kind is to fill it."""
        copy = self.whole.copy(self.folder / name, without=MADE.get(kind, ("ex",)))
        if self.call is forked and kind != "cold":
            shutil.copytree(self.whole.cache, copy.cache)
        return copy

    def kill(self, kind: str, number: int, share: float) -> None:
        """Kill a command after a share of its life; then try it again."""
        command = arguments(kind, self.whole)
        if kind not in self.lives:
            once = self.copy(kind, kind)
            self.lives[kind] = expect(self.call, once, *command)
        copy = self.copy(kind, str(number))
        code, _ = self.call(copy.folder, *command, delay=self.lives[kind] * share)
        assert code <= 0, (command, (copy.folder / "said").read_text())
        self.killed += code < 0
        for path, digest in copy.digests().items():  # what is there can be read
            assert kind in {"run", "cold", "ablate", "rollback"} or digest == self.expected[path]
        assert {copy.model("ex"), copy.model("merged")} <= {"", self.whole.model("ex")}, "no whole model"
        done = any((copy.folder / name).exists() for name in ("ex", "merged", "y.boost.safetensors"))
        if not done:
            expect(self.call, copy, *command)
        if kind in {"run", "rollback"}:
            expect(self.call, copy, "run", "quickstart", *SMALL, "-q")
        assert copy.digests() == self.expected, (kind, number)
        if not done:
            assert copy.unfinished() == [], (kind, number)
        shutil.rmtree(copy.folder)


def _try(call: Call, whole: Whole, folder: Path, count: int, kinds: Sequence[str] = KINDS) -> None:
    rng, attack = random.Random(1), Attack(call, whole, folder)  # noqa: S311 - moments, not secrets
    for number in range(count):
        attack.kill(kinds[number % len(kinds)], number, rng.uniform(0.3 if call is started else 0.0, 1.0))
    sys.stdout.write(f"{attack.killed} of {count} commands were killed before they had ended\n")
    assert attack.killed >= max(1, count // 4)


@pytest.fixture(scope="module")
def warm(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every command has been called in this process, so that none of its forks imports anything."""
    folder = tmp_path_factory.mktemp("warm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOOSTLORA_CACHE", str(whole.cache))
        for kind in KINDS:
            copy = whole.copy(folder / kind, without=MADE.get(kind, ("ex",)))
            done = boostlora(*arguments(kind, whole), cwd=copy.folder)
            assert done.returncode == 0, (kind, done)


@pytest.mark.slow(reason="some three processes a kill")
def test_processes_killed_at_any_point_lose_no_data_and_leave_no_leftovers(whole, tmp_path):
    _try(started, whole, tmp_path, PROCESSES, IN_PROCESSES)


@pytest.mark.slow(reason="a copy and three commands for each kill")
def test_commands_killed_at_any_point_lose_no_data_and_leave_no_leftovers(whole, tmp_path, warm):
    kinds = [kind for kind in KINDS for _ in range(3)] + ["cold"]
    _try(forked, whole, tmp_path, COUNT, random.Random(0).sample(kinds, len(kinds)))  # noqa: S311 - an order, no secret


def test_commands_killed_at_a_few_points_lose_no_data_and_leave_no_leftovers(whole, tmp_path, warm):
    _try(forked, whole, tmp_path, 3, ("run", "ablate", "export"))
