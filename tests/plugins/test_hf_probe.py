"""The head of `hf-classifier`: pooling, and the logistic regression it starts as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

pytest.importorskip("torch", reason="Hugging Face models need torch")
pytest.importorskip("transformers", reason="Hugging Face models need transformers")

import torch
from safetensors.torch import load_file

from boostlora.engine.contracts import Texts
from boostlora.engine.testing import assert_close
from boostlora.plugins.models.hf_classifier import HfClassifier

from ..support import hf_toys
from .hf_cases import CLASSES, get, message, splits_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "model"


ROUNDING = 1e-12
"""float64 sums of a few dozen terms of order 1."""


def test_classifier_head_is_scikit_learns_on_features_of_the_frozen_encoder(
    tmp_path: Path, folder: Path
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    words = ["cat", "dog", "mat", "house", "good", "bad", "night", "morning", "mood", "weather"]
    texts = Texts(tuple((f"{a} {b} {'the ' * i}",) for i, a in enumerate(words[:6]) for b in words))
    for classes in (("0", "1"), ("0", "1", "2")):
        splits = splits_of(texts, classes)
        model = HfClassifier(path=str(hf_toys.encoder(folder)), head_c=1.0)
        source = get(model, splits, tmp_path)
        module = source.build(source.blueprint, torch.float64)
        tokens = HfClassifier(path=str(folder)).encode(splits.train).inputs
        with torch.no_grad():  # one by one, without padding
            outs = [
                (
                    module.features(x := torch.tensor(s.astype(np.int64))[None], torch.ones_like(x)),
                    module(x, torch.ones_like(x)),
                )
                for s in tokens
            ]
        rows = torch.cat([f for f, _ in outs]).numpy()
        shares = torch.softmax(torch.cat([z for _, z in outs]), dim=1).numpy()
        scaler = StandardScaler().fit(rows)
        fitted = LogisticRegression(max_iter=1000).fit(scaler.transform(rows), splits.train.labels)
        expected = fitted.predict_proba(scaler.transform(rows))
        assert expected.std() > 0.03
        # lbfgs stops at a gradient of 1e-4, wherever that is for features rounded to float32.
        assert_close(shares, expected, atol=2e-3, what="class probabilities")


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "max"])
@pytest.mark.parametrize("left", [False, True])
def test_classifier_padding_side_does_not_change_logits(pooling: Any, left: bool) -> None:
    from boostlora.plugins.models._hf.classifier_net import pooled

    hidden = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 5, 3)))
    alone = {
        "mean": hidden.mean(dim=1),
        "cls": hidden[:, 0],
        "last": hidden[:, -1],
        "max": hidden.amax(dim=1),
    }[pooling]
    noise = torch.full((2, 2, 3), 9.0, dtype=torch.float64)
    padded = torch.cat([noise, hidden] if left else [hidden, noise], dim=1)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1] if left else [1, 1, 1, 1, 1, 0, 0]] * 2)
    assert_close(pooled(padded, mask, pooling).numpy(), alone.numpy(), atol=ROUNDING, what=pooling)


def test_classifier_head_is_kept_until_something_it_depends_on_changes(tmp_path: Path, folder: Path) -> None:
    model = HfClassifier(path=str(hf_toys.encoder(folder)))
    base = get(model, CLASSES, tmp_path)
    assert get(model, CLASSES, tmp_path) == base
    flipped = attrs.evolve(CLASSES.train, labels=1 - CLASSES.train.labels)
    others = [
        get(attrs.evolve(model, pooling="cls"), CLASSES, tmp_path),
        get(attrs.evolve(model, head_c=0.1), CLASSES, tmp_path),
        get(attrs.evolve(model, max_length=4), CLASSES, tmp_path),
        get(model, attrs.evolve(CLASSES, source=flipped), tmp_path),
        get(model, attrs.evolve(CLASSES, classes=("a", "b", "c")), tmp_path),
    ]
    heads = {source.files[-1] for source in (base, *others)}
    assert len(heads) == 6
    assert {source.files[0] for source in others} == {base.files[0]}


def test_classifier_class_without_examples_is_unlikely_and_finite(tmp_path: Path, folder: Path) -> None:
    model = HfClassifier(path=str(hf_toys.encoder(folder)))
    head = load_file(get(model, attrs.evolve(CLASSES, classes=("a", "b", "c")), tmp_path).files[-1])
    assert not head["head.weight"][2].any()
    assert torch.isfinite(head["head.bias"]).all()
    assert head["head.bias"][2] == head["head.bias"].min()


def test_classifier_of_a_single_class_is_refused(tmp_path: Path, folder: Path) -> None:
    one = attrs.evolve(CLASSES.train, labels=CLASSES.train.labels * 0)
    model = HfClassifier(path=str(hf_toys.encoder(folder)))
    said = message(lambda: get(model, attrs.evolve(CLASSES, train=one), tmp_path))
    assert said == "model hf-classifier: all texts for fitting its head have the same class"


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("signal", "weakest", "strongest"), [(0.0, 0.0, 1e-2), (6.0, 1e-1, 100.0)])
def test_penalty_of_the_head_is_that_of_least_cross_validated_loss(
    classes: int, signal: float, weakest: float, strongest: float
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    from boostlora.plugins.models._hf.probe import FOLDS, STRENGTHS, choose_strength

    rng = np.random.default_rng(classes)
    labels = np.arange(150) % classes
    rows = rng.standard_normal((150, 20))
    rows[:, 0] += signal * labels
    found = choose_strength(rows, labels, biased=True)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    losses = [
        -cross_val_score(
            LogisticRegression(C=C, max_iter=1000), rows, labels, cv=folds, scoring="neg_log_loss"
        ).mean()
        for C in STRENGTHS
    ]
    assert losses[STRENGTHS.index(found)] == pytest.approx(min(losses), rel=1e-3)
    assert weakest <= found <= strongest


def test_penalty_of_the_head_for_few_rows_or_rare_classes_needs_no_cross_validation() -> None:
    from boostlora.plugins.models._hf.probe import FEWEST_ROWS, STRENGTHS, choose_strength

    rows = np.random.default_rng(0).standard_normal((40, 3))
    few = np.arange(FEWEST_ROWS - 1)
    assert choose_strength(rows[few], few % 2, biased=True) == 1.0
    assert choose_strength(rows, np.arange(40) % 20, biased=True) == 1.0
    rare = np.arange(40) % 2
    rare[0] = 2  # missing from the training rows of one fold
    assert choose_strength(rows, rare, biased=False) in STRENGTHS


def test_head_of_values_gets_the_penalty_of_least_cross_validated_error() -> None:
    from boostlora.plugins.models._hf.probe import fit_values

    rng = np.random.default_rng(0)
    rows, new = rng.standard_normal((40, 30)), rng.standard_normal((500, 30))
    truth = rng.standard_normal(30)
    values = (rows @ truth + 5.0 * rng.standard_normal(40))[:, None]

    def error(strength: float) -> float:
        W, b = fit_values(rows, values, strength, biased=True)
        return float(np.mean((new @ W.T + b - (new @ truth)[:, None]) ** 2))

    assert error(0.0) < 0.7 * error(1e6)
