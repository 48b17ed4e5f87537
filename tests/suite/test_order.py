"""The suite's order of files: those that are named first exist, and come first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ..support.order import COSTLIEST, costliest_first
from ..support.places import ROOT


def test_costliest_files_exist() -> None:
    assert [name for name in COSTLIEST if not (ROOT / "tests" / name).is_file()] == []


def test_order_takes_costly_files_then_those_with_most_tests_and_leaves_a_files_tests() -> None:
    names = ["a.py", "b.py", COSTLIEST[1], "b.py", COSTLIEST[0]]
    items: Any = [SimpleNamespace(path=ROOT / "tests" / name, place=i) for i, name in enumerate(names)]
    costliest_first(items)
    assert [item.place for item in items] == [4, 2, 1, 3, 0]
