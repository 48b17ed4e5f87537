"""The export of a perceptron on a table: `score.py` predicts raw rows as `boostlora predict` does."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.errors import RunError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.plugins.exporters.safetensors import Safetensors
from boostlora.plugins.tasks import _numbers
from boostlora.plugins.tasks._table import new_rows, portable, score

from ..support.export_runs import boosted
from ..support.shared import Shared

AGE, NOTE = 'age "in\nyears"', "nôte's `ünïcode` 店"
SPEC = """
name = "patients"
rounds = 2
[task]
use = "table"
path = "rows.csv"
label = "{label}"
drop = ["{other}"]
categories = ["ward"]
[model]
use = "mlp"
hidden = [8, 8]
activation = "{activation}"
epochs = 5
[adapter]
rank = 2
u = 4
[basis]
exhausted = "wrap"
[backend]
use = "reference"
threads = 1
"""


def _frame(n: int = 120) -> pd.DataFrame:
    """Columns of every kind under names that need quotes; some have gaps."""
    rng = np.random.default_rng(0)
    words = ["pain in the chest", "no pain at all", "head hurts since monday", "coughs a lot at night"]
    age = rng.integers(18, 90, n).astype(float)
    frame = pd.DataFrame(
        {
            "name": [f"p{i:03}" for i in range(n)],
            AGE: np.where(np.arange(n) == 7, np.nan, age),
            "share": [f"{v:.1f} %" for v in rng.uniform(0, 60, n)],
            "price": [f"${v:,.2f}" for v in rng.uniform(1, 9000, n)],
            "label": rng.choice(["Rome", "Oslo", "Bonn, north", "<none>"], n),
            "street": [f"street {i}" for i in rng.integers(0, 60, n)],
            "ward": [None if i == 3 else int(w) for i, w in enumerate(rng.choice([1, 2, 7], n))],
            "smokes": [None if i == 9 else w for i, w in enumerate(rng.choice(["yes", "no"], n))],
            "insured": rng.choice([True, False], n),
            "seen": pd.Series(pd.date_range("2024-01-01", periods=n)).dt.strftime("%d.%m.%Y"),
            "entered": pd.Series(pd.date_range("2023-01-01", periods=n, freq="31h")).dt.strftime(
                "%Y-%m-%d %H:%M"
            ),
            NOTE: [f"{rng.choice(words)} {i}" for i in range(n)],
        }
    )
    points = age + 20 * (frame["label"] == "Rome") + rng.normal(0, 5, n)
    return frame.assign(ill=np.where(points > 60, "=yes", "no"), cost=(3.0 * points).round(2))


@attrs.frozen
class Case:
    """A finished run on the table, and the model that its export's program reads."""

    ensemble: Ensemble
    folder: Path
    model: Any

    def compare(self, path: Path) -> pd.DataFrame:
        """The program's predictions for a file, once they are those of the run."""
        found = self.model.predict(path)
        chunks = list(self.ensemble.predict_rows(path))
        values = np.concatenate([chunk.predictions for chunk in chunks])
        if chunks[0].probabilities is None:
            np.testing.assert_allclose(found["prediction"], values, rtol=2e-6)
            return found
        expected = np.concatenate([chunk.probabilities for chunk in chunks])
        assert list(found.columns) == ["prediction", *(f"p_{name}" for name in self.ensemble.classes)]
        assert found["prediction"].tolist() == values.tolist()
        np.testing.assert_allclose(found.iloc[:, 1:].to_numpy(), expected, rtol=2e-6, atol=2e-7)
        return found


def _made(folder: Path, cache: Path, label: str) -> None:
    _frame().to_csv(folder / "rows.csv", index=False)
    other, activation = ("cost", "relu") if label == "ill" else ("ill", "tanh")
    more = "" if label == "ill" else '[objective]\nuse = "mse"\n'
    boosted(folder, SPEC.format(label=label, other=other, activation=activation) + more, cache)
    ensemble = Ensemble.open(folder / "run", context=RunContext(cache=cache))
    (folder / "export").mkdir()
    Safetensors().write(ensemble.exportable("best"), folder / "export")


def load_program(folder: Path) -> Any:
    """The `score.py` of an export as a module."""
    spec = importlib.util.spec_from_file_location("exported_score", folder / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", params=["ill", "cost"], ids=["classes", "values"])
def case(request: pytest.FixtureRequest, shared: Shared, shared_cache: Path) -> Case:
    make = functools.partial(_made, cache=shared_cache, label=request.param)
    folder = shared.made(f"score-{request.param}", make)
    ensemble = Ensemble.open(folder / "run", context=RunContext(cache=shared_cache))
    return Case(ensemble, folder / "export", load_program(folder / "export").Model(folder / "export"))


def new_table(path: Path, changed: dict[str, list[str]], **options: Any) -> Path:
    """Eight rows as a file, with other cells in some columns."""
    frame = _frame().head(8).astype(object).drop(columns=["ill", "cost"])
    frame = frame.where(frame.notna(), "")
    for name, cells in changed.items():
        frame[name] = (cells * 8)[:8]
    frame.to_csv(path, index=False, **options)
    return path


KINDS = {
    AGE: ["12", "", "1e2", "NA", "-3.5", " 40 ", "1,234"],
    "share": ["12 %", "12", "0.5%", "", "100%"],
    "price": ["$7", "1,234.5", "$1,234,567.89", "N/A", "€3"],
    "label": ["Rome", "nowhere", "", " Rome", "Bonn, north", "NA"],
    "street": ["street 1", "street 59", "nowhere", ""],
    "ward": ["1", "1.0", "2", "99", "", "NA", "x"],
    "smokes": ["yes", "NO", "", " t ", "0", "N/A"],
    "insured": ["True", "false", "", "1", "n"],
    "seen": ["31.12.2024", "01.02.1999", "", "29.02.2024"],
    "entered": ["2024-05-06 07:08", "", "1969-12-31 23:59", "2024-05-06 00:00 UTC"],
    NOTE: ["pain", "", "Straße  und\tжить", "a", "no   pain AT all 7", "  ", "店 員"],
}


@pytest.mark.parametrize("name", list(KINDS))
def test_every_kind_of_column_is_read_as_predict_reads_it(case: Case, name: str, tmp_path: Path) -> None:
    known = case.compare(new_table(tmp_path / "old.csv", {}))
    found = case.compare(new_table(tmp_path / "new.csv", {name: KINDS[name]}))
    assert np.abs(found.iloc[:, -1] - known.iloc[:, -1]).max() > 1e-4, f"{name} changes nothing"


def test_training_rows_are_scored_as_predict_scores_them(case: Case) -> None:
    case.compare(case.folder.parent / "rows.csv")


@pytest.mark.parametrize(
    "options",
    [{"sep": ";"}, {"sep": "\t"}, {"encoding": "utf-16"}, {"encoding": "utf-8-sig"}, {"quoting": 1}],
    ids=["semicolons", "tabs", "utf-16", "byte order mark", "quotes"],
)
def test_files_in_other_dialects_are_read_as_predict_reads_them(
    case: Case, options: dict[str, Any], tmp_path: Path
) -> None:
    case.compare(new_table(tmp_path / "new.csv", {}, **options))


def test_decimal_commas_are_found_as_predict_finds_them(case: Case, tmp_path: Path) -> None:
    commas = {AGE: ["12,5", "1.234,5"], "share": ["1,5 %"], "price": ["$1.234,50"], "ward": ["1"]}
    found = case.compare(new_table(tmp_path / "new.csv", commas, sep=";"))
    points = {AGE: ["12.5", "1,234.5"], "share": ["1.5 %"], "price": ["$1,234.50"], "ward": ["1"]}
    expected = case.compare(new_table(tmp_path / "points.csv", points, sep=";"))
    pd.testing.assert_frame_equal(found, expected)


def test_dicts_lists_and_data_frames_are_scored_as_files(case: Case, tmp_path: Path) -> None:
    path = new_table(tmp_path / "new.csv", {})
    texts = pd.read_csv(path, dtype=str, na_filter=False)
    expected = case.model.predict(path)
    for rows in (texts, texts.to_dict("records"), pd.read_csv(path)):
        pd.testing.assert_frame_equal(case.model.predict(rows), expected)
    one = case.model.predict(texts.to_dict("records")[3])
    pd.testing.assert_frame_equal(one, expected.iloc[3:4].reset_index(drop=True))


def test_typed_rows_are_scored_as_predict_scores_them(case: Case, tmp_path: Path) -> None:
    rows: Any = pd.read_csv(new_table(tmp_path / "new.csv", {}))
    rows.to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    chunk = next(iter(case.ensemble.predict_rows(tmp_path / "new.jsonl")))
    found = case.model.predict(rows)["prediction"]
    if chunk.probabilities is None:
        np.testing.assert_allclose(found, chunk.predictions, rtol=2e-6)
    else:
        assert found.tolist() == chunk.predictions.tolist()


@pytest.mark.parametrize(
    ("name", "cell", "what"),
    [
        (AGE, "old", "no number"),
        (AGE, "1e200", "too large"),
        (AGE, "1_000", "no number"),
        ("smokes", "perhaps", "neither true nor false"),
        ("seen", "2024-12-31", "no date"),
    ],
)
def test_unreadable_cell_is_refused_with_its_column_and_row(
    case: Case, name: str, cell: str, what: str, tmp_path: Path
) -> None:
    path = new_table(tmp_path / "new.csv", {name: ["", "", "", cell]})
    with pytest.raises(ValueError, match=what) as error:
        case.model.predict(path)
    assert f'column "{name}" is "{cell}" in row 4' in str(error.value)


def test_missing_column_is_named(case: Case, tmp_path: Path) -> None:
    rows = pd.read_csv(new_table(tmp_path / "new.csv", {})).drop(columns="label")
    with pytest.raises(ValueError, match='no column "label"; there are: name, age'):
        case.model.predict(rows)


def test_example_row_has_every_column_and_can_be_scored(case: Case) -> None:
    assert set(case.model.example) == set(_frame().columns) - {"name", "ill", "cost"}
    assert len(case.model.predict(case.model.example)) == 1


def test_export_holds_plain_files_only(case: Case) -> None:
    names = {path.name for path in case.folder.iterdir() if path.is_file()}
    assert names == {"model.safetensors", "preprocessing.json", "preprocessing.safetensors", "score.py"}
    settings = json.loads((case.folder / "preprocessing.json").read_text(encoding="utf-8"))
    assert [column["name"] for column in settings["columns"]][:2] == ["name", AGE]


def test_altered_preprocessing_is_detected(case: Case, tmp_path: Path) -> None:
    ensemble, folder = case.ensemble.exportable("best"), tmp_path / "export"
    folder.mkdir()
    Safetensors().write(ensemble, folder)
    file = folder / "preprocessing.json"
    file.write_text(file.read_text(encoding="utf-8").replace("Rome", "Roma"), encoding="utf-8")
    with pytest.raises(RunError, match=r"preprocessing\.json: not as it was written"):
        Safetensors().reload(ensemble, folder)


# -- The arithmetic of the program

TEXTS = st.lists(st.text(st.sampled_from("ab cdÄß店\t\n\u00a0\u2009İ1.") | st.characters(), max_size=14))


@given(fitted=TEXTS, others=TEXTS)
def test_tf_idf_is_that_of_scikit_learn(fitted: list[str], others: list[str]) -> None:
    fitted = [*fitted, "some words"]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), max_features=40).fit(fitted)
    words = {word: i for i, word in enumerate(vectorizer.get_feature_names_out())}
    texts = [*others, *fitted]
    found = score.tf_idf(texts, words, vectorizer.idf_)
    np.testing.assert_allclose(found, vectorizer.transform(texts).toarray(), rtol=0, atol=1e-12)


CELLS = st.from_regex(r"[-+$€% ]{0,2}[0-9]{1,3}([.,'][0-9]{1,3}){0,3}( ?[%$€])?", fullmatch=True) | st.text()


@given(cell=CELLS, sign=st.sampled_from(".,"), separator=st.sampled_from(",;"))
def test_numbers_are_read_as_the_task_reads_them(cell: str, sign: str, separator: str) -> None:
    np.testing.assert_equal(score._number(cell, sign), _numbers.number_of(cell, sign))
    assert score._is_decimal_comma(cell, separator) == _numbers.is_decimal_comma(cell, separator)
    assert score._number_text(cell, sign) == new_rows._number_text(cell, sign)


def test_words_for_gaps_and_truths_are_those_of_the_task() -> None:
    assert score.MISSING == new_rows.MISSING
    assert (score.TRUE, score.FALSE) == (new_rows.TRUE, new_rows.FALSE)
    assert score.LARGEST == new_rows.LARGEST


def test_program_imports_nothing_of_this_package() -> None:
    assert "boostlora" not in portable.PROGRAM.read_text(encoding="utf-8")
