"""Commands killed at random moments: nothing is lost, nothing is left, and the next try ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..support.commands import PATIENCE, SCRIPT
from .whole import SMALL, Whole, times

COUNT = times("BOOSTLORA_KILLS", 10)
"""How many commands are killed."""


def arguments(kind: str, whole: Whole) -> tuple[str, ...]:
    """A command that writes something."""
    run = str(whole.run) if kind != "run" else ""
    return {
        "run": Whole.RUN,
        "export": ("export", run, "--to", "safetensors", "--out", "ex", "-q"),
        "boost": ("export", run, "--to", "boost", "--out", "y.boost.safetensors", "-q"),
        "apply": ("apply", str(whole.base), "x.boost.safetensors", "--out", "merged", "-q"),
        "rollback": ("rollback", run, "--to", "1"),
        "ablate": Whole.ABLATE,
    }[kind]


def call(folder: Path, *words: str, delay: float | None = None) -> int:
    """The exit code of a command, or of its kill after a while, workers included."""
    environment = {**os.environ, "BOOSTLORA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [SCRIPT, *words], cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
        )
        try:
            return process.wait(PATIENCE if delay is None else delay)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def expect(whole: Whole, *words: str) -> None:
    assert call(whole.folder, *words) == 0, (words, (whole.folder / "said").read_text())


@pytest.mark.slow(reason="some three processes a kill")
def test_commands_killed_anywhere_lose_nothing_and_leave_nothing(whole, tmp_path):
    rng, killed = random.Random(1), 0  # noqa: S311 - moments, not secrets
    lives = dict[str, float]()
    expected = whole.digests()
    kinds = ["run", "export", "boost", "apply", "rollback", "ablate"]
    for number in range(COUNT):
        kind = kinds[number % len(kinds)]
        made = {"run": ("quickstart", "ex"), "ablate": ("tiny", "ex")}.get(kind, ("ex",))
        if kind not in lives:
            begin = time.monotonic()
            expect(whole.copy(tmp_path / kind, without=made), *arguments(kind, whole))
            lives[kind] = time.monotonic() - begin
        copy = whole.copy(tmp_path / str(number), without=made)
        command = arguments(kind, whole)
        killed += call(copy.folder, *command, delay=lives[kind] * rng.uniform(0.3, 1.0)) == -signal.SIGKILL
        for path, digest in copy.digests().items():  # what is there can be read
            assert kind in {"run", "ablate", "rollback"} or digest == expected[path]
        assert {copy.model("ex"), copy.model("merged")} <= {"", whole.model("ex")}, (
            "a model that is not whole"
        )
        done = any((copy.folder / name).exists() for name in ("ex", "merged", "y.boost.safetensors"))
        if not done:
            expect(copy, *command)
        if kind in {"run", "rollback"}:
            expect(copy, "run", "quickstart", *SMALL, "-q")
        assert copy.digests() == expected, (kind, number)
        if not done:
            assert copy.unfinished() == [], (kind, number)
    sys.stdout.write(f"{killed} of {COUNT} commands were killed before they had ended\n")
    assert killed >= COUNT // 4
