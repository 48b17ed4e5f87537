"""Metrics that `stop.metric`, `merge.metric` and `ablate.metric` take, by what the data can measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

Command = Callable[..., Any]
SPEC = """
name = "rows"
rounds = 1
[task]
use = "table"
path = "rows.csv"
label = "y"
[objective]
use = "{objective}"
[model]
use = "mlp"
hidden = [4]
epochs = 1
[adapter]
use = "lora-xs"
rank = 1
[basis]
exhausted = "wrap"
"""
KEYS = {
    "stop": '[stop]\nmetric = "{}"\n',
    "merge": '[merge]\nuse = "line-search"\nmetric = "{}"\n',
    "ablate": '[ablate]\ngrid.rounds = [1, 2]\nseeds = 1\nmetric = "{}"\n',
}
LABELS = {
    "two": np.where(np.arange(60) % 3 == 0, "no", "yes"),
    "three": np.array(["a", "b", "c"])[np.arange(60) % 3],
    "many": np.array([f"c{i % 21}" for i in range(210)]),
    "values": np.arange(60) * 0.5,
}
CLASSES = ("balanced_accuracy", "macro_f1", "mcc", "auroc", "auprc", "calibration_error", "accuracy", "loss")
TAKEN = {
    "two": (*CLASSES, "f1", "recall_yes", "recall_no"),
    "three": (*CLASSES, "recall_a"),
    "many": CLASSES,
    "values": ("rmse", "mae", "r2", "loss"),
}
REFUSED = {
    "two": ("rmse", "recall_maybe", "balanced-accuracy"),
    "three": ("f1", "r2", "recall_yes"),
    "many": ("f1", "recall_c1"),
    "values": ("auroc", "f1", "recall_yes", "balanced_accuracy"),
}


def check(boostlora: Command, folder: Path, kind: str, key: str, metric: str) -> tuple[int, str]:
    """Exit code and errors of `check`, on one line."""
    y = LABELS[kind]
    x = np.random.default_rng(0).normal(size=(len(y), 3))
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y}).to_csv(folder / "rows.csv", index=False)
    objective = "mse" if kind == "values" else "cross-entropy"
    (folder / "spec.toml").write_text(SPEC.format(objective=objective) + KEYS[key].format(metric))
    done = boostlora("check", "spec.toml")
    return done.returncode, " ".join(done.stderr.split())


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", LABELS)
def test_metrics_of_the_data_are_taken(boostlora: Command, tmp_path: Path, kind: str, key: str) -> None:
    metrics = TAKEN[kind] if key == "stop" else TAKEN[kind][-3:]
    assert {m: check(boostlora, tmp_path, kind, key, m) for m in metrics} == dict.fromkeys(metrics, (0, ""))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", LABELS)
def test_metrics_that_the_data_lack_are_refused_with_those_that_there_are(
    boostlora: Command, tmp_path: Path, kind: str, key: str
) -> None:
    for metric in REFUSED[kind]:
        code, said = check(boostlora, tmp_path, kind, key, metric)
        assert code == 2, (metric, said)
        assert f"{key}.metric" in said
        assert f'"{metric}"' in said
        assert "loss" in said, "the message names no metric that there is"
        assert not (tmp_path / "runs").exists()
