"""The tiny perceptron in a few lines of NumPy, independent of every backend: the suites' reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from ..contracts import DenseUpdate, Examples, ModelSource, Update


class ReferencePerceptron:
    """`tiny_mlp` in float64: tanh layers, a linear head, softmax; updates are added as dense matrices."""

    def __init__(self, source: ModelSource) -> None:
        self.weights = {name: x.astype(np.float64) for name, x in load_file(source.files[0]).items()}
        self.layers = [*(f"layers.{i}" for i in range(len(source.blueprint.config["hidden"]))), "head"]

    def merged(self, site: str, updates: Mapping[str, Update], scale: float = 1.0) -> NDArray[np.float64]:
        """`W_0 + s dW`."""
        W, update = self.weights[site], updates.get(site)
        if update is None:
            return W
        if isinstance(update, DenseUpdate):
            return W + scale * update.delta
        (a, b), frame = update.exponents, update.frame
        return W + scale * frame.U @ np.diag(frame.S**a) @ update.core @ np.diag(frame.S**b) @ frame.V.T

    def features(
        self, examples: Examples, updates: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> NDArray[np.float64]:
        """Inputs of the head `(n, d)`."""
        H = examples.inputs
        for layer in self.layers[:-1]:
            H = np.tanh(self._linear(layer, H, updates or {}, scale))
        return H

    def outputs(
        self, examples: Examples, updates: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> NDArray[np.float64]:
        """Logits of the classes, or standardised values `(n, 1)`."""
        return self._linear("head", self.features(examples, updates, scale), updates or {}, scale)

    def losses(
        self,
        examples: Examples,
        updates: Mapping[str, Update] | None = None,
        scale: float = 1.0,
        delta: float | None = None,
    ) -> NDArray[np.float64]:
        """Negative log-likelihood of every example `(n,)`, in nats; for values, the squared error, or the Huber loss with `delta`."""
        Z = self.outputs(examples, updates, scale)
        if examples.values is not None:
            return _residual_losses(Z[:, 0] - examples.values.standardised, delta)
        return np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(len(Z)), examples.labels]

    def _linear(
        self, layer: str, H: NDArray[np.float64], updates: Mapping[str, Update], scale: float
    ) -> NDArray[np.float64]:
        return H @ self.merged(f"{layer}.weight", updates, scale).T + self.weights[f"{layer}.bias"]


def _residual_losses(r: NDArray[np.float64], delta: float | None) -> NDArray[np.float64]:
    """`r^2`, or `r^2 / 2` for `|r| <= delta` and `delta (|r| - delta / 2)` beyond (Huber, 1964)."""
    if delta is None:
        return r * r
    near = np.minimum(np.abs(r), delta)
    return near**2 / 2.0 + delta * (np.abs(r) - near)
