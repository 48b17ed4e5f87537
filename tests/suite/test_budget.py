"""The suite's own budget: who is named, what fails, and what is not counted."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from ..support import budget

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest
PACE = 1.0
from tests.support import budget

def pytest_configure(config):
    config.addinivalue_line("markers", "slow: minutes")
    config.pluginmanager.register(budget.Budget(config, limit=0.3, near=0.1, pace=PACE), "budget")

def burn(seconds):
    begin = budget.cpu_seconds()
    while budget.cpu_seconds() - begin < seconds:
        pass

@pytest.fixture(scope="session")
def costly():
    burn(0.5)

@pytest.fixture
def own():
    burn(0.5)
"""
CASES = {
    "def test_one(): pass": (0, []),
    "def test_one(): burn(0.2)": (0, ["test_one"]),
    "def test_one(): burn(0.5)": (1, ["test_one"]),
    "def test_one(own): pass": (1, ["test_one"]),
    "def test_one(costly): pass": (0, []),
    "@pytest.mark.slow(reason='it burns')\ndef test_one(): burn(0.5)": (0, []),
    "def test_one(): import subprocess, sys; subprocess.run([sys.executable, '-c', BURN], check=True)": (
        1,
        ["test_one"],
    ),
}
HEAD = "import pytest\nfrom conftest import burn\nBURN = 'while __import__(\"time\").process_time() < 0.6: pass'\n"


@pytest.fixture
def in_ci(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> pytest.Pytester:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv(budget.ALONE, "1")
    pytester.makeconftest(CONFTEST)
    return pytester


def run(pytester: pytest.Pytester, code: str, *more: str) -> pytest.RunResult:
    pytester.makepyfile(HEAD + code)
    return pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", *more
    )


@pytest.mark.parametrize(("code", "expected"), CASES.items(), ids=range(len(CASES)))
def test_budget_names_what_comes_near_and_fails_what_is_above(
    in_ci: pytest.Pytester, code: str, expected: tuple[int, list[str]]
) -> None:
    done = run(in_ci, code)
    named = [line.split("::")[1] for line in done.outlines if "::" in line and line.split()[0][:1].isdigit()]
    assert (done.ret, named) == expected, done.outlines
    done.assert_outcomes(passed=1)


def test_budget_grows_with_what_a_loop_takes_here(in_ci: pytest.Pytester) -> None:
    in_ci.makeconftest(CONFTEST.replace("PACE = 1.0", "PACE = 2.5"))
    assert run(in_ci, "def test_one(): burn(0.5)").ret == 0


def test_budget_grows_only_on_machines_that_are_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    for each, expected in ((0.02, 1.0), (0.05, 1.0), (0.10, 2.0)):
        monkeypatch.setattr(budget.time, "process_time", itertools.count(0.0, each).__next__)
        assert budget.slowness() == pytest.approx(expected)


@pytest.mark.parametrize("again", [0.0, 0.5])
def test_what_is_above_is_measured_once_more_alone(
    in_ci: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, again: float
) -> None:
    monkeypatch.delenv(budget.ALONE)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    code = f"import os\ndef test_one(): burn({again} if os.environ.get({budget.ALONE!r}) else 0.5)"
    assert run(in_ci, code).ret == (1 if again else 0)


def test_budget_fails_nothing_outside_ci(in_ci: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI")
    assert run(in_ci, "def test_one(): burn(0.5)").ret == 0


def test_budget_fails_nothing_where_a_profile_asks_for_more_examples(in_ci: pytest.Pytester) -> None:
    pytest.importorskip("hypothesis")
    assert run(in_ci, "def test_one(): burn(0.5)", "--hypothesis-profile", "default").ret == 0


def test_mark_without_a_reason_is_refused(in_ci: pytest.Pytester) -> None:
    done = run(in_ci, "@pytest.mark.slow\ndef test_one(): pass")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert any("slow needs a reason" in line for line in done.errlines)
