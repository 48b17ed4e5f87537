"""`check` of mutated specs gives a one-sentence error or the plan, in bounded time."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boostlora.engine.registry import KINDS, Registry

from ..support.commands import Answer, boostlora
from ..support.mutants import mutant
from ..support.places import ROOT
from .whole import times

COUNT = times("BOOSTLORA_MUTANTS", 400)
"""How many mutants of specs are checked."""
FIRST = times("BOOSTLORA_FIRST_MUTANT", 0)
"""The seed of the first, for those who try many in several processes."""
SECONDS = 20
"""CPU seconds that a check may take: far more than those of shipped specs, which take one at most."""
LENGTH = 20_000
"""Characters of a message."""
LEAKS = pytest.mark.filterwarnings(
    "ignore:task .* have inputs that also occur in the training data:RuntimeWarning"
)
"""A mutant may ask for data of which this is true: it is said, and nothing is wrong with it."""
LIGHT = {"quickstart", "digits", "bases", "backends", "spectrum", "samplers", "_language", "protein-binding"}
"""Specs whose check takes some hundredths of a second; nine of ten mutants are theirs."""


class TooLongError(Exception):
    """A check has taken more CPU time than it may."""


@contextmanager
def bounded(seconds: float) -> Generator[None]:
    """Raise `TooLongError` where more CPU time is taken."""

    def stop(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judge(answer: Answer) -> None:
    """One message for an illegal spec, and a plan for a legal one."""
    assert answer.returncode in {0, 2}, answer
    assert "Traceback" not in answer.stderr + answer.stdout, answer
    if answer.returncode:
        assert answer.stdout == ""
        assert [line.startswith("error: ") for line in answer.stderr.splitlines()].count(True) == 1, answer
        assert answer.stderr.startswith("error: ")
        assert len(answer.stderr) < LENGTH, len(answer.stderr)
    else:
        assert answer.stderr == "", answer
    assert all(line.isprintable() for line in (answer.stderr + answer.stdout).split("\n")), answer


def words() -> list[str]:
    """Names of all plugins."""
    registry = Registry.load()
    return sorted({name for kind in KINDS for name in registry.entries(kind)})


def _try(folder: Path, seeds: range, *, light: bool) -> None:
    specs = folder / "specs"
    shutil.copytree(ROOT / "specs", specs)
    for name in (
        "largest.csv",
        "average.csv",
    ):  # so that mutants of the spec of a table come as far as others
        (specs / "boosting" / name).write_text("a,b,target\n" + "1,2,x\n3,4,y\n" * 20)
    names, codes, failures = words(), Counter[int](), list[str]()
    paths = sorted(specs.rglob("*.toml"))
    cheap = [path for path in paths if path.stem in LIGHT and path.parent.name != "boosting"]
    for seed in seeds:
        rng = random.Random(seed)  # noqa: S311 - mutants, not secrets
        path = rng.choice(cheap if light or rng.random() < 0.9 else paths)
        whole = path.read_bytes()
        path.write_bytes(mutant(whole.decode(), names, rng))
        said = f"seed {seed}: {path.relative_to(specs)}"
        try:
            with bounded(SECONDS):
                answer = boostlora("check", path.relative_to(folder), cwd=folder)
            codes[answer.returncode] += 1
            judge(answer)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failures.append(f"{said}\n{traceback.format_exc()[-1500:]}")
            (folder / f"{seed}.toml").write_bytes(path.read_bytes())
        path.write_bytes(whole)
    sys.stdout.write(f"{len(seeds)} mutants: {dict(codes)}, {len(failures)} failures\n")
    assert not failures, f"{len(failures)} of {len(seeds)}:\n" + "\n".join(failures)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a data set or a model of the hub."""
    for module in ("huggingface_hub.constants", "datasets.config"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
@LEAKS
def test_few_mutated_specs_are_refused_with_a_one_sentence_error(tmp_path):
    _try(tmp_path, range(1_000_000, 1_000_060), light=True)


@pytest.mark.usefixtures("offline")
@LEAKS
@pytest.mark.slow(reason="up to a second for each mutant")
def test_mutated_specs_are_refused_with_a_one_sentence_error(tmp_path):
    _try(tmp_path, range(FIRST, FIRST + COUNT), light=False)
