"""`scratch-classifier`: made from nothing, taught to fill in gaps, and given a head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="models made from nothing need torch")
pytest.importorskip("transformers", reason="models made from nothing need transformers")

import attrs
import torch

from boostlora.engine.contracts import ModelSource, Splits, Texts, Tokens
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.testing import ModelContract, assert_close
from boostlora.plugins.models.scratch_classifier import ScratchClassifier

from .hf_cases import CAUSAL, CLASSES, PAIRS, assert_module_is_the_files, get, message, splits_of

TINY: Any = {
    "layers": 2, "hidden": 16, "heads": 2, "intermediate": 24, "max_length": 24,
    "pretrain_steps": 4, "pretrain_batch": 8,
}  # fmt: skip
SEQUENCES = ("MKTAYIA", "GLFDIVKKVVGALGSL", "KWKLFKKIEKVGQNIRDGIIKAGPAVAVV", "MADE", "ACDE.FGHIK") * 6
NAMES = ("amp", "not")
PEPTIDES = splits_of(Texts(tuple((s,) for s in SEQUENCES)), NAMES)
COMPLEXES = splits_of(Texts(tuple(zip(SEQUENCES, SEQUENCES[1:] + SEQUENCES[:1], strict=True))), NAMES)


def measured(source: ModelSource) -> dict[str, Any]:
    return json.loads((source.files[0].parent / "pretraining.json").read_text())


class TestScratchEsm(ModelContract):
    def make(self):
        return ScratchClassifier(**TINY)

    def splits(self):
        return PEPTIDES


class TestScratchEsmPairs(TestScratchEsm):
    def splits(self):
        return COMPLEXES


class TestScratchBert(TestScratchEsm):
    def make(self):
        return ScratchClassifier(**TINY, family="bert", pooling="cls")

    def splits(self):
        return CLASSES


class TestScratchBertPairs(TestScratchBert):
    def splits(self):
        return splits_of(PAIRS, ("no", "yes"))


@pytest.mark.parametrize("family", ["esm", "bert"])
def test_scratch_classifier_is_the_architecture_that_backends_know(family: str, tmp_path: Path) -> None:
    model = ScratchClassifier(**TINY, family=family)
    source = get(model, PEPTIDES, tmp_path)
    assert source.blueprint.architecture == f"classifier/{family}"
    assert source.blueprint == model.blueprint(PEPTIDES)
    assert sum(w.role == "linear" for w in source.blueprint.weights) == 12
    module = assert_module_is_the_files(source)
    ids = torch.tensor(model.encode(PEPTIDES.train).inputs.sequence(0).astype(np.int64))[None]
    module(ids, torch.ones_like(ids)).square().sum().backward()
    assert [n for n, p in module.named_parameters() if p.grad is None] == []


def test_scratch_classifier_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    model = ScratchClassifier(**TINY)
    first = get(model, PEPTIDES, tmp_path / "a").sha256
    torch.manual_seed(99)
    assert get(model, PEPTIDES, tmp_path / "b").sha256 == first
    other = model.source(PEPTIDES, RunContext(cache=tmp_path / "c"), np.random.default_rng(1))
    assert other.sha256 != first


def test_scratch_classifier_pooling_needs_no_other_encoder(tmp_path: Path) -> None:
    told = list[str]()
    context = RunContext(cache=tmp_path, report=lambda what, *_: told.append(what))
    sources = [
        ScratchClassifier(**TINY, pooling=pooling).source(PEPTIDES, context, np.random.default_rng(0))
        for pooling in ("mean", "cls")
    ]
    assert told.count("pretraining") == 1
    assert sources[0].files[0] == sources[1].files[0]
    assert sources[0].files[1] != sources[1].files[1]


def test_scratch_classifier_never_sees_validation_test_or_labels(tmp_path: Path) -> None:
    def encoder(splits: Splits) -> bytes:
        return get(ScratchClassifier(**TINY), splits, tmp_path).files[0].read_bytes()

    first = encoder(PEPTIDES)
    other = attrs.evolve(PEPTIDES.train, inputs=Texts((("WWWW",),) * len(SEQUENCES)))
    assert encoder(attrs.evolve(PEPTIDES, validation=other, test=other)) == first
    turned = attrs.evolve(PEPTIDES.train, labels=1 - PEPTIDES.train.labels)
    assert encoder(attrs.evolve(PEPTIDES, train=turned)) == first
    assert encoder(attrs.evolve(PEPTIDES, source=other)) != first
    assert encoder(attrs.evolve(PEPTIDES, train=other)) != first


def test_scratch_classifier_esm_joins_a_pair_by_its_end_token_and_cuts_the_longer() -> None:
    model = ScratchClassifier(**TINY)
    rows = Texts((("MK", "GL.F"), ("M" * 30, "GLFD")))
    tokens = model.encode(splits_of(rows, NAMES).train).inputs
    letters = dict(zip("LAGVSERTIDPKQNFYMHWCXBUZO.-", range(4, 31), strict=True))
    assert tokens.sequence(0).tolist() == [
        0,
        *(letters[c] for c in "MK"),
        2,
        *(letters[c] for c in "GL.F"),
        2,
    ]
    assert tokens.sequence(1).tolist() == [0, *[letters["M"]] * 17, 2, *(letters[c] for c in "GLFD"), 2]
    assert tokens.cut.tolist() == [False, True]
    assert tokens.types is None


@pytest.mark.parametrize("text", ["MKT|GLF", "MKJ", "mkt", "MK T", "MK<mask>"])
def test_scratch_classifier_esm_names_unknown_residues(text: str) -> None:
    said = message(
        lambda: ScratchClassifier(**TINY).encode(splits_of(Texts((("MK",), (text,))), NAMES).train)
    )
    unknown = next(c for c in text if c not in "LAGVSERTIDPKQNFYMHWCXBUZO.-")
    assert f'"{text}" has the character {unknown!r}' in said
    assert "join the chains of a complex by ." in said


def test_scratch_classifier_inputs_of_another_kind_are_refused() -> None:
    model = ScratchClassifier(**TINY)
    assert "scratch-classifier takes texts" in message(lambda: model.blueprint(CAUSAL))
    assert "this task has none" in message(lambda: model.blueprint(attrs.evolve(PEPTIDES, classes=())))


@pytest.mark.parametrize("family", ["esm", "bert"])
def test_scratch_classifier_predicts_masked_letters_from_their_neighbours(
    family: str, tmp_path: Path
) -> None:
    """Words in which a letter tells the next: the loss of masked letters falls far below that of their frequencies."""
    starts = np.random.default_rng(0).integers(0, 8, 200)
    texts = Texts(tuple(("".join("ACDEFGHI"[(s + i) % 8] for i in range(16)),) for s in starts))
    options = {**TINY, "hidden": 32, "pretrain_steps": 250, "pretrain_lr": 3e-3, "pretrain_batch": 16}
    found = measured(get(ScratchClassifier(**options, family=family), splits_of(texts, NAMES), tmp_path))
    assert found["held_out"] == 20
    assert found["unigram"] == pytest.approx(np.log(8), abs=0.02)  # the letters are equally frequent
    assert found["loss"] < 0.5 * found["unigram"]


def test_masked_batch_has_the_shares_of_bert_and_targets_at_masks() -> None:
    from boostlora.plugins.models._scratch.encoder import Special, masked

    special = Special(padding=1, mask=32, all=(0, 1, 2, 3, 32))
    rows = [[0, *[4 + (i + k) % 20 for k in range(100)], 2] for i in range(39)] + [[0, 5, 6, 2]]
    tokens = Tokens.join(rows)
    batch = masked(tokens, np.arange(4, 24), special, np.random.default_rng(0))
    plain = torch.full((40, 102), 1)
    for i, row in enumerate(rows):
        plain[i, : len(row)] = torch.tensor(row)
    letters = 39 * 100 + 2
    assert len(batch.answers) == int(batch.chosen.sum()) == round(0.15 * letters)
    assert torch.equal(plain[batch.chosen], batch.answers)
    assert not torch.isin(batch.answers, torch.tensor(special.all)).any()
    assert torch.equal(batch.ids[~batch.chosen], plain[~batch.chosen])
    assert torch.equal(batch.seen, plain != 1)
    shown = batch.ids[batch.chosen]
    assert int((shown == 32).sum()) == round(0.8 * len(shown))
    # A tenth is as it was; of the other tenth, one letter in twenty is by chance.
    assert 0.07 < float((shown == batch.answers).double().mean()) < 0.14


def test_unigram_loss_is_the_entropy_for_equal_frequencies() -> None:
    from boostlora.plugins.models._scratch.encoder import unigram_loss

    ids = np.repeat(np.array([0, 4, 5, 6], dtype=np.int32), [50, 20000, 10000, 10000])
    p = np.array([0.5, 0.25, 0.25])
    # Each letter counts once more than seen, which is 1 in 10,000.
    assert_close(
        np.array(unigram_loss(ids, ids, (0,))), np.array(-(p * np.log(p)).sum()), atol=1e-4, what="entropy"
    )


def test_interrupted_scratch_classifier_leaves_no_partial_model(tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ScratchClassifier(**TINY).source(
            PEPTIDES, RunContext(cache=tmp_path, report=interrupt), np.random.default_rng(0)
        )
    assert not [p for p in (tmp_path / "models").iterdir() if p.suffix != ".lock"]
