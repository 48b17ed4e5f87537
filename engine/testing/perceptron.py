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

    def losses(
        self, examples: Examples, updates: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> NDArray[np.float64]:
        """Negative log-likelihood of every example `(n,)`, in nats."""
        H = examples.inputs
        for layer in self.layers:
            Z = H @ self.merged(f"{layer}.weight", updates or {}, scale).T + self.weights[f"{layer}.bias"]
            H = np.tanh(Z) if layer != "head" else Z
        return np.log(np.exp(H).sum(axis=1)) - H[np.arange(len(H)), examples.labels]
