"""Every public name has a docstring, and stands on a page of the reference."""

import re

import pytest

from ..support.places import ROOT
from ..support.public_names import Name, defined, exported, undocumented

SHOWN = re.compile(r"^::: (boostlora\.\S+)$", re.MULTILINE)
PACKAGES = (
    "boostlora.engine",
    "boostlora.engine.api",
    "boostlora.engine.contracts",
    "boostlora.engine.contracts.records",
    "boostlora.engine.contracts.run_info",
    "boostlora.engine.errors",
    "boostlora.engine.foundation.options",
    "boostlora.engine.hookspecs",
    "boostlora.engine.sdk.directions",
    "boostlora.engine.testing",
    *(
        f"boostlora.engine.sdk.{path.stem}"
        for path in sorted((ROOT / "engine" / "sdk").glob("*.py"))
        if path.stem != "__init__"
    ),
)
"""What people import: the Python interface, and what plugins are made of and proved by."""
INTERNAL = {
    "boostlora.engine.errors.blame": "how the engine names a plugin that raised",
}
"""Public names that are none of a user's, and why."""


def shown() -> list[str]:
    """Paths on the pages, as they are written."""
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    return [path for page in pages for path in SHOWN.findall(page.read_text(encoding="utf-8"))]


def origin(path: str) -> Name:
    """Where a path on a page is defined."""
    module, _, name = path.rpartition(".")
    return defined(module, name)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_on_a_page_and_has_a_docstring(package):
    names = [defined(package, name) for name in exported(package)]
    on_pages = {origin(path) for path in shown()}
    missing = [name.path for name in names if name not in on_pages and name.path not in INTERNAL]
    assert not missing, f"of {package}, add to a page of docs/reference: {missing}"
    silent = [path for name in names for path in undocumented(name)]
    assert not silent, f"write a docstring for: {silent}"


def test_every_name_on_a_page_exists_has_a_docstring_and_stands_there_once():
    paths = shown()
    assert len(paths) > 150
    silent = [path for name in map(origin, paths) for path in undocumented(name)]
    assert not silent, f"gone, or without a docstring: {silent}"
    assert len(set(map(origin, paths))) == len(paths), "a name stands on two pages"


def test_missing_docstring_is_detected():
    assert list(undocumented(Name("boostlora.engine.cli.console", "nothing"))) == [
        "boostlora.engine.cli.console.nothing (not found)"
    ]
    assert defined("boostlora.engine.contracts", "Frame") == Name(
        "boostlora.engine.contracts.frames", "Frame"
    )
