"""Linear probing: a classifier's head, fitted to the frozen encoder's features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
import torch
import transformers
from numpy.typing import NDArray

from ....engine.contracts import Blueprint, Examples, Tokens
from ....engine.errors import UsageError
from ....engine.foundation.cache import Cached, arrays_sha256, cached, key_of
from ....engine.foundation.run_context import Report, RunContext
from .classifier_net import Classifier

BATCH_TOKENS = 4096
"""Tokens per batch, including padding: about 100 MB of activations for a small encoder."""

MIN_RELATIVE_SCALE = 1e-3
"""Lower bound of a feature's standard deviation, relative to the RMS over features: dividing by a rounding error would give unbounded
weights."""


def probe(
    build: Callable[[Blueprint, torch.dtype], Classifier],
    blueprint: Blueprint,
    data: Examples,
    *,
    weights: str,
    strength: float,
    context: RunContext,
) -> Cached:
    """The head for encoded `data`, cached by everything that it depends on.

    The key has the encoder (`weights` is the hash of its files), tokens, labels, options, library versions, and the device type:
    features are computed on a GPU if there is one, always in float32.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    key = key_of(
        {
            "blueprint": [blueprint.architecture, blueprint.config],
            "weights": weights,
            "data": arrays_sha256({**data.inputs.arrays(), "labels": data.targets}),
            "strength": strength,
            "versions": [torch.__version__, transformers.__version__, sklearn.__version__],
            "device": device.type,
        }
    )

    def fit() -> dict[str, NDArray[np.float32]]:
        rows = features(build(blueprint, torch.float32), data.inputs, device, context.report)
        if data.values is not None:
            return fit_values(rows, data.values.standardised, strength)
        return fit_head(rows, data.labels, blueprint.config["classes"], strength)

    return cached(context.cache / "models", key, fit)


def features(net: Classifier, tokens: Tokens, device: torch.device, report: Report) -> NDArray[np.float64]:
    """Pooled hidden states `(n, d)`, batched by length."""
    order = np.argsort(tokens.lengths, kind="stable")[::-1]
    lengths, found = tokens.lengths[order].tolist(), list[NDArray[np.float64]]()
    net = net.to(device)
    start = 0
    while start < len(order):
        size = max(1, BATCH_TOKENS // lengths[start])
        batch = _padded(tokens[order[start : start + size]], device)
        with torch.inference_mode():
            found.append(net.features(**batch).double().cpu().numpy())
        start += size
        report("features", min(start, len(order)), len(order))
    rows = np.concatenate(found)
    return rows[np.argsort(order, kind="stable")]


def _padded(tokens: Tokens, device: torch.device) -> dict[str, torch.Tensor]:
    """Right-padded sequences with their mask."""
    longest = int(tokens.lengths.max())
    mask = np.arange(longest) < tokens.lengths[:, None]

    def laid(values: NDArray[Any]) -> torch.Tensor:
        square = np.zeros(mask.shape, dtype=np.int64)
        square[mask] = values
        return torch.from_numpy(square).to(device)

    found = {
        "input_ids": laid(tokens.ids),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(device),
    }
    return found if tokens.types is None else {**found, "token_type_ids": laid(tokens.types)}


def fit_head(
    rows: NDArray[np.float64], labels: NDArray[np.int64], classes: int, strength: float
) -> dict[str, NDArray[np.float32]]:
    """`head.weight (classes, d)` and `head.bias (classes,)` of a logistic regression; `strength` is scikit-learn's `C`.

    It is fitted to standardised features `z = (x - m) / s` (s bounded by `MIN_RELATIVE_SCALE`), and mapped back by
    `W z + b = (W / s) x + (b - W m / s)`. For two classes it has one log-odds z, which equals logits `(0, z)`. A class without examples
    gets weight 0 and the smallest other bias minus `log n`, as a class rarer than one in n. Raises `UsageError` for a single class.
    """
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - a second to import
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    if len(np.unique(labels)) < 2:
        raise UsageError("model hf-classifier: all texts for fitting its head have the same class")
    scaler = _scaler(rows)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # only the start of boosting
        fitted: Any = LogisticRegression(C=strength, max_iter=1000).fit(scaler.transform(rows), labels)
    W, b = _unscaled(scaler, fitted.coef_, fitted.intercept_)
    if len(W) == 1:
        W, b = np.vstack([np.zeros_like(W), W]), np.concatenate([[0.0], b])
    weight = np.zeros((classes, rows.shape[1]))
    bias = np.full(classes, b.min() - np.log(len(labels)))
    weight[fitted.classes_], bias[fitted.classes_] = W, b
    return {"head.weight": weight.astype(np.float32), "head.bias": bias.astype(np.float32)}


def fit_values(
    rows: NDArray[np.float64], values: NDArray[np.float64], strength: float
) -> dict[str, NDArray[np.float32]]:
    """`head.weight (1, d)` and `head.bias (1,)` of a ridge regression with penalty `1 / strength`, on standardised features."""
    from sklearn.linear_model import Ridge  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    scaler = _scaler(rows)
    with threadpool_limits(1):
        fitted: Any = Ridge(alpha=1.0 / strength).fit(scaler.transform(rows), values)
    W, b = _unscaled(scaler, np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_))
    return {"head.weight": W.astype(np.float32), "head.bias": b.astype(np.float32)}


def _scaler(rows: NDArray[np.float64]) -> Any:
    """`z = (x - m) / s`, with s bounded from below."""
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    scaler: Any = StandardScaler().fit(rows)
    spread: NDArray[np.float64] = np.asarray(scaler.scale_)
    scaler.scale_ = np.maximum(spread, MIN_RELATIVE_SCALE * np.sqrt(np.mean(spread**2)))
    return scaler


def _unscaled(
    scaler: Any, W: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The head for features that are not standardised: `(W / s) x + (b - W m / s)`."""
    W = W / np.asarray(scaler.scale_)
    return W, b - W @ scaler.mean_
