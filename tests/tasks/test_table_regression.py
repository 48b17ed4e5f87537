"""Tables whose label is a value, and losses that weigh classes: from the file to the run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import Predictions, Splits
from boostlora.engine.testing import TaskContract, assert_close
from boostlora.plugins.objectives.cross_entropy import CrossEntropy
from boostlora.plugins.tasks.table import Table

from .text_cases import message

Write = Callable[..., str]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
SPEC = """
name = "values"
rounds = 3
[task]
use = "table"
path = "rows.csv"
label = "y"
[objective]
use = "{objective}"
[model]
use = "mlp"
hidden = [8, 8]
epochs = 2
[adapter]
use = "lora-xs"
rank = 2
[basis]
exhausted = "wrap"
[sampler]
use = "all"
[optimizer]
use = "adam"
lr = 0.02
"""


def load(path: str, **options: Any) -> Splits:
    return Table(path=path, label="y", **options).load(np.random.default_rng(0))


def table(y: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=len(y)), "b": rng.normal(size=len(y)), "y": y})


class TestTableOfValues(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, write: Write) -> None:
        self.path = write(table(np.arange(60) * 0.5))

    def make(self):
        return Table(path=self.path, label="y")


@pytest.mark.parametrize(
    ("labels", "target", "is_value"),
    [
        (np.arange(60) * 0.5, "auto", True),
        (np.arange(60), "auto", True),
        (np.arange(300) % 30, "auto", False),
        (np.arange(60) % 10 + 0.5, "auto", False),
        (np.arange(60) % 3, "values", True),
        ([f"{v:,}" for v in range(1000, 61000, 1000)], "auto", True),
        ([f"w{v % 3}" for v in range(60)], "auto", False),
        (np.arange(60) % 15 * 0.5, "classes", False),
    ],
)
def test_label_is_a_value_when_continuous_or_declared_so(
    write: Write, labels: Any, target: str, is_value: bool
) -> None:
    splits = load(write(table(labels)), target=target)
    assert (splits.train.values is not None) == is_value
    assert bool(splits.classes) != is_value
    assert splits.outputs == (1 if is_value else len(splits.classes))


def test_values_are_standardised_by_the_training_rows(write: Write) -> None:
    splits = load(write(table(np.random.default_rng(1).normal(50.0, 9.0, 100))))
    values = splits.train.values
    assert values is not None
    assert_close(values.standardised.mean(), 0.0, atol=1e-13, what="mean")
    assert_close(values.standardised.std(), 1.0, atol=1e-13, what="standard deviation")
    assert splits.test.values is not None
    assert splits.test.values.mean == values.mean


def test_words_and_infinities_are_refused_as_values(write: Write) -> None:
    path = write(table(["1.5", "many"] * 30))
    assert "no finite number" in message(lambda: Table(path=path, label="y", target="values"))


def test_label_of_dates_is_refused_with_the_next_step(write: Write) -> None:
    path = write(table(pd.date_range("2024-01-01", periods=60).astype(str)))
    assert 'column "y" has 60 different values in 60 rows' in message(lambda: Table(path=path, label="y"))


def test_value_is_right_within_the_tolerance(write: Write) -> None:
    task = Table(path=write(table(np.arange(60) * 0.5)), label="y", tolerance=0.25)
    examples = task.load(np.random.default_rng(0)).test
    assert examples.values is not None
    off = np.resize([0.0, 0.2, -0.3], len(examples))
    z = examples.values.standardised + off
    outcome = task.judge(examples, Predictions(output=np.zeros(len(z), dtype=np.int64), loss=off**2, logits=z[:, None]))  # fmt: skip
    np.testing.assert_array_equal(outcome.correct, np.abs(off) < 0.25)
    assert_close(outcome.prediction.view(np.float64), examples.values.restored(z), atol=0.0, what="values")


@pytest.mark.parametrize("objective", ["mse", "huber"])
def test_regression_is_learnt_and_verified(boostlora: Command, write: Write, tmp_path: Path, objective: str) -> None:  # fmt: skip
    frame = table(np.zeros(200))
    write(frame.assign(y=3.0 * frame["a"] - frame["b"] ** 2))
    write(SPEC.format(objective=objective), "values.toml")
    done = boostlora("run", "values.toml", "--set", "backend.use=torch")
    assert done.returncode == 0, done.stderr
    lines = next((tmp_path / "runs" / "values").glob("*/rounds.jsonl")).read_text().splitlines()
    first, last = (json.loads(lines[i])["validation"]["measures"] for i in (0, -1))
    assert last["rmse"] < first["rmse"]
    assert last["r2"] > first["r2"]
    verified = boostlora("verify", "values")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize(
    ("options", "y", "expected"),
    [
        (("cross-entropy", ""), np.arange(60) * 0.5, 'set objective.use = "mse" or "huber"'),
        (("mse", ""), np.arange(60) % 2, 'set objective.use = "cross-entropy"'),
        (("mse", "auroc"), np.arange(60) * 0.5, "has no such metric; there are: accuracy, loss, rmse"),
        (("cross-entropy", "f1"), np.arange(60) % 3, 'stop.metric = "f1"'),
        (("mse", "x" * 1000), np.arange(60) * 0.5, '…": task table has no such metric'),
    ],
)
def test_objective_or_metric_of_other_targets_is_refused_before_work(
    boostlora: Command, write: Write, options: tuple[str, str], y: Any, expected: str
) -> None:
    objective, metric = options
    folder = Path(write(table(y))).parent
    write(SPEC.format(objective=objective) + f'[stop]\nmetric = "{metric}"\n' * bool(metric), "values.toml")
    done = boostlora("run", "values.toml")
    assert done.returncode == 2
    assert expected in " ".join(done.stderr.split())
    assert not (folder / "runs").exists()


def test_check_prints_the_use_of_columns(boostlora: Command, write: Write) -> None:
    frame = table(np.arange(60) % 2).assign(id=np.arange(60), town=["Rome", "Oslo", "Bonn"] * 20)
    write(frame)
    write(SPEC.format(objective="cross-entropy"), "values.toml")
    done = boostlora("check", "values.toml")
    assert done.returncode == 0, done.stderr
    assert "left out: id (it numbers the rows)" in done.stdout
    assert "inputs: 5 from 3 columns; the data takes 2.3 KiB" in done.stdout
    plan = json.loads(boostlora("check", "values.toml", "--json").stdout)["plan"]
    assert [(c["name"], c["kind"], c["width"]) for c in plan["columns"]] == [
        *(("a", "number", 1), ("b", "number", 1), ("id", "left out", 0), ("town", "category", 3))
    ]
    assert (plan["inputs"], plan["data_bytes"]) == (5, 60 * 5 * 8)


def test_balanced_weights_have_mean_one_and_equal_class_totals() -> None:
    labels = np.array([0] * 6 + [2] * 2)
    weights = CrossEntropy(class_weights="balanced").label_weights(labels, 3)
    assert weights is not None
    assert_close(weights, np.where(labels == 0, 8 / 12, 8 / 4), atol=1e-15, what="n / (k n_c)")
    assert CrossEntropy().label_weights(labels, 3) is None


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_balanced_weights_raise_the_balanced_accuracy_of_rare_classes(
    boostlora: Command, write: Write, tmp_path: Path, backend: str
) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 600))
    write(pd.DataFrame({"a": a, "b": b, "y": (a + rng.normal(size=600) > 2.0).astype(int)}))
    write(SPEC.format(objective="cross-entropy"), "values.toml")
    found = dict[str, float]()
    for weights in ("none", "balanced"):
        done = boostlora("run", "values.toml", "--set", f"objective.class_weights={weights}", "--set", f"backend.use={backend}", "--set", "optimizer.lr=0.3", "--set", "model.epochs=30", "--runs", weights)  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines = next((tmp_path / weights / "values").glob("*/rounds.jsonl")).read_text().splitlines()
        found[weights] = json.loads(lines[-1])["validation"]["measures"]["balanced_accuracy"]
    assert found["balanced"] > found["none"] + 0.1
