"""Reports contain no home folders or credentials, and their sheets no formulas."""

import io
from pathlib import Path

import attrs
import pandas as pd
import pytest

from boostlora.engine.foundation import redaction
from boostlora.engine.report import sheets, write_report

from .analysis_samples import sample

SECRET = "hunter2x99"  # noqa: S105 - nobody's


@pytest.mark.parametrize("form", ["html", "md", "csv", "tex"])
def test_report_in_any_format_has_no_home_folders_or_credentials(
    tmp_path: Path, monkeypatch, form: str
) -> None:
    monkeypatch.setattr(redaction, "_me", lambda: ("/home/jane doe", "jane"))
    analysis = sample(failed=frozenset({1}))
    said = f"see /home/jane doe/x, /home/bob/y and http://a:{SECRET}@h"
    study = attrs.evolve(
        analysis.study, description=said, notes=(said,), plugin_files=("/home/jane doe/p.py",),
        provenance={**analysis.study.provenance, "command": ["boostlora", said]},
    )  # fmt: skip
    view = analysis.cells[1]
    view = attrs.evolve(
        view, state=attrs.evolve(view.state, cause=said), provenance={"command": [said], "token": SECRET}
    )
    analysis = attrs.evolve(analysis, study=study, cells=(analysis.cells[0], view, *analysis.cells[2:]))
    for path in write_report(analysis, tmp_path, [form]).values():
        text = path.read_text()
        assert "jane" not in text
        assert "bob" not in text
        assert SECRET not in text


@pytest.mark.parametrize(
    "first", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
)
def test_sheet_text_like_a_formula_is_prefixed_with_an_apostrophe(first: str) -> None:
    text = f"{first}cmd|' /C calc'!A0"
    frame = pd.DataFrame({"cause": [text, "plain"], text: ["x", None], "n": [-1.5, 2.0]})
    read = pd.read_csv(io.StringIO(sheets.csv(frame).decode(), newline=""))
    inert = "'" + text.replace("\r", "\n")
    assert list(read.columns) == ["cause", inert, "n"]
    assert list(read["cause"]) == [inert, "plain"]


def test_sheet_numbers_stay_numbers() -> None:
    frame = pd.DataFrame(
        {"a": [-1.5, 2.0], "b": pd.array([-1, None], dtype="Int64"), "c": ["-0.5", "+1e3"], "d": ["-", "-x"]}
    )
    assert sheets.csv(frame).decode() == "a,b,c,d\n-1.5,-1,-0.5,'-\n2.0,,+1e3,'-x\n"


def test_sheet_escapes_the_cause_of_a_failed_cell(tmp_path: Path) -> None:
    analysis = sample(failed=frozenset({1}))
    view = attrs.evolve(analysis.cells[1], state=attrs.evolve(analysis.cells[1].state, cause="=1+1"))
    analysis = attrs.evolve(analysis, cells=(analysis.cells[0], view, *analysis.cells[2:]))
    written = write_report(analysis, tmp_path, ["csv"])["results.csv"].read_text()
    assert ",'=1+1," in written
