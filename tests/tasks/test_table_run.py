from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

Write = Callable[..., str]
Command = Callable[..., "subprocess.CompletedProcess[str]"]

SPEC = """
name = "clinic"
rounds = 6
[task]
use = "table"
path = "rows.csv"
source = "source.csv"
label = "finding"
[model]
use = "mlp"
hidden = [24]
epochs = 30
[adapter]
use = "tinylora"
rank = 3
[optimizer]
use = "adam"
lr = 0.3
"""


@pytest.fixture
def clinic(write: Write, tmp_path: Path) -> Path:
    """A spec, its table, and a source in which other instruments measured, half of them upside down."""
    data = load_breast_cancer(as_frame=True)
    names = np.array(["malignant", "benign"])
    frame = data.data.assign(finding=names[data.target], clinic="north")
    shifted = frame.copy()
    for column in list(data.data.columns)[::2]:
        shifted[column] = shifted[column].max() - shifted[column]
    rows = np.random.default_rng(0).permutation(len(frame))
    write(frame.iloc[rows[:200]], "source.csv")
    write(pd.DataFrame(shifted.iloc[rows[200:]]), "rows.csv")
    write(SPEC, "clinic.toml")
    return tmp_path


def test_run_on_a_users_table_exits_zero_and_improves_validation(boostlora: Command, clinic: Path) -> None:
    done = boostlora("run", "clinic.toml")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = next((clinic / "runs" / "clinic").glob("*/rounds.jsonl")).read_text().splitlines()
    rounds = [json.loads(line) for line in lines]
    accuracy = [found["validation"]["accuracy"] for found in rounds]
    assert len(rounds) == 7
    assert accuracy[-1] > accuracy[0] + 0.1
    assert rounds[-1]["rank"] == {"layers.0.weight": 18}


def test_run_on_a_table_without_the_label_exits_two_and_leaves_nothing(
    boostlora: Command, clinic: Path
) -> None:
    done = boostlora("run", "clinic.toml", "--set", "task.label=diagnosis")
    assert done.returncode == 2
    assert 'rows.csv: no column "diagnosis" (label); there are: mean radius, ' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (clinic / "runs").exists()


def test_run_on_a_table_in_another_order_gives_the_same_digest(boostlora: Command, clinic: Path) -> None:
    digests = []
    for seed in (None, 5):
        if seed is not None:
            for name in ("rows.csv", "source.csv"):
                frame = pd.read_csv(clinic / name)
                frame.sample(frac=1, random_state=seed).to_csv(clinic / name, index=False)
        done = boostlora("run", "clinic.toml", "--json", "--fresh", "--set", "rounds=2")
        assert done.returncode == 0, done.stderr
        digests.append(json.loads(done.stdout.splitlines()[-1])["digest"])
    assert digests[0] == digests[1]
