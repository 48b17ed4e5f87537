"""Models made from nothing in whole runs, on both backends."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..support.commands import boostlora_process

pytest.importorskip("torch", reason="models made from nothing need torch")
pytest.importorskip("transformers", reason="models made from nothing need transformers")

SUMS = """
name = "sums"
rounds = 1
[task]
use = "language-modelling"
path = "sums.jsonl"
correct = "greedy"
max_new_tokens = 3
[model]
use = "scratch-causal-lm"
layers = 2
hidden = 16
heads = 2
kv_heads = 1
intermediate = 24
max_length = 16
pretrain_steps = 40
"""
PEPTIDES = """
name = "peptides"
rounds = 1
[task]
use = "text-classification"
path = "peptides.csv"
text = ["one", "other"]
[model]
use = "scratch-classifier"
layers = 2
hidden = 16
heads = 2
intermediate = 24
max_length = 24
pretrain_steps = 10
"""
COMMON = """
[optimizer]
lr = 0.003
steps = 8
batch_size = 8
[backend]
use = "{backend}"
threads = 1
{dtype}
"""
DTYPES = {"torch": 'device = "cpu"\ndtype = "float64"', "reference": ""}


def write_sums(folder: Path) -> None:
    rows = [{"prompt": f"{a}+{b}=", "completion": str(a + b)} for a in range(6) for b in range(6)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_peptides(folder: Path) -> None:
    rng = np.random.default_rng(0)
    with (folder / "peptides.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["one", "other", "label"])
        for i in range(40):
            favoured = "KRLI" if i % 2 else "DEGS"
            texts = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY" + favoured * 2), 9)) for _ in range(2)]
            writer.writerow([*texts, "amp" if i % 2 else "other"])


WRITERS = {SUMS: write_sums, PEPTIDES: write_peptides}


@pytest.mark.parametrize("text", [SUMS, PEPTIDES], ids=["sums", "peptides"])
def test_scratch_model_is_boosted_alike_on_both_backends(text: str, boostlora: Any, tmp_path: Path) -> None:
    WRITERS[text](tmp_path)
    found = dict[str, list[dict[str, Any]]]()
    for backend, dtype in DTYPES.items():
        (tmp_path / "spec.toml").write_text(text + COMMON.format(backend=backend, dtype=dtype))
        done = boostlora("run", "spec.toml", "--json")
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        found[backend] = [event for event in events if event["event"] == "round_finished"]
        assert len(found[backend]) == 2
    for one, two in zip(found["torch"], found["reference"], strict=True):
        for split in ("train", "validation", "test"):
            # Both compute in float64 from the same weights: what differs is the order of sums.
            assert one[split]["loss"] == pytest.approx(two[split]["loss"], rel=1e-8)
            assert one[split]["accuracy"] == two[split]["accuracy"]
    losses = [r["train"]["loss"] for r in found["torch"]]
    assert losses[1] != losses[0]


def test_scratch_model_is_checked_without_being_trained(
    boostlora: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOSTLORA_CACHE", str(tmp_path / "cache"))
    write_sums(tmp_path)
    text = SUMS.replace("layers = 2", "layers = 1") + COMMON.format(backend="torch", dtype="")
    (tmp_path / "spec.toml").write_text(text)
    done = boostlora("check", "spec.toml")
    assert done.returncode == 0, done.stderr
    assert "q_proj" in done.stdout
    assert list((tmp_path / "cache").rglob("model.safetensors")) == []


def test_scratch_model_with_unsupported_texts_is_refused_before_training(
    boostlora: Any, tmp_path: Path
) -> None:
    write_peptides(tmp_path)
    file = tmp_path / "peptides.csv"
    file.write_text(file.read_text() + "MKT|GLF,MADE,amp\n")
    (tmp_path / "spec.toml").write_text(PEPTIDES + COMMON.format(backend="torch", dtype=""))
    done = boostlora("run", "spec.toml")
    assert done.returncode == 2
    assert "\"MKT|GLF\" has the character '|'" in done.stderr


@pytest.mark.slow(reason="two processes, each of which imports torch and transformers")
def test_scratch_model_trained_by_another_process_is_the_same(tmp_path: Path) -> None:
    write_sums(tmp_path)
    (tmp_path / "spec.toml").write_text(SUMS + COMMON.format(backend="torch", dtype=""))
    weights = list[str]()
    for place in ("one", "two"):
        environment = {"BOOSTLORA_CACHE": str(tmp_path / place), "PYTHONHASHSEED": str(len(weights))}
        done = boostlora_process("run", "spec.toml", "--runs", f"runs-{place}", cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        (provenance,) = (tmp_path / f"runs-{place}").rglob("provenance.json")
        weights.append(json.loads(provenance.read_text())["hashes"]["weights"])
    assert weights[0] == weights[1]
