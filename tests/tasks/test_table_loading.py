"""Loading a table: the file is read once, dates get one format, and texts are made column by column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import Splits
from boostlora.engine.errors import UsageError
from boostlora.plugins.tasks import _files
from boostlora.plugins.tasks._frames import filled_texts, read, text_of
from boostlora.plugins.tasks._table import columns
from boostlora.plugins.tasks._table.steps import MAX_CATEGORIES, CategoryStep
from boostlora.plugins.tasks.table import Table


def _rows(days: list[str], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = 40
    return pd.DataFrame(
        {"day": (days * n)[:n], "x": rng.normal(size=n), "y": np.where(np.arange(n) % 2, "a", "b")}
    )


def _load(folder: Path, rows: pd.DataFrame, source: pd.DataFrame | None = None) -> Splits:
    rows.to_csv(folder / "rows.csv", index=False)
    more = {}
    if source is not None:
        source.to_csv(folder / "source.csv", index=False)
        more = {"source": str(folder / "source.csv")}
    return Table(path=str(folder / "rows.csv"), label="y", **more).load(np.random.default_rng(0))


def _months(splits: Splits) -> set[float]:
    """The months of `day` in a column that `scale` leaves as it is."""
    encoder: Any = splits.preprocessing
    use = next(use for use in encoder.uses if use.name == "day")
    return set(encoder.values(use, pd.DataFrame({"day": ["03/04/2024"]}))[:, 1])


def _counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[str]:
    calls, own = list[str](), getattr(module, name)

    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(name)
        return own(*arguments, **options)

    monkeypatch.setattr(module, name, call)
    return calls


def test_text_file_is_opened_once_for_its_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _rows(["2024-01-31"]).to_csv(tmp_path / "rows.csv", index=False)
    calls = _counted(monkeypatch, _files, "opened")
    assert len(read(str(tmp_path / "rows.csv"))) == 40
    assert len(calls) == 1


def test_date_format_is_chosen_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _counted(monkeypatch, columns, "date_format")
    splits = _load(tmp_path, _rows(["31.01.2024", "01.02.2024"]))
    assert [column.kind for column in splits.preprocessing.columns] == ["date", "number"]
    assert len(calls) == 1


def test_date_format_is_that_of_all_rows_and_not_of_the_fitted_ones(tmp_path: Path) -> None:
    # All but one row also read as day first; wherever that row is, the month is first.
    rows = _rows(["01/02/2024", "03/04/2024", "05/06/2024"])
    rows.loc[rows["x"].idxmax(), "day"] = "01/31/2024"
    assert _months(_load(tmp_path, rows)) == {3.0}
    rows["day"] = rows["day"].replace("01/31/2024", "01/12/2024")
    assert _months(_load(tmp_path, rows)) == {4.0}


def test_source_and_table_share_the_date_format_that_reads_both(tmp_path: Path) -> None:
    rows, source = _rows(["01/02/2024", "03/04/2024"]), _rows(["01/31/2024", "02/28/2024"], seed=1)
    assert _months(_load(tmp_path, rows, source)) == {3.0}


def test_source_with_other_dates_is_refused(tmp_path: Path) -> None:
    rows, source = _rows(["01.02.2024", "31.12.2023"]), _rows(["2024-01-31", "2024-02-01"], seed=1)
    with pytest.raises(
        UsageError, match=r'source\.csv: column "day" is not written in a date format that also'
    ):
        _load(tmp_path, rows, source)


COLUMNS: dict[str, Callable[[], pd.Series]] = {
    "texts": lambda: pd.Series(["a", None, "", "1.0"], dtype=object),
    "texts with NaN": lambda: pd.Series(["a", np.nan, "b"], dtype=object),
    "string": lambda: pd.Series(["a", None, "b"], dtype="string"),
    "floats": lambda: pd.Series([1.0, np.nan, -0.0, 2.5, 1e300, 1.0]),
    "integers": lambda: pd.Series([3, 1, 3]),
    "nullable": lambda: pd.Series([3, None, 1], dtype="Int64"),
    "truths": lambda: pd.Series([True, False, True]),
    "mixed": lambda: pd.Series([1, True, 1.0, "1", None, 2.5], dtype=object),
    "nothing": lambda: pd.Series([None, None], dtype=object),
    "no row": lambda: pd.Series([], dtype=object),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("gap", ["", None])
def test_texts_of_a_column_are_those_of_its_cells(name: str, gap: str | None) -> None:
    column = COLUMNS[name]().rename(index=lambda i: i + 5)
    before = column.copy()
    found = filled_texts(column, gap)
    expected = [
        gap if missing else text_of(v) for v, missing in zip(column.tolist(), column.isna(), strict=True)
    ]
    assert found.tolist() == expected
    assert [type(v) for v in found] == [type(v) for v in expected]
    assert found.index.equals(column.index)
    pd.testing.assert_series_equal(column, before)


def test_of_equally_frequent_categories_those_that_sort_first_are_kept() -> None:
    values = [f"v{i:02}" for i in range(MAX_CATEGORIES + 5)][::-1]
    step = CategoryStep.fit([*values, "z", "z"])
    assert step.rare
    assert step.values == (*sorted(values)[: MAX_CATEGORIES - 2], "z")
