"""Studies from text; the registry is loaded once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.registry import Registry
from boostlora.engine.spec import SpecError
from boostlora.engine.study.study_loader import Study, load_study

BASE = 'name = "s"\nrounds = 2\ntask.use = "digits"\nmodel.use = "mlp"\nmodel.hidden = [8]\n[ablate]\n'
LINES = BASE.count("\n")


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def read_study(registry: Registry, runs: Path, tmp_path: Path) -> Callable[..., Study]:
    """A study from what follows `[ablate]`, under settings of the command line."""

    def read(text: str, *settings: str, base: str = BASE, name: str = "s.toml") -> Study:
        path = tmp_path / name
        path.write_text(base + text, encoding="utf-8")
        return load_study(path, registry, runs, settings)

    return read


@pytest.fixture
def study_faults(
    read_study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """`line:column: message` of every fault, lines counted from the one after `[ablate]`."""
    monkeypatch.chdir(tmp_path)

    def of(text: str, *settings: str) -> list[str]:
        try:
            read_study(text, *settings)
        except SpecError as error:
            return [f"{_place(fault.position())}: {fault.message}" for fault in error.faults]
        return []

    return of


def _place(position: str) -> str:
    name, line, column = position.rsplit(":", 2)
    return f"{int(line) - LINES}:{column}" if name == "s.toml" else position
