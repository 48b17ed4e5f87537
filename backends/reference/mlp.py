"""The multilayer perceptron: forward pass, and the backward pass by hand.

`H_0 = X`, `Z_l = H_{l-1} W_l^T + b_l`, `H_l = f(Z_l)` for the hidden layers, and logits `Z_L` from the head. Backwards,
`G_L = dL/dZ_L` and `G_{l-1} = (G_l W_l) * f'(Z_{l-1})`; the gradient of a weight is `G_l^T H_{l-1}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

from .arrays import Matrix
from .deltas import Delta

# Each activation with its derivative written in terms of its own output.
ACTIVATIONS: Mapping[str, tuple[Callable[[Matrix], Matrix], Callable[[Matrix], Matrix]]] = {
    "relu": (lambda Z: np.maximum(Z, 0.0), lambda H: (H > 0.0).astype(H.dtype)),
    "tanh": (np.tanh, lambda H: 1.0 - H**2),
}


@attrs.frozen(eq=False)
class Tape:
    """What the backward pass needs: the input of every layer, in order."""

    inputs: tuple[Matrix, ...]


@attrs.frozen(eq=False)
class Mlp:
    """The architecture `mlp`: `config` has `hidden` (widths) and `activation`."""

    config: Mapping[str, Any]

    @property
    def completes(self) -> bool:
        """It predicts classes."""
        return False

    @property
    def parameters(self) -> frozenset[str]:
        """The weights it needs."""
        return frozenset(f"{layer}.{kind}" for layer in self.layers for kind in ("weight", "bias"))

    @property
    def linears(self) -> frozenset[str]:
        """The weights that may be adapted."""
        return frozenset(f"{layer}.weight" for layer in self.layers)

    @property
    def layers(self) -> list[str]:
        """Module paths, from input to head."""
        return [f"layers.{i}" for i in range(len(self.config["hidden"]))] + ["head"]

    def forward(
        self, weights: Mapping[str, Matrix], inputs: Any, deltas: Mapping[str, Delta]
    ) -> tuple[Matrix, Tape]:
        """Logits `(n, classes)`, and the tape."""
        activate, _ = ACTIVATIONS[self.config["activation"]]
        dtype = weights["head.weight"].dtype
        H, taped = np.asarray(inputs, dtype=dtype), list[Matrix]()
        for layer in self.layers:
            taped.append(H)
            name = f"{layer}.weight"
            Z = H @ weights[name].T + weights[f"{layer}.bias"]
            if name in deltas:
                Z = Z + deltas[name].forward(H)
            H = Z if layer == "head" else activate(Z)
        return H, Tape(tuple(taped))

    def backward(
        self, weights: Mapping[str, Matrix], tape: Tape, G: Matrix, deltas: Mapping[str, Delta]
    ) -> dict[str, tuple[Matrix, Matrix]]:
        """For every weight the pair `(X, G)` of its input and its output's gradient; `dL/dW = G^T X`."""
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
            G = G_in * derivative(X)
        return pairs
