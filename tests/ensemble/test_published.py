"""Exports contain no credentials and no home folders, even if the run recorded them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import attrs
import pytest

from boostlora.engine.api import save
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.export import boost_parser
from boostlora.engine.export.boost_writer import _shortened
from boostlora.engine.export.card.card import write_card
from boostlora.engine.export.card.redaction import PathRedactor
from boostlora.engine.foundation import redaction
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.foundation.sealed import SEAL, write_sealed

from ..support.boost_runs import ToyRun
from .card_runs import card_of

SECRET = "hunter2x99"  # noqa: S105 - nobody's
TOLD = [
    f"https://jane:{SECRET}@h/?token={SECRET}",
    f"password={SECRET}",
    f"hf_{SECRET}",
    "/home/jane/x",
    "/Users/jane",
]


@pytest.fixture
def run(toy: ToyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ensemble:
    """A run whose provenance and spec tell what they should not."""
    monkeypatch.setattr(redaction, "_me", lambda: ("/home/jane", "jane"))
    folder = tmp_path / "run"
    shutil.copytree(toy.path, folder)
    path = folder / "provenance.json"
    content = {key: value for key, value in json.loads(path.read_text()).items() if key != SEAL}
    content |= {
        "command": ["boostlora", *TOLD],
        "git": " ".join(TOLD),
        "api_key": SECRET,
        "more": {"list": TOLD},
    }
    write_sealed(path, content)
    for name in ("spec.toml", ".spec.lock.toml"):
        text = (folder / name).read_text().splitlines()
        described = f"description = {json.dumps(' '.join(TOLD[3:]))}"
        text = [described if line.startswith("description") else line for line in text]
        (folder / name).write_text("\n".join(text) + "\n")
    return Ensemble.open(folder, plugins=toy.plugins, context=RunContext(cache=tmp_path / "cache"))


def test_card_has_no_credentials_or_home_folders(run: Ensemble, tmp_path: Path) -> None:
    card = card_of(
        run,
        tmp_path / "export",
        usage=f"load('https://jane:{SECRET}@h')\nos.environ['HF_TOKEN'] = '{SECRET}'\n",
    )
    assert "Commit of its working directory" in card
    assert SECRET not in card
    assert "jane" not in card


def test_card_redacts_credentials_in_exporter_text(run: Ensemble, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    for options in (
        {"to": f"x password={SECRET}"},
        {"to": "x", "options": {"address": f"http://a:{SECRET}@h"}},
    ):
        whole = {"place": "place", "usage": "", "compared": None, **options}
        write_card(run, run.choose(None), file, **whole)
        assert "REDACTED" in file.read_text()
        assert SECRET not in file.read_text()


def test_boost_file_has_no_credentials_or_home_folders(run: Ensemble, tmp_path: Path) -> None:
    path = tmp_path / "x.boost.safetensors"
    save(run, path)
    content = json.dumps(boost_parser.read(path).content())
    assert "hardware" in content
    assert SECRET not in content
    assert "jane" not in content


def test_boost_file_redacts_the_reasons_of_refused_rounds(run: Ensemble) -> None:
    record = attrs.evolve(run.records[1], reason=" ".join(TOLD))
    reason = _shortened(record, PathRedactor.of(run)).reason
    assert SECRET not in reason
    assert "jane" not in reason


def test_redacted_text_has_no_credentials_or_home_folders() -> None:
    redactor = PathRedactor(known=(), home="")
    assert redactor.text("/home/jane and /home/jane/x.csv") == "~ and x.csv"
    assert redactor.text(f"http://a:{SECRET}@h/x") == "http://REDACTED@h/x"
    assert redactor.tree({"password": "three words", "x": [f"token={SECRET}"]}) == {
        "password": "REDACTED",
        "x": ["token=REDACTED"],
    }
