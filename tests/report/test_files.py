"""Files of a report: sheets, figures, and how they are written."""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pandas as pd
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.report import FORMATS, sheets, write_report

from .analysis_samples import HOSTILE, SITUATIONS, sample

needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")


def read(content: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])


def test_results_have_a_line_a_cell_with_the_metrics_of_the_last_round() -> None:
    analysis = sample(failed=frozenset({1}))
    frame = read(sheets.csv(sheets.results(analysis)))
    assert list(frame["cell"]) == [view.state.cell.key for view in analysis.cells]
    assert frame["test.accuracy"][0] == analysis.cells[0].records[-1].test.accuracy
    assert frame["arm.basis.use"][14] == "rotate"
    assert frame["parameters"][0] == 256
    assert (frame["status"][1], frame["cause"][1]) == ("failed", "round 3: loss is not finite at fixed")
    assert pd.isna(frame["test.accuracy"][1])


def test_results_at_best_count_the_round_that_is_best_on_validation() -> None:
    analysis = sample()
    best = attrs.evolve(analysis, study=attrs.evolve(analysis.study, at="best"))
    frame = sheets.results(best)
    assert frame["test.accuracy"][0] == analysis.cells[0].records[15].test.accuracy
    assert list(frame["rounds"]) == [15] * 15


def test_rounds_have_a_line_a_round_of_unfinished_cells_too() -> None:
    frame = read(sheets.csv(sheets.rounds(sample(failed=frozenset({1})))))
    assert len(frame) == 14 * 17 + 4
    assert list(frame.columns[:6]) == ["cell", "arm", "block", "seed", "round", "status"]


@pytest.mark.parametrize("name", sorted(SITUATIONS))
@pytest.mark.parametrize("make", [sheets.results, sheets.rounds])
def test_parquet_and_csv_in_every_situation_hold_the_same(name: str, make: Any) -> None:
    pytest.importorskip("pyarrow")
    frame = make(sample(**SITUATIONS[name]))
    stored = pd.read_parquet(io.BytesIO(sheets.parquet(frame)))
    assert sheets.csv(stored) == sheets.csv(frame)


def test_sheet_round_trips_hostile_labels() -> None:
    frame = read(sheets.csv(sheets.results(sample(**SITUATIONS["hostile labels"]))))
    assert set(frame["arm"]) == set(HOSTILE)


def test_column_of_mixed_types_becomes_text() -> None:
    pytest.importorskip("pyarrow")
    analysis = sample(arms=("a", "b"))
    arms = tuple(
        attrs.evolve(arm, values={"x": value})
        for arm, value in zip(analysis.study.arms, (0.5, "all"), strict=True)
    )
    frame = sheets.results(attrs.evolve(analysis, study=attrs.evolve(analysis.study, arms=arms)))
    assert set(frame["arm.x"]) == {"0.5", "all"}
    sheets.parquet(frame)


@needs_matplotlib
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_figures_made_twice_are_the_same_bytes(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from boostlora.engine.report.figures import figures

    analysis = sample(rounds=4)
    first = figures(analysis, suffix)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert figures(analysis, suffix) == first
    assert set(first) == {"curves", "differences"}


@needs_matplotlib
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=()
            if name in {"all failed", "hostile labels", "tuned in blocks"}
            else pytest.mark.slow(
                reason="two figures each; three situations that differ most are drawn by default"
            ),
        )
        for name in sorted(SITUATIONS)
    ],
)
def test_figures_in_every_situation_are_made_without_a_warning(name: str) -> None:
    from boostlora.engine.report.figures import figures

    analysis = sample(**SITUATIONS[name])
    found = figures(analysis, "svg")
    assert ("differences" in found) == any(row.comparison for row in analysis.rows)
    assert b"<svg" in found["curves"]


@needs_matplotlib
def test_figures_restore_matplotlib_settings() -> None:
    import matplotlib as mpl

    from boostlora.engine.report.figures import figures

    before = dict(mpl.rcParams)
    figures(sample(rounds=2), "svg")
    assert dict(mpl.rcParams) == before


@needs_matplotlib
def test_report_in_all_formats_writes_every_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    found = write_report(sample(rounds=3), tmp_path / "new", FORMATS)
    assert set(found) == {
        "report.html", "report.md", "table.tex", "results.csv", "rounds.csv", "results.parquet", "rounds.parquet",
        *(f"{stem}.{suffix}" for stem in ("curves", "differences") for suffix in ("png", "svg", "pdf")),
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(found)
    assert "](curves.svg)" in found["report.md"].read_text(encoding="utf-8")


@pytest.mark.parametrize("formats", [["html", "md"], ["tex"], ["csv"]])
def test_report_written_twice_is_the_same(tmp_path: Path, formats: list[str]) -> None:
    first = {
        name: path.read_bytes() for name, path in write_report(sample(), tmp_path / "a", formats).items()
    }
    again = {
        name: path.read_bytes() for name, path in write_report(sample(), tmp_path / "b", formats).items()
    }
    assert first == again


def test_report_in_unknown_format_is_refused_with_the_allowed_ones(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match='unknown report format "docx"\n  allowed: html, md, tex, csv, parquet, png'
    ):
        write_report(sample(), tmp_path, ["html", "docx"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "suffix", "message"),
    [
        ("matplotlib", "png", r"figures need matplotlib: pip install 'boostlora\[figures\]'"),
        ("pyarrow", "parquet", r"parquet needs pyarrow: pip install 'boostlora\[parquet\]'"),
    ],
)
def test_report_without_its_library_says_how_to_install_it_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, suffix: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=message):
        write_report(sample(), tmp_path, ["html", suffix])
    assert list(tmp_path.iterdir()) == []
