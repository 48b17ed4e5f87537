"""What advice says of the shipped studies stands in their tables."""

import re
from collections.abc import Mapping

import pytest

from boostlora.engine.advisor import studies

from ..support.places import ROOT

DOCS = ROOT / "docs" / "boosting.md"
DECIMAL = re.compile(r"\d+\.\d+")


def told():
    """Every sentence, by its name."""
    found = dict[str, str]()
    for name, value in vars(studies).items():
        if name.isupper() and isinstance(value, str):
            found[name] = value
        elif name.isupper() and isinstance(value, Mapping):
            found |= {f"{name}[{key}]": sentence for key, sentence in value.items()}
    return found


@pytest.fixture(scope="module")
def tabled():
    """Numbers of the documentation's tables."""
    blocks = re.findall(r"```text\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return [float(number) for block in blocks for number in DECIMAL.findall(block)]


@pytest.mark.parametrize("name", told())
def test_decimals_in_advice_are_in_a_documented_table(name, tabled):
    for number in DECIMAL.findall(told()[name]):
        digits = len(number.partition(".")[2])
        assert any(f"{figure:.{digits}f}" == number for figure in tabled), f"{number} is in no table"


def test_advice_has_sentences_with_decimals():
    assert len([name for name, sentence in told().items() if DECIMAL.search(sentence)]) >= 2
