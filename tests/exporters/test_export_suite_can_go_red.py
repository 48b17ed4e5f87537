"""The contract suite of exporters fails for one that touches the base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from boostlora.engine.contracts import Exportable
from boostlora.engine.testing import ExportCase, ExporterContract
from boostlora.plugins.exporters.hf import Hf

from ..support.export_runs import own_head_run

Touch = Callable[[Path], None]


def change(base: Path) -> None:
    base.write_bytes(base.read_bytes() + b"\0")


def add(base: Path) -> None:
    base.with_name("new.txt").touch()


def failing_with(touch: Touch, case: ExportCase, tmp_path: Path, patch: pytest.MonkeyPatch) -> str:
    """What the suite says of an exporter that touches the base after writing; empty if it passes."""

    class Touching(Hf):
        def write(self, ensemble: Exportable, folder: Path) -> None:
            super().write(ensemble, folder)
            touch(ensemble.source.files[0])

    class Suite(ExporterContract):
        def make(self) -> Touching:
            return Touching()

    (tmp_path / "work").mkdir()
    try:
        Suite().test_writing_touches_nothing_but_the_folder(case, tmp_path / "work", patch)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("touch", "cached", "caught"),
    [(change, False, True), (add, False, True), (change, True, True), (add, True, False)],
    ids=["changed", "added", "changed-in-cache", "added-in-cache"],
)
def test_suite_catches_an_exporter_that_touches_the_base(
    *,
    touch: Touch,
    cached: bool,
    caught: bool,
    tmp_path: Path,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = own_head_run(tmp_path / "run", shared_cache)
    if cached:  # other processes add files to a cache
        context = attrs.evolve(case.ensemble.context, cache=tmp_path / "run")
        case = attrs.evolve(case, ensemble=attrs.evolve(case.ensemble, context=context))
    assert ("the base was modified" in failing_with(touch, case, tmp_path, monkeypatch)) == caught
