"""`boostlora predict`: what it writes for new rows, in which files, and what it refuses."""

from __future__ import annotations

import csv
import functools
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.foundation.run_context import RunContext
from boostlora.plugins.tasks._chunks import chunks
from boostlora.plugins.tasks._table import new_rows
from boostlora.plugins.tasks._text import labelled

from ..support.export_runs import boosted
from ..support.shared import Shared

Command = Callable[..., Any]
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


def _frame() -> pd.DataFrame:
    """Columns of every kind, two of them with gaps; `ward` is a category written as a number."""
    rng, n = np.random.default_rng(0), 90
    age = rng.integers(18, 90, n).astype(float)
    age[7] = np.nan
    words = ["pain in the chest", "no pain at all", "head hurts since monday", "coughs a lot at night"]
    days = pd.Series(pd.date_range("2024-01-01", periods=n))
    frame = pd.DataFrame(
        {
            "name": [f"p{i:02}" for i in range(n)],
            "age": age,
            "weight": rng.normal(70.0, 9.0, n).round(2),
            "town": rng.choice(["Rome", "Oslo", "Bonn"], n),
            "ward": [None if i == 3 else int(w) for i, w in enumerate(rng.choice([1, 2, 7], n))],
            "smokes": rng.choice(["yes", "no"], n),
            "seen": days.dt.strftime("%d.%m.%Y"),
            "note": [f"{rng.choice(words)} {i}" for i in range(n)],
        }
    )
    noise = rng.normal(0.0, 5.0, n)
    score = frame["weight"] + 8.0 * (frame["town"] == "Rome") + noise
    return frame.assign(ill=np.where(score > 72.0, "yes", "no"), cost=(3.0 * score).round(2))


@attrs.frozen
class Case:
    """A finished run, the folder that its table is in, and the table."""

    folder: Path
    cache: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def rows(self) -> Path:
        return self.folder / "rows.csv"

    def ensemble(self) -> Ensemble:
        return Ensemble.open(self.run, context=RunContext(cache=self.cache))


def _made(folder: Path, cache: Path, label: str, other: str, more: str = "") -> None:
    _frame().to_csv(folder / "rows.csv", index=False)
    boosted(folder, SPEC.format(label=label, other=other) + more, cache)


@pytest.fixture(scope="session")
def classes(shared: Shared, shared_cache: Path) -> Case:
    make = functools.partial(_made, cache=shared_cache, label="ill", other="cost")
    return Case(shared.made("predict-classes", make), shared_cache)


@pytest.fixture(scope="session")
def values(shared: Shared, shared_cache: Path) -> Case:
    more = '[objective]\nuse = "mse"\n'
    make = functools.partial(_made, cache=shared_cache, label="cost", other="ill", more=more)
    return Case(shared.made("predict-values", make), shared_cache)


@pytest.fixture
def new(tmp_path: Path) -> pd.DataFrame:
    """The training table as texts, without labels, and as `new.csv`."""
    frame = pd.read_csv(io.StringIO(_frame().to_csv(index=False)), dtype=str, na_filter=False)
    frame = frame.drop(columns=["ill", "cost"])
    frame.to_csv(tmp_path / "new.csv", index=False)
    return frame


def _answers(done: Any) -> list[dict[str, str]]:
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_rows_are_encoded_as_the_task_encoded_them_for_training(classes: Case) -> None:
    splits = classes.ensemble().origin.experiment.splits
    found = np.concatenate(
        [rows.examples.inputs for rows in classes.ensemble().spec.task.new_rows(str(classes.rows), splits)]
    )
    trained = np.concatenate([getattr(splits, part).inputs for part in ("train", "validation", "test")])
    assert np.unique(found.round(9), axis=0).shape == np.unique(trained.round(9), axis=0).shape == found.shape
    np.testing.assert_allclose(
        np.unique(found.round(9), axis=0), np.unique(trained.round(9), axis=0), rtol=0, atol=1e-8
    )  # another parser of decimals: an ulp


def test_predictions_are_the_ensembles_in_the_order_of_the_file(
    classes: Case, new: pd.DataFrame, boostlora: Command
) -> None:
    done = boostlora("predict", classes.run, "new.csv")
    ensemble = classes.ensemble()
    assert done.stderr == f"rounds {ensemble.choose('best').describe()} (best on validation)\n"
    rows = _answers(done)
    assert list(rows[0]) == ["row", "prediction", "p_no", "p_yes"]
    assert [row["row"] for row in rows] == [str(i + 1) for i in range(len(new))]
    inputs = next(ensemble.spec.task.new_rows(str(classes.rows), ensemble.origin.experiment.splits)).examples
    logits = ensemble.logits(inputs, "best")
    expected = 1.0 / (1.0 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose([float(row["p_yes"]) for row in rows], expected, rtol=1e-8)
    assert [row["prediction"] for row in rows] == ["yes" if p > 0.5 else "no" for p in expected]
    assert len({row["prediction"] for row in rows}) == 2


def test_known_labels_are_ignored_and_counted_at_the_end(
    classes: Case, new: pd.DataFrame, boostlora: Command, tmp_path: Path
) -> None:
    labels = _frame()["ill"].tolist()
    new.assign(ill=["", "perhaps", *labels[2:]]).to_csv(tmp_path / "some.csv", index=False)
    blind, seen = boostlora("predict", classes.run, "new.csv"), boostlora("predict", classes.run, "some.csv")
    assert seen.stdout == blind.stdout
    right = [row["prediction"] == label for row, label in zip(_answers(blind), labels, strict=True)][2:]
    assert seen.stderr.splitlines()[1] == (
        f"accuracy {100 * np.mean(right):.1f} % on 88 rows with a known label; 2 rows have none"
    )


def test_accuracy_on_the_training_table_is_that_of_its_splits(classes: Case, boostlora: Command) -> None:
    found = boostlora("predict", classes.run, classes.rows, "--rounds", "1").stderr.splitlines()
    ensemble = classes.ensemble()
    metrics = [ensemble.evaluate(split, 1) for split in ("train", "validation", "test")]
    mean = sum(m.accuracy * m.count for m in metrics) / sum(m.count for m in metrics)
    assert found == ["rounds 1..1", f"accuracy {100 * mean:.1f} % on 90 rows with a known label"]


def test_values_are_in_the_units_of_the_target(values: Case, boostlora: Command) -> None:
    done = boostlora("predict", values.run, values.rows, "--rounds", "2")
    rows = _answers(done)
    assert list(rows[0]) == ["row", "prediction"]
    errors = np.array([float(row["prediction"]) for row in rows]) - _frame()["cost"].to_numpy()
    assert done.stderr.splitlines()[1] == (
        f"RMSE {np.sqrt(np.mean(errors**2)):.4g} on 90 rows with a known label"
    )
    ensemble = values.ensemble()
    parts = [ensemble.evaluate(split, 2) for split in ("train", "validation", "test")]
    mean = sum(m.measures["rmse"] ** 2 * m.count for m in parts) / sum(m.count for m in parts)
    np.testing.assert_allclose(np.mean(errors**2), mean, rtol=1e-6)  # float32 weights


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet", "xlsx", "csv.gz", "semicolons"])
def test_every_kind_of_file_gives_the_same_predictions(
    kind: str, classes: Case, new: pd.DataFrame, boostlora: Command, tmp_path: Path
) -> None:
    frame, file = _frame().drop(columns=["ill", "cost"]), tmp_path / f"other.{kind}"
    match kind:
        case "parquet":
            frame.to_parquet(file)
        case "xlsx":
            frame.to_excel(file, index=False)
        case "jsonl":
            frame.to_json(file, orient="records", lines=True)
        case "semicolons":
            file = tmp_path / "other.csv"
            frame.to_csv(file, index=False, sep=";", decimal=",")
        case _:
            frame.to_csv(file, index=False, sep="\t" if kind == "tsv" else ",")
    assert (
        boostlora("predict", classes.run, file).stdout == boostlora("predict", classes.run, "new.csv").stdout
    )


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "xlsx"])
def test_a_file_is_read_in_chunks_that_make_it_up(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"rows.{kind}"
    frame = pd.DataFrame({"a": range(10), "b": [f"x{i}" for i in range(10)]})
    {
        "csv": lambda: frame.to_csv(file, index=False),
        "jsonl": lambda: frame.to_json(file, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(file),
        "xlsx": lambda: frame.to_excel(file, index=False),
    }[kind]()
    parts = list(chunks(str(file), size=4))
    assert [len(part) for part in parts] == [4, 4, 2]
    whole = pd.concat(parts)
    assert whole.index.tolist() == list(range(10))
    assert whole["a"].astype(int).tolist() == list(range(10))
    assert whole["b"].tolist() == frame["b"].tolist()


def test_chunks_do_not_change_what_is_written(
    classes: Case, new: pd.DataFrame, boostlora: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = boostlora("predict", classes.run, "new.csv")
    monkeypatch.setattr(new_rows, "chunks", functools.partial(chunks, size=7))
    parts = boostlora("predict", classes.run, "new.csv")
    assert parts.stdout.count("prediction") == 1
    found, expected = _answers(parts), _answers(whole)
    assert [row["row"] for row in found] == [row["row"] for row in expected]
    # BLAS sums rows of other batches in another order.
    np.testing.assert_allclose(
        [float(row["p_yes"]) for row in found], [float(row["p_yes"]) for row in expected], rtol=1e-7
    )


def test_output_goes_to_a_file_with_ids_and_as_json(
    classes: Case, new: pd.DataFrame, boostlora: Command, tmp_path: Path
) -> None:
    done = boostlora("predict", classes.run, "new.csv", "--id", "name", "--json", "--out", "found.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == new["name"].tolist()
    assert set(rows[0]) == {"name", "prediction", "p_no", "p_yes"}
    assert all(row["p_no"] + row["p_yes"] == pytest.approx(1.0) for row in rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.jsonl", "new.csv"]


def test_unknown_categories_and_missing_cells_are_predicted(
    classes: Case, new: pd.DataFrame, boostlora: Command, tmp_path: Path
) -> None:
    odd = new.head(3).assign(town="Lima", ward="99", age="NA", weight="", smokes="", seen="", note="")
    odd.to_csv(tmp_path / "odd.csv", index=False)
    rows = _answers(boostlora("predict", classes.run, "odd.csv"))
    assert len(rows) == 3
    assert len({row["p_yes"] for row in rows}) == 1


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("age", "old", 'column "age" is "old" in row 2, no number'),
        ("age", "inf", 'column "age" is "inf" in row 2, too large to compute with'),
        ("smokes", "often", 'column "smokes" is "often" in row 2, neither true nor false'),
        ("seen", "yesterday", 'column "seen" is "yesterday" in row 2, no date as in the training rows'),
    ],
)
def test_cells_of_another_type_are_refused_with_column_and_row(
    column: str, cell: str, message: str, request: pytest.FixtureRequest, boostlora: Command
) -> None:
    classes, new, tmp_path = (request.getfixturevalue(name) for name in ("classes", "new", "tmp_path"))
    new.loc[1, column] = cell
    new.to_csv(tmp_path / "wrong.csv", index=False)
    done = boostlora("predict", classes.run, "wrong.csv", "--out", "found.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"error: wrong.csv: {message}"
    assert not (tmp_path / "found.csv").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "a.csv: not a readable table: it has no row"),
        ("a.csv", "name,age\n", "a.csv: not a readable table: it has no row"),
        ("a.jsonl", "", "a.jsonl: not a readable table: it has no row"),
        ("a.csv", "town,age\nRome,3\n", 'a.csv: no column "weight", which the model was trained on; there are: town, age'),
        ("a.csv", "town,age\nRome\n", "a.csv: not a readable table: the row that ends in line 2 has fewer fields than the header (1 of 2)"),
        ("a.csv", "town,age\nRome,3,4\n", "a.csv: not a readable table: the row that ends in line 2 has more fields than the header (3, not 2)"),
        ("a.doc", "x", "a.doc: unknown kind of table; allowed: .csv, .tsv, .xlsx, .parquet, .jsonl, and of the text files .gz, .bz2 and .xz"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_predicted_are_refused(
    name: str, content: str, message: str, classes: Case, boostlora: Command
) -> None:
    folder = classes.cache.parent / "unpredicted"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    done = boostlora("predict", classes.run, name, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"error: {message}"


def test_requests_without_sense_are_refused(
    classes: Case, new: pd.DataFrame, boostlora: Command, tmp_path: Path
) -> None:
    there = "name, age, weight, town, ward, smokes, seen, note"
    for arguments, message in [
        ((classes.run, "new.csv", "--id", "key"), f'new.csv: no column "key" (--id); there are: {there}'),
        ((classes.run, "-"), "task table reads rows with columns; name a .csv, .tsv, .xlsx, .parquet or .jsonl file"),
        ((classes.run, "new.csv", "--rounds", "3"), "no round 3; there are: 1 to 2"),
        ((tmp_path / "new.csv", "new.csv"), f"{tmp_path / 'new.csv'}: a file, not a run; name the folder, name or hash of a run"),
    ]:  # fmt: skip
        done = boostlora("predict", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == f"error: {message}"


def test_a_run_whose_table_has_moved_says_what_it_needs(
    classes: Case, new: pd.DataFrame, boostlora: Command, tmp_path: Path
) -> None:
    copy = shutil.copytree(classes.run, tmp_path / "copy")
    spec = copy / "spec.toml"
    assert str(classes.rows) in spec.read_text()
    moved = classes.rows.rename(classes.folder / "moved.csv")
    try:
        done = boostlora("predict", classes.run, "new.csv")
    finally:
        moved.rename(classes.rows)
    assert (done.returncode, done.stdout) == (2, "")
    assert f'no file "{classes.rows}"' in done.stderr
    assert done.stderr.endswith(
        "a run is used with the data and the base that it was trained on; put them back to this place\n"
    )


def test_python_interface_gives_chunks_of_predictions(classes: Case) -> None:
    (found,) = classes.ensemble().predict_rows(classes.rows, rounds=1)
    assert found.predictions.tolist() == [
        ("no", "yes")[i] for i in classes.ensemble().predict(found.rows.examples, 1).output
    ]
    assert found.errors.mean() == np.mean(found.predictions != _frame()["ill"].to_numpy())


# -- Texts


@pytest.fixture(scope="session")
def texts(shared: Shared, shared_cache: Path) -> Case:
    pytest.importorskip("transformers", reason="needs transformers")
    from ..support.export_runs import classifier_run

    make: Any = lambda folder: classifier_run(folder, shared_cache)  # noqa: E731
    return Case(shared.made("predict-texts", make), shared_cache)


def test_texts_of_a_file_and_of_standard_input_are_predicted_alike(
    texts: Case, boostlora: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["good dog", "bad cat 3", "cat"]
    (tmp_path / "new.csv").write_text("".join(f"{line}\n" for line in ["text", *lines]))
    monkeypatch.setattr(labelled, "CHUNK", 2)
    from_file = boostlora("predict", texts.run, "new.csv")
    for arguments in ((), ("-",)):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        assert boostlora("predict", texts.run, *arguments).stdout == from_file.stdout
    rows = _answers(from_file)
    assert [row["row"] for row in rows] == ["1", "2", "3"]
    logits = texts.ensemble().logits(lines, "best")
    expected = 1.0 / (1.0 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose([float(row["p_good"]) for row in rows], expected, rtol=1e-5)  # float32


def test_texts_without_content_or_column_are_refused(
    texts: Case, boostlora: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("words\nhello\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("good\n\n"))
    blank = boostlora("predict", texts.run)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    for done, message in [
        (blank, 'standard input: no text in row 2 (column "text")'),
        (boostlora("predict", texts.run), "standard input: it has no line; give one text a line"),
        (boostlora("predict", texts.run, "a.csv"), 'a.csv: no column "text" (text); there are: words'),
    ]:
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == f"error: {message}"
