"""The command, and two runs written by hand that it compares."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from ..support.commands import Command
from ..support.shared import Shared
from .compare_toys import judged, load, write_run


@pytest.fixture
def compare(boostlora: Command) -> Command:
    """`boostlora compare` in the test's own folder."""
    return partial(boostlora, "compare")


@pytest.fixture(scope="session")
def written(shared: Shared) -> Path:
    """Two runs on digits: A ends wrong at places 0 to 9, B at 5 to 24; both began wrong at 0 to 49."""
    return shared.made("compared-digits", _write)


@pytest.fixture
def digits(written: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A and B, copied to where the command looks."""
    found = list[Path]()
    for side in ("a", "b"):
        (source,) = (path.parent for path in written.glob(f"{side}/*/*/spec.toml"))
        found.append(tmp_path / "runs" / source.parent.name / source.name)
        shutil.copytree(source, found[-1])
    return found[0], found[1]


def _write(folder: Path) -> None:
    spec, splits = load(Path("paper/digits"), "rounds=2")
    a = [judged(splits, wrong) for wrong in (range(50), range(30), range(10))]
    b = [a[0], *(judged(splits, wrong, loss=1.75) for wrong in (range(20), range(5, 25)))]
    write_run(folder / "a", spec, splits, a)
    write_run(folder / "b", load(Path("paper/digits"), "rounds=2", "basis.use=fixed")[0], splits, b)
