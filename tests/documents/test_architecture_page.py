"""The page on architecture says what `make imports` enforces, and its picture is drawn from the same contract."""

import importlib.util
import re

import pytest

from ..support.places import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def picture():
    """The script that draws."""
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(title):
    """Rows of the table under a heading, cell by cell."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_layers_of_the_page_are_those_of_the_import_contract(picture):
    floors = [re.findall(r"`(\w+)`", cells[0]) for cells in rows("Floors")]
    assert floors == [layer.split(" | ") for layer in picture.layers()]


def test_page_names_the_layers_that_plugins_may_import(picture):
    floors = [layer.split(" | ") for layer in picture.layers()]
    place = floors.index(["sdk"])
    assert "import the floors from `sdk` downwards, and `records`" in PAGE
    assert picture.open_floors() == {name for floor in floors[place:] for name in floor} | {"records"}


def test_picture_is_as_its_script_draws_it(picture):
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.svg(), "run: python docs/architecture.py"


def test_every_path_of_the_page_exists():
    named = [
        path for cells in rows("Where to put what") for path in re.findall(r"`([\w./]+/[\w./]*)`", cells[1])
    ]
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
