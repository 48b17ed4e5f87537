"""The multilayer perceptron: forward pass and manual backward pass.

Forward: `H_0 = X`, `Z_l = H_{l-1} W_l^T + b_l`, `H_l = f(Z_l)` in the hidden layers, logits `Z_L` from the head. Backward:
`G_L = dL/dZ_L`, `G_{l-1} = (G_l W_l) * f'(Z_{l-1})`, and `dL/dW_l = G_l^T H_{l-1}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import ArrayLike

from .arrays import Matrix
from .deltas import Delta

# Each activation with its derivative as a function of its output.
ACTIVATIONS: Mapping[str, tuple[Callable[[Matrix], Matrix], Callable[[Matrix], Matrix]]] = {
    "relu": (lambda Z: np.maximum(Z, 0.0), lambda H: (H > 0.0).astype(H.dtype)),
    "tanh": (np.tanh, lambda H: 1.0 - H**2),
}


@attrs.frozen(eq=False)
class Tape:
    """The input of every layer, saved for the backward pass."""

    inputs: tuple[Matrix, ...]


@attrs.frozen(eq=False)
class Mlp:
    """The architecture `mlp`; `config` has `hidden` (widths) and `activation`."""

    config: Mapping[str, Any]

    @property
    def predicts_tokens(self) -> bool:
        """False: it predicts classes."""
        return False

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the required weights."""
        return frozenset(f"{layer}.{kind}" for layer in self.layers for kind in ("weight", "bias"))

    @property
    def linears(self) -> frozenset[str]:
        """Names of the adaptable weights."""
        return frozenset(f"{layer}.weight" for layer in self.layers)

    @property
    def layers(self) -> list[str]:
        """Module paths, from input to head."""
        return [f"layers.{i}" for i in range(len(self.config["hidden"]))] + ["head"]

    def forward(
        self, weights: Mapping[str, Matrix], inputs: ArrayLike, deltas: Mapping[str, Delta]
    ) -> tuple[Matrix, Tape]:
        """Logits `(n, classes)` and the tape."""
        activate, _ = ACTIVATIONS[self.config["activation"]]
        dtype = weights["head.weight"].dtype
        H, saved = np.asarray(inputs, dtype=dtype), list[Matrix]()
        for layer in self.layers:
            saved.append(H)
            name = f"{layer}.weight"
            Z = H @ weights[name].T + weights[f"{layer}.bias"]
            if name in deltas:
                Z = Z + deltas[name].forward(H)
            H = Z if layer == "head" else activate(Z)
        return H, Tape(tuple(saved))

    def backward(
        self, weights: Mapping[str, Matrix], tape: Tape, G: Matrix, deltas: Mapping[str, Delta]
    ) -> dict[str, tuple[Matrix, Matrix]]:
        """For every weight the pair `(X, G)` of its input and output gradient; `dL/dW = G^T X`."""
        _, derivative = ACTIVATIONS[self.config["activation"]]
        pairs = dict[str, tuple[Matrix, Matrix]]()
        for layer, X in reversed(list(zip(self.layers, tape.inputs, strict=True))):
            name = f"{layer}.weight"
            pairs[name] = (X, G)
            if layer == self.layers[0]:
                break
            G_in = G @ weights[name]
            if name in deltas:
                G_in = G_in + deltas[name].backward(G)
            # X is `H_{l-1}`, and the derivative is a function of the output.
            G = G_in * derivative(X)
        return pairs
