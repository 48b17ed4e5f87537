from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tomli

from boostlora.engine.registry import Registry
from boostlora.engine.spec.resolve import load_spec


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def people(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    age = rng.integers(18, 90, n)
    return pd.DataFrame(
        {
            "customer_id": [f"C{i:05}" for i in range(n)],
            "joined": pd.date_range("2020-01-01", periods=n).strftime("%d.%m.%Y"),
            "age": age,
            "town": rng.choice(["Rome", "Oslo", "Bonn"], n),
            "rich": np.where(age + rng.normal(0, 10, n) > 55, "yes", "no"),
        }
    )


def test_spec_of_a_table_runs_untouched_and_says_what_its_columns_are(folder, boostlora):
    people().to_csv("people.csv", index=False)
    done = boostlora("init", "people.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == 'people.toml: 120 rows: predict "rich", 2 classes, from 3 columns'
    assert "  customer_id: left out, it identifies rows: 120 different values in 120 rows" in done.stdout
    assert "  joined: date" in done.stdout
    assert done.stdout.splitlines()[-1] == "next: boostlora check people.toml, then boostlora run people.toml"
    written = tomli.loads((folder / "people.toml").read_text())
    assert written["task"] == {"use": "table", "path": "people.csv", "label": "rich"}
    ran = boostlora("run", "people.toml", "--set", "rounds=2", "--set", "optimizer.steps=5")
    assert ran.returncode == 0, ran.stderr


def test_label_with_many_numbers_is_a_regression(folder, boostlora):
    rng = np.random.default_rng(0)
    pd.DataFrame({"target": rng.normal(size=60), "x": rng.normal(size=60)}).to_csv("y.csv", index=False)
    done = boostlora("init", "y.csv")
    assert 'predict the values of "target"' in done.stdout
    spec = load_spec("y.toml", Registry.load())
    assert (spec.slots["objective"].use, spec.adapter.rank) == ("mse", 1)
    assert boostlora("check", "y.toml").returncode == 0


def test_encoding_that_is_not_utf8_is_found(folder, boostlora):
    people().assign(town="Málaga").to_csv("latin.csv", index=False, encoding="cp1252")
    assert boostlora("init", "latin.csv", "--label", "rich").returncode == 0
    assert tomli.loads((folder / "latin.toml").read_text())["task"]["encoding"] == "cp1252"


def test_spec_of_texts_names_the_longest_column_and_the_model(folder, boostlora):
    texts = [f"a long review number {i} of a book that was {'good' if i % 2 else 'bad'}" for i in range(40)]
    pd.DataFrame({"id": range(40), "review": texts, "stars": [i % 2 for i in range(40)]}).to_csv(
        "r.csv", index=False
    )
    (folder / "encoder").mkdir()
    done = boostlora(
        "init", "r.csv", "--text", "--model", "encoder", "--label", "stars", "--out", "reviews.toml"
    )
    assert done.returncode == 0, done.stderr
    written = tomli.loads((folder / "reviews.toml").read_text())
    assert (written["task"]["text"], written["task"]["label"]) == ("review", "stars")
    assert written["model"] == {"use": "hf-classifier", "path": "encoder"}


def test_study_of_a_spec_is_valid(folder, boostlora):
    done = boostlora("init", "study", "quickstart")
    assert done.returncode == 0, done.stderr
    checked = boostlora("check", "quickstart-study.toml", "--json")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["nowhere.csv"],
            "error: nowhere.csv: no such file; name a .csv, .tsv, .xlsx, .parquet or .jsonl file",
        ),
        (["people.csv", "--label", "wage"], 'error: people.csv: no column "wage" (label); there are: '),
        (["people.csv", "--text"], "error: texts need a model: --model FOLDER"),
        (["people.csv", "again.csv"], "error: name one data file, or: boostlora init study SPEC"),
        (["study"], "error: name the spec to study: boostlora init study SPEC"),
        (["people.csv", "--out", "there.toml"], "error: there.toml exists; name another file with --out"),
    ],
)
def test_init_that_cannot_be_is_refused_and_writes_nothing(folder, boostlora, words, message):
    people().to_csv("people.csv", index=False)
    (folder / "there.toml").write_text("mine")
    done = boostlora("init", *words)
    assert (done.returncode, done.stderr[: len(message)]) == (2, message)
    assert sorted(path.name for path in folder.iterdir()) == ["people.csv", "there.toml"]
    assert (folder / "there.toml").read_text() == "mine"
