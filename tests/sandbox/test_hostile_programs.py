"""No hostile program gets anywhere, and the same programs do where nothing confines them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from boostlora.plugins.tasks._code.sandbox import OVERRIDE, Limits, Program, Sandbox

from . import (
    hostile_files,
    hostile_forgeries,
    hostile_kernel,
    hostile_network,
    hostile_processes,
    hostile_resources,
)
from .hostile import PREAMBLE, Surroundings, left_over, sources

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux only")

CORPORA = (hostile_files, hostile_network, hostile_processes, hostile_kernel)
ATTACKS = {name: source for corpus in CORPORA for name, source in sources(corpus.SOURCE).items()}
FORGERIES, EXHAUSTIONS = sources(hostile_forgeries.SOURCE), sources(hostile_resources.SOURCE)
NOT_UNCONFINED = {name for corpus in CORPORA for name in corpus.NOT_UNCONFINED}
WITHIN_ONE_PROCESS = hostile_forgeries.WITHIN_ONE_PROCESS.split()
EXPECTED = 7_391_482
TIGHT = Limits(seconds=0.5, wall_seconds=3.0, memory_mb=256, answer_bytes=1 << 20)


@pytest.fixture
def around(tmp_path: Path) -> Generator[Surroundings]:
    tmp_path.chmod(0o777)
    with Surroundings.build(tmp_path) as built:
        yield built


def forgery(name: str, source: str) -> Program:
    """The program whose `f` no test can be satisfied with; asked twice, with what it must not see in between."""
    return Program(
        source=f"{PREAMBLE}{source}\nf = {name}()\n",
        tests=f"assert f(3) == {EXPECTED}\nassert f(4) == {EXPECTED}",
        entry_point="f",
    )


OTHERS = pytest.mark.slow(reason="a process each; by default every third attack is tried")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=OTHERS if i % 3 else ()) for i, name in enumerate(ATTACKS)]
)
def test_attack_inside_the_sandbox_fails(name: str, around: Surroundings) -> None:
    verdict = Sandbox(limits=Limits(seconds=3.0)).judge(around.program(ATTACKS[name], name))
    assert around.oracle(verdict) == []
    assert "SyntaxError" not in verdict.message
    assert "NameError" not in verdict.message


@pytest.mark.slow(reason="starts every attack without a sandbox, to show that it is one")
@pytest.mark.parametrize("name", sorted(set(ATTACKS) - NOT_UNCONFINED))
def test_attack_without_confinement_is_detected(
    name: str, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OVERRIDE, "1")
    verdict = Sandbox(unconfined=True).judge(around.program(ATTACKS[name], name))
    assert around.oracle(verdict) != [], verdict


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_verdict_is_not_accepted(name: str) -> None:
    verdict = Sandbox(limits=TIGHT).judge(forgery(name, FORGERIES[name]))
    assert not verdict.passed
    assert "NameError" not in verdict.message


@pytest.mark.parametrize("name", WITHIN_ONE_PROCESS)
def test_forgery_within_the_process_of_the_tests_succeeds(name: str) -> None:
    program = forgery(name, FORGERIES[name])
    code = f"exec({program.source!r})\nexec({program.tests!r})"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.slow(reason="most wait for the clock")
@pytest.mark.parametrize("name", EXHAUSTIONS)
def test_resource_exhaustion_is_ended_by_limits(name: str) -> None:
    started = time.monotonic()
    verdict = Sandbox(limits=TIGHT).judge(forgery(name, EXHAUSTIONS[name]))
    assert not verdict.passed
    # A second for the start and another for the end of a process on a busy machine.
    assert time.monotonic() - started < TIGHT.wall_seconds + 20
    assert left_over() == []
    assert len(verdict.message) <= 400
    assert verdict.message.isprintable()


def test_corpus_has_at_least_sixty_attacks_with_unique_names() -> None:
    names = [name for corpus in CORPORA for name in sources(corpus.SOURCE)] + [*FORGERIES, *EXHAUSTIONS]
    assert len(names) >= 60
    assert len(set(names)) == len(names)
    assert set(ATTACKS) >= NOT_UNCONFINED
    assert set(WITHIN_ONE_PROCESS) <= set(FORGERIES)
