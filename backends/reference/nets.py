"""What this backend can compute: architectures by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ...engine.contracts import Blueprint
from ...engine.errors import UsageError
from .arrays import Matrix
from .causal_lm import CausalLM
from .classifier import Classifier
from .deltas import Delta
from .mlp import Mlp

ARCHITECTURES = (
    "mlp",
    "causal-lm/llama",
    "causal-lm/qwen2",
    "classifier/bert",
    "classifier/esm",
    "classifier/llama",
    "classifier/qwen2",
)


class Net(Protocol):
    """An architecture with its settings, without weights."""

    @property
    def completes(self) -> bool:
        """Whether it predicts tokens; if not, it predicts a class an example."""
        ...

    @property
    def parameters(self) -> frozenset[str]:
        """The weights it needs."""
        ...

    @property
    def linears(self) -> frozenset[str]:
        """The weights that may be adapted."""
        ...

    def forward(
        self, weights: Mapping[str, Matrix], inputs: Any, deltas: Mapping[str, Delta]
    ) -> tuple[Matrix, Any]:
        """Logits, a row for everything to be predicted, and what the backward pass needs."""
        ...

    def backward(
        self, weights: Mapping[str, Matrix], tape: Any, G: Matrix, deltas: Mapping[str, Delta]
    ) -> dict[str, tuple[Matrix, Matrix]]:
        """From `G = dL/dlogits`, for every site the pair `(X, G)`; `dL/dW = G^T X`."""
        ...


Stored = Callable[[str], Matrix | None]
"""A stored table by how its name ends; None where the files hold none."""


def make_net(blueprint: Blueprint, sites: Iterable[str], stored: Stored = lambda _: None) -> Net:
    """The net of a blueprint, whose backward pass is for `sites`.

    Raises `UsageError` for an architecture, a setting or a site that it cannot compute; no weight is needed to find out.
    """
    name, wanted = blueprint.architecture, frozenset(sites)
    if name not in ARCHITECTURES:
        raise UsageError(
            f'the reference backend does not know the architecture "{name}"; it knows: {", ".join(ARCHITECTURES)}'
        )
    family, _, kind = name.partition("/")
    try:
        net = _of(family, kind, blueprint.config, wanted, stored)
    except KeyError as error:
        raise UsageError(f"{name}: the model's configuration has no {error}") from error
    if strange := sorted(wanted - net.linears):
        raise UsageError(f"{strange[0]}: not a linear layer that the reference backend can adapt in {name}")
    return net


def _of(family: str, kind: str, config: Mapping[str, Any], sites: frozenset[str], stored: Stored) -> Net:
    match family:
        case "causal-lm":
            return CausalLM(kind, config, sites)
        case "classifier":
            return Classifier(kind, config, sites, stored)
        case _:
            return Mlp(config)
