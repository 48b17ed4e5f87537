"""Specs from text, without files; the registry is loaded once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.registry import Registry
from boostlora.engine.spec import Spec, SpecError
from boostlora.engine.spec.document import parse
from boostlora.engine.spec.faults import Source
from boostlora.engine.spec.resolve import resolve


@pytest.fixture(scope="session")
def registry() -> Registry:
    found = Registry.load()
    assert not found.broken
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that relative paths of the texts are relative to."""
    return tmp_path_factory.mktemp("specs")


@pytest.fixture(scope="session")
def read(registry: Registry, folder: Path) -> Callable[[str], Spec]:
    """A spec from its text, as if it stood in `s.toml`."""
    return lambda text: resolve(parse(Source("s.toml", text, folder)), registry)


@pytest.fixture(scope="session")
def faults(read: Callable[[str], Spec]) -> Callable[[str], list[str]]:
    """`line:column: message` of every fault of a text, in the order in which they are shown."""

    def of(text: str) -> list[str]:
        try:
            read(text)
        except SpecError as error:
            return [fault.position().removeprefix("s.toml:") + ": " + fault.message for fault in error.faults]
        return []

    return of
