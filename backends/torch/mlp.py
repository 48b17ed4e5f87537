"""The multilayer perceptron as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...engine.contracts import Blueprint

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


class Mlp(nn.Module):
    """The architecture `mlp`: `layers.0`, `layers.1`, …, each followed by the activation, then a linear `head`."""

    def __init__(self, config: Mapping[str, Any], widths: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths[:-1]))
        self.head = nn.Linear(widths[-2], widths[-1])
        self.activate = ACTIVATIONS[config["activation"]]

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(n, classes)` for inputs `(n, d)`."""
        for layer in self.layers:
            x = self.activate(layer(x))
        return self.head(x)


def build(blueprint: Blueprint) -> Mlp:
    """An MLP with the blueprint's widths and uninitialised weights."""
    matrices = [w.shape for w in blueprint.weights if len(w.shape) == 2]
    with torch.device("meta"):
        module = Mlp(blueprint.config, [matrices[0][1], *(shape[0] for shape in matrices)])
    return module.to_empty(device="cpu")
