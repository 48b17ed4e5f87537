"""Which tests reach which mutant, and in which order they are asked."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .sites import Mutant

CHUNKS = (40, 150)
"""Tests that the first runs of pytest get; the last gets the rest."""


class Reached(NamedTuple):
    """Which tests reach which mutant, with no mutant active; only tests that pass."""

    hits: dict[int, set[str]]
    tests: dict[str, dict[str, Any]]
    imports: set[int]

    @classmethod
    def read(cls, log: Path) -> Reached:
        """What a fixture reaches, all tests that use it reach."""
        tests = records(tests_of(log))
        users: dict[str, set[str]] = defaultdict(set)
        for test, what in tests.items():
            for name in (test, *what.get("fixtures", ())):
                users[name] |= {test} if what.get("passed") else set()
        reached, imports = cls({}, tests, set()), set[int]()
        for line in filter(None, log.read_text(encoding="utf-8").split("\n")):
            number, _, name = line.partition("\t")
            if not name:
                imports.add(int(number))
            elif users[name]:
                reached.hits.setdefault(int(number), set()).update(users[name])
        return reached._replace(imports=imports)


def records(path: Path) -> dict[str, dict[str, Any]]:
    """What the plugin has written of each test; the last line counts, and a test that has not ended has no outcome."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {record["test"]: record for record in map(json.loads, lines)}


def tests_of(log: Path) -> Path:
    """Beside a log, what is known of the tests: outcomes, seconds, shared fixtures."""
    return log.with_name(f"{log.name}.tests")


def ordered(mutant: Mutant, hit: set[str], reached: Reached) -> list[str]:
    """The tests, by file: those first whose name has most words of the mutant's, then the quickest; their neighbours last.

    The neighbours, tests of the same files that do not reach the mutant themselves, may see what the others have left in a cache.
    """
    files: dict[str, list[str]] = defaultdict(list)
    for test, what in reached.tests.items():
        if what.get("passed"):
            files[test.partition("::")[0]].append(test)
    words = set(mutant["path"].removesuffix(".py").replace("_", "/").split("/"))

    def place(file: str) -> tuple[int, float, str]:
        same = words & set(file.removesuffix(".py").replace("_", "/").split("/"))
        taken = [reached.tests[test].get("seconds", 0.0) for test in files[file] if test in hit]
        return -len(same), sum(taken) / len(taken), file

    near = [
        test for file in sorted({test.partition("::")[0] for test in hit}, key=place) for test in files[file]
    ]
    return [test for test in near if test in hit] + [test for test in near if test not in hit]


def chunks(tests: list[str]) -> Iterator[list[str]]:
    """The tests in the order in which they are run, few first: most mutants fall at once."""
    for size in (*CHUNKS, len(tests)):
        if tests:
            yield tests[:size]
        tests = tests[size:]
