"""The tree speaks the field's words: retired names, keys and phrases do not come back, and files stay in measure."""

import io
import re
import tokenize

import pytest

from ..support.places import ROOT

CODE = sorted(path for room in ("engine", "backends", "plugins") for path in (ROOT / room).rglob("*.py"))
EARLIER_FORMAT = ROOT / "engine" / "records" / "prefix.py"
"""Recognises runs by their retired keys, to refuse them."""
PROSE = sorted(
    [
        *(path for name in ("README", "CONTRIBUTING", "SECURITY") for path in ROOT.glob(f"{name}.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "plugins").glob("*.md"),
        *(ROOT / "specs").rglob("*.toml"),
        *(path for path in CODE if path != EARLIER_FORMAT),
    ]
)
NAMES = frozenset(
    [
        "Alone",
        "Asking",
        "CrewError",
        "Endless",
        "Ended",
        "Evidence",
        "Framer",
        "InformedBasis",
        "Look",
        "Origin",
        "Played",
        "Player",
        "Private",
        "Question",
        "RoundEvidence",
        "Silence",
        "SketchedEvidence",
        "Speaker",
        "Team",
        "Told",
        "Tried",
        "WitnessedTask",
        "Workplace",
        "Written",
        "crew",
        "first_step",
        "forgotten",
        "lasting",
        "playing",
        "speaker",
        "workplace",
    ]
)
"""Names that the vocabulary has replaced, as whole words of Python."""
GERUNDS = frozenset({"protein_binding", "language_modelling", "training"})
"""Modules whose name is a noun that ends in -ing."""
PHRASES = {
    "a basis is calibrated": r"\b(un)?hear(s|d|ing)?\b",
    "data-driven basis": r"\binformed bas[ei]s",
    "processes, process index": r"\bcrews?\b",
    "RunContext": r"\bworkplace\b",
    "zero-variance groups": r"\bsilent groups?\b",
    "adapter.u": r"adapter\.directions|^directions = \d",
    "gained and lost": r"\bforgotten\b",
    "cannot resume": r"\bcannot go on\b",
    "diverged": r"\bwent another way\b",
    "stored parameters": r"\bnumbers to (be kept|keep)\b",
    "decides": r"\b(has|have|had|no) (a )?say\b",
    "an order of the field": r"\bsays? else\b",
}
"""What a reader should find instead, and the words that are not used for it."""
MOST_LINES = 400


def names_of(path):
    """Every name in a file's code; strings and comments are prose."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def shown(path):
    return str(path.relative_to(ROOT))


def test_code_uses_no_retired_name():
    found = {shown(path): sorted(used) for path in CODE if (used := NAMES & names_of(path))}
    assert found == {}


@pytest.mark.parametrize(("instead", "pattern"), PHRASES.items(), ids=PHRASES.keys())
def test_prose_and_keys_use_no_retired_word(instead, pattern):
    retired = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    found = [
        f"{shown(path)}:{number}: {line.strip()}"
        for path in PROSE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if retired.search(line)
    ]
    assert found == [], f"say instead: {instead}"


def test_modules_are_named_by_nouns_and_verbs():
    found = [shown(path) for path in CODE if path.stem.endswith("ing") and path.stem not in GERUNDS]
    assert found == []


def test_files_have_at_most_400_lines():
    lines = {shown(path): len(path.read_text().splitlines()) for path in CODE}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}
