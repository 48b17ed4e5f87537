"""What pytest does besides while mutants are covered or run: loaded with `-p`, from beside the instrumented package.

MUTATION_IDS names a file with the tests to run, one a line, in their order; without it all are run. MUTATION_TESTS names the file
that gets a JSON line when a test starts, and another, with its outcome, when it has ended.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

MEMORY = 12 << 30
"""Bytes a process may allocate: a mutant that never stops collecting must not take the machine's memory."""


def pytest_configure() -> None:
    """Refuse to run on any other copy of the package."""
    found = importlib.util.find_spec("boostlora.engine")
    if found is None or not Path(str(found.origin)).is_relative_to(Path(__file__).parent):
        raise pytest.UsageError(f"boostlora is not the instrumented one, but {found and found.origin}")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))


def pytest_sessionstart(session: pytest.Session) -> None:
    """A mutant that is slow is no mutant that is caught: the suite's budget of CPU time is no matter here."""
    session.config.pluginmanager.unregister(name="budget")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the wanted tests, in the wanted order."""
    if path := os.environ.get("MUTATION_IDS"):
        order = {test: i for i, test in enumerate(Path(path).read_text(encoding="utf-8").split("\n"))}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in order])
        kept = (item for item in items if item.nodeid in order)
        items[:] = sorted(kept, key=lambda item: order[item.nodeid])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """What a test reaches is noted under its name."""
    _record(test=item.nodeid)
    os.environ["MUTATION_TEST"] = item.nodeid
    try:
        return (yield)
    finally:
        del os.environ["MUTATION_TEST"]


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """What the fixture of several tests reaches is noted under the fixture's name, for all of them."""
    before = os.environ.get("MUTATION_TEST")
    if fixturedef.scope == "function" or before is None:
        return (yield)
    os.environ["MUTATION_TEST"] = _name(fixturedef)
    try:
        return (yield)
    finally:
        os.environ["MUTATION_TEST"] = before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After the last phase of a test: whether all passed, how long they took, and the fixtures shared with other tests."""
    report = yield
    passed, seconds = item.stash.get(_SO_FAR, (True, 0.0))
    item.stash[_SO_FAR] = passed, seconds = passed and not report.failed, seconds + report.duration
    if call.when == "teardown" or report.failed:
        request = getattr(item, "_request", None)
        used = request._fixture_defs.values() if request else ()
        shared = sorted({_name(f) for f in used if f.scope != "function"})
        _record(test=item.nodeid, passed=passed, seconds=round(seconds, 3), fixtures=shared)
    return report


_SO_FAR = pytest.StashKey[tuple[bool, float]]()


def _name(fixture: pytest.FixtureDef[Any]) -> str:
    return f"fixture {fixture.baseid}::{fixture.argname}"


def _record(**what: object) -> None:
    if path := os.environ.get("MUTATION_TESTS"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")
