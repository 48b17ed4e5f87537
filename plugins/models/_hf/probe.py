"""Linear probing: a classifier's head, fitted to the frozen encoder's features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol, Self

import numpy as np
import sklearn
import torch
import transformers
from numpy.typing import NDArray
from scipy.special import log_softmax

from ....engine.contracts import Blueprint, Examples, Tokens
from ....engine.errors import UsageError
from ....engine.foundation.cache import Cached, arrays_sha256, cached, key_of
from ....engine.foundation.run_context import Report, RunContext

BATCH_TOKENS = 4096
"""Tokens per batch, including padding: about 100 MB of activations for a small encoder."""

STRENGTHS = tuple(float(s) for s in 10.0 ** np.arange(-4, 1.5, 0.5))
"""Inverse strengths of the penalty among which cross-validation chooses, the strongest penalty first."""
VALUE_STRENGTHS = tuple(float(s) for s in 10.0 ** np.arange(-5, 2))
"""The same for values; the penalty of a ridge regression is not divided by the number of rows."""
FOLDS = 5
MOST_WORK = 10**8
"""Rows times features times classes for cross-validation; of more rows, a random sample: about a minute on one core."""
FEWEST_ROWS = 10
"""Rows from which there is a cross-validation; for fewer the inverse strength is 1."""

MIN_RELATIVE_SCALE = 1e-3
"""Lower bound of a feature's standard deviation, relative to the RMS over features: dividing by a rounding error would give unbounded
weights."""


Arrays = dict[str, NDArray[np.float32]]
Matrix = NDArray[np.float64]


class Probed(Protocol):
    """A module whose last layer is fitted to its own inputs."""

    @property
    def padding(self) -> int:
        """The token that pads a batch; its positions are masked."""
        ...

    @property
    def biased(self) -> bool:
        """Whether the last layer has a bias."""
        ...

    def to(self, device: torch.device) -> Self:
        """The module on a device."""
        ...

    def features(self, **batch: torch.Tensor) -> torch.Tensor:
        """The inputs of the last layer `(n, d)`."""
        ...

    def head_of(self, weight: Matrix, bias: Matrix) -> Arrays:
        """The head's parameters by name, from the last layer's fitted weight `(outputs, d)` and bias `(outputs,)`."""
        ...


def probe(
    build: Callable[[Blueprint, torch.dtype], Probed],
    blueprint: Blueprint,
    data: Examples,
    *,
    weights: str,
    strength: float,
    context: RunContext,
    seed: int | None = None,
) -> Cached:
    """The head for encoded `data`, cached by everything that it depends on.

    The key has the encoder (`weights` is the hash of its files), tokens, labels, options, library versions, and the device type:
    features are computed on a GPU if there is one, always in float32. `seed` is what `build` initialises other layers of the head
    with; None if it has none.
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
            **({} if seed is None else {"seed": seed}),
        }
    )

    def fit() -> Arrays:
        net = build(blueprint, torch.float32)
        rows = features(net, data.inputs, device, context.report)
        if data.values is not None:
            return net.head_of(*fit_values(rows, data.values.standardised, strength, biased=net.biased))
        classes = blueprint.config["classes"]
        return net.head_of(*fit_head(rows, data.labels, classes, strength, biased=net.biased))

    return cached(context.cache / "models", key, fit)


def features(net: Probed, tokens: Tokens, device: torch.device, report: Report) -> NDArray[np.float64]:
    """Inputs of the last layer `(n, d)`, batched by length."""
    order = np.argsort(tokens.lengths, kind="stable")[::-1]
    lengths, found = tokens.lengths[order].tolist(), list[NDArray[np.float64]]()
    net = net.to(device)
    start = 0
    while start < len(order):
        size = max(1, BATCH_TOKENS // lengths[start])
        batch = _padded(tokens[order[start : start + size]], net.padding, device)
        with torch.inference_mode():
            found.append(net.features(**batch).double().cpu().numpy())
        start += size
        report("features", min(start, len(order)), len(order))
    rows = np.concatenate(found)
    return rows[np.argsort(order, kind="stable")]


def _padded(tokens: Tokens, padding: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Right-padded sequences with their mask."""
    longest = int(tokens.lengths.max())
    mask = np.arange(longest) < tokens.lengths[:, None]

    def laid(values: NDArray[Any], rest: int) -> torch.Tensor:
        square = np.full(mask.shape, rest, dtype=np.int64)
        square[mask] = values
        return torch.from_numpy(square).to(device)

    found = {
        "input_ids": laid(tokens.ids, padding),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)).to(device),
    }
    return found if tokens.types is None else {**found, "token_type_ids": laid(tokens.types, 0)}


def fit_head(
    rows: Matrix, labels: NDArray[np.int64], classes: int, strength: float, *, biased: bool
) -> tuple[Matrix, Matrix]:
    """Weight `(classes, d)` and bias `(classes,)` of a logistic regression; `strength` is scikit-learn's `C`, 0 chooses it.

    It is fitted to standardised features `z = (x - m) / s` (s bounded by `MIN_RELATIVE_SCALE`), and mapped back by
    `W z + b = (W / s) x + (b - W m / s)`; a layer that is not `biased` has `m = 0` and `b = 0`. For two classes it has one log-odds z,
    which equals logits `(0, z)`. A class without examples gets weight 0 and, if there are biases, the smallest other one minus
    `log n`, as a class rarer than one in n. Raises `UsageError` for a single class.
    """
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - a second to import
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    if len(np.unique(labels)) < 2:
        raise UsageError("model hf-classifier: all texts for fitting its head have the same class")
    m, s = _scale(rows, biased=biased)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # only the start of boosting
        strength = strength or choose_strength((rows - m) / s, labels, biased=biased)
        model: Any = LogisticRegression(C=strength, max_iter=1000, fit_intercept=biased)
        fitted: Any = model.fit((rows - m) / s, labels)
    W = fitted.coef_ / s
    b = fitted.intercept_ - W @ m
    if len(W) == 1:
        W, b = np.vstack([np.zeros_like(W), W]), np.concatenate([[0.0], b])
    weight = np.zeros((classes, rows.shape[1]))
    bias = np.full(classes, b.min() - np.log(len(labels)))
    weight[fitted.classes_], bias[fitted.classes_] = W, b
    return weight, bias


def choose_strength(rows: Matrix, labels: NDArray[np.int64], *, biased: bool) -> float:
    """The inverse strength of the penalty with the least cross-validated loss, on standardised features `(n, d)`.

    A head that fits its few training rows exactly is sure of every one of them: boosting from it finds no gradient, and the loss on
    other rows is many times that of a penalised head. Rows of a class that is missing from the other folds are not counted.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415

    rng = np.random.default_rng(0)
    most = max(FEWEST_ROWS, MOST_WORK // (rows.shape[1] * len(np.unique(labels))))
    some = np.sort(rng.permutation(len(rows))[:most])
    rows, labels = rows[some], labels[some]
    if len(rows) < FEWEST_ROWS or np.count_nonzero(np.bincount(labels) >= FOLDS) < 2:
        return 1.0  # some folds would have a single class
    losses = np.zeros(len(STRENGTHS))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels))
    for fitted_on, left_out in folds:
        model: Any = LogisticRegression(max_iter=200, tol=1e-3, fit_intercept=biased, warm_start=True)
        for i, strength in enumerate(STRENGTHS):  # each starts where the stronger penalty ended
            model.set_params(C=strength).fit(rows[fitted_on], labels[fitted_on])
            known = left_out[np.isin(labels[left_out], model.classes_)]
            z = model.decision_function(rows[known])
            log_p = log_softmax(z if z.ndim == 2 else np.stack([np.zeros_like(z), z], axis=1), axis=1)
            losses[i] -= log_p[np.arange(len(known)), np.searchsorted(model.classes_, labels[known])].sum()
    return STRENGTHS[int(np.argmin(losses))]


def fit_values(rows: Matrix, values: Matrix, strength: float, *, biased: bool) -> tuple[Matrix, Matrix]:
    """Weight `(1, d)` and bias `(1,)` of a ridge regression with penalty `1 / strength`, on features standardised as in `fit_head`.

    0 chooses the penalty by leave-one-out cross-validation.
    """
    from sklearn.linear_model import Ridge, RidgeCV  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    m, s = _scale(rows, biased=biased)
    with threadpool_limits(1):
        model: Any = (
            Ridge(alpha=1.0 / strength, fit_intercept=biased)
            if strength
            else RidgeCV(alphas=[1.0 / s for s in VALUE_STRENGTHS], fit_intercept=biased)
        )
        fitted: Any = model.fit((rows - m) / s, values)
    W = np.atleast_2d(fitted.coef_) / s
    return W, np.atleast_1d(fitted.intercept_) - W @ m


def _scale(rows: Matrix, *, biased: bool) -> tuple[Matrix, Matrix]:
    """Means and standard deviations `(d,)` of features, these bounded from below; 0 and root mean squares for a layer without a bias."""
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    scaler: Any = StandardScaler().fit(rows)
    m = np.asarray(scaler.mean_) if biased else np.zeros(rows.shape[1])
    spread = np.asarray(scaler.scale_) if biased else np.sqrt(np.mean(rows**2, axis=0))
    return m, np.maximum(spread, MIN_RELATIVE_SCALE * np.sqrt(np.mean(spread**2)))
