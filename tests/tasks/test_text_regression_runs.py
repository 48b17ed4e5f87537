"""Regression of texts in whole runs: both backends, verification, predictions, and exports in the units of the target."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli

from boostlora.engine.registry import Registry
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import assert_close

torch = pytest.importorskip("torch", reason="models of texts need torch")
transformers = pytest.importorskip("transformers", reason="models of texts need transformers")

from ..support import hf_toys  # noqa: E402

Command = Callable[..., Any]
UNIT = 2.0**-23
TEXTS = ["good cat 3", "bad dog 7", "good"]
SPEC = """
name = "scores"
rounds = 2
[task]
use = "text-regression"
path = "scores.csv"
[objective]
use = "{objective}"
[model]
{model}
[adapter]
use = "lora-xs"
rank = 2
[sampler]
use = "all"
[optimizer]
lr = 0.003
steps = 6
batch_size = 8
[backend]
use = "{backend}"
threads = 1
"""
SCRATCH = """use = "scratch-classifier"
family = "bert"
layers = 2
hidden = 16
heads = 2
intermediate = 24
max_length = 32
pretrain_steps = 10
"""
POOLED = 'use = "hf-classifier"\npath = "model"\nhead = "pooled"\n'
OWN = 'use = "hf-classifier"\npath = "model"\nhead = "own"\n'


def write_scores(folder: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [
        f"{'good' if i % 3 else 'bad'} {'cat' if i % 2 else 'dog'} {i % 11},{40 + 9 * (i % 3 > 0) + rng.normal():.3f}"
        for i in range(60)
    ]
    (folder / "scores.csv").write_text("text,label\n" + "\n".join(lines) + "\n")


def run(boostlora: Command, folder: Path, **settings: str) -> list[dict[str, Any]]:
    """The finished rounds of a run."""
    (folder / "spec.toml").write_text(
        SPEC.format(**{"objective": "mse", "model": POOLED, "backend": "torch", **settings})
    )
    done = boostlora("run", "spec.toml", "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [event for event in events if event["event"] == "round_finished"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_scores(tmp_path)
    return tmp_path


def predicted(boostlora: Command, folder: Path) -> list[float]:
    (folder / "new.csv").write_text("text\n" + "\n".join(TEXTS) + "\n")
    done = boostlora("predict", "scores", "new.csv", "--rounds", "all")
    assert done.returncode == 0, done.stderr
    return [float(line.split(",")[1]) for line in done.stdout.splitlines()[1:]]


@pytest.mark.parametrize(("model", "objective"), [(SCRATCH, "mse"), (POOLED, "huber")])
def test_regression_of_texts_is_boosted_alike_on_both_backends(
    model: str, objective: str, boostlora: Command, folder: Path
) -> None:
    hf_toys.encoder(folder / "model")
    exact = {"model": model, "objective": objective}
    one = run(boostlora, folder, **exact, backend='torch"\ndevice = "cpu"\ndtype = "float64')
    two = run(boostlora, folder, **exact, backend="reference")
    assert len(one) == len(two) == 3
    for a, b in zip(one, two, strict=True):
        for split in ("train", "validation", "test"):
            for name in ("rmse", "mae", "r2"):
                # Both compute in float64 from the same weights: what differs is the order of sums.
                assert a[split]["measures"][name] == pytest.approx(b[split]["measures"][name], rel=1e-8)
    assert one[1]["train"]["loss"] != one[0]["train"]["loss"]


@pytest.mark.parametrize(("model", "objective"), [(SCRATCH, "huber"), (POOLED, "mse")])
def test_regression_of_texts_passes_verification(
    model: str, objective: str, boostlora: Command, folder: Path
) -> None:
    hf_toys.encoder(folder / "model")
    run(boostlora, folder, model=model, objective=objective)
    done = boostlora("verify", "scores")
    assert done.returncode == 0, done.stdout + done.stderr


def export(boostlora: Command, folder: Path) -> str:
    """The card of an export to transformers."""
    done = boostlora("export", "scores", "--to", "hf", "--out", "out", "--rounds", "all")
    assert done.returncode == 0, done.stderr
    return (folder / "out" / "README.md").read_text()


@pytest.mark.parametrize("trained", [True, False])
def test_exported_own_head_gives_the_predicted_values_in_transformers(
    trained: bool, boostlora: Command, folder: Path
) -> None:
    if trained:
        hf_toys.labelled(folder / "model", labels=("LABEL_0",))
    else:
        hf_toys.encoder(folder / "model")
    run(boostlora, folder, model=OWN)
    card = export(boostlora, folder)
    assert "The output is the predicted value, in the units of the target." in card
    assert "largest logit" not in card
    module: Any = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "out").eval()
    assert (module.config.problem_type, module.config.num_labels) == ("regression", 1)
    batch = transformers.AutoTokenizer.from_pretrained(folder / "out")(
        TEXTS, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        found = module(**batch).logits[:, 0].numpy()
    expected = np.array(predicted(boostlora, folder))
    if not trained:
        assert expected.mean() == pytest.approx(46.0, abs=6.0), "values are not in the units of the target"
    # `predict` restores the standardised output: float32 rounds it relative to the target's mean of about 46.
    assert_close(found, expected, atol=8 * UNIT * 46.0, what="values")


def test_card_of_a_pooled_head_restores_the_units_of_the_target(boostlora: Command, folder: Path) -> None:
    hf_toys.encoder(folder / "model")
    run(boostlora, folder)
    formula = re.search(r"the value is `(\S+) \+ (\S+) \* output`", export(boostlora, folder))
    assert formula, "the card does not say how to restore values"
    from boostlora.engine.ensemble.ensemble import Ensemble

    ensemble = Ensemble.open("scores")
    outputs = ensemble.logits(TEXTS, rounds="all")[:, 0]
    mean, std = map(float, formula.groups())
    expected = np.array(predicted(boostlora, folder))
    assert_close(mean + std * outputs, expected, atol=1e-5 * np.abs(expected).max(), what="values")


def test_spec_drafted_for_texts_with_continuous_labels_runs(boostlora: Command, folder: Path) -> None:
    hf_toys.encoder(folder / "model")
    done = boostlora("init", "scores.csv", "--text", "--model", "model", "--out", "drafted.toml")
    assert done.returncode == 0, done.stderr
    assert 'predict the values of "label"' in done.stdout
    assert 'for classes set task.use = "text-classification"' in done.stdout
    assert tomli.loads(Path("drafted.toml").read_text())["task"]["use"] == "text-regression"
    assert load_spec("drafted.toml", Registry.load()).slots["objective"].use == "mse"
    checked = boostlora("check", "drafted.toml")
    assert checked.returncode == 0, checked.stderr
    ran = boostlora("run", "drafted.toml", "--set", "rounds=1", "--set", "optimizer.steps=3")
    assert ran.returncode == 0, ran.stderr
    shown = boostlora("show", "scores")
    assert "test RMSE" in shown.stdout
