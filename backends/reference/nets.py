"""The architectures of this backend, by name."""

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
    """A configured architecture, without weights."""

    @property
    def predicts_tokens(self) -> bool:
        """Whether it predicts the tokens of completions rather than a class."""
        ...

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the required weights."""
        ...

    @property
    def linears(self) -> frozenset[str]:
        """Names of the adaptable weights."""
        ...

    def forward(
        self, weights: Mapping[str, Matrix], inputs: Any, deltas: Mapping[str, Delta]
    ) -> tuple[Matrix, Any]:
        """Logits, one row per target, and the tape for the backward pass."""
        ...

    def backward(
        self, weights: Mapping[str, Matrix], tape: Any, G: Matrix, deltas: Mapping[str, Delta]
    ) -> dict[str, tuple[Matrix, Matrix]]:
        """From `G = dL/dlogits`, the pair `(X, G)` of every site; `dL/dW = G^T X`."""
        ...


FindTable = Callable[[str], Matrix | None]
"""Finds a stored table by the suffix of its name; None if the files have none."""


def make_net(blueprint: Blueprint, sites: Iterable[str], find_table: FindTable = lambda _: None) -> Net:
    """The net of a blueprint, with a backward pass for `sites`.

    Raises `UsageError` for an unsupported architecture, setting or site; no weight is read.
    """
    name, wanted = blueprint.architecture, frozenset(sites)
    if name not in ARCHITECTURES:
        raise UsageError(
            f'the reference backend does not support the architecture "{name}"; supported: {", ".join(ARCHITECTURES)}'
        )
    family, _, kind = name.partition("/")
    try:
        net = _of(family, kind, blueprint.config, wanted, find_table)
    except KeyError as error:
        raise UsageError(f"{name}: the model's configuration has no {error}") from error
    if strange := sorted(wanted - net.linears):
        raise UsageError(f"{strange[0]}: not a linear layer that the reference backend can adapt in {name}")
    return net


def _of(
    family: str, kind: str, config: Mapping[str, Any], sites: frozenset[str], find_table: FindTable
) -> Net:
    match family:
        case "causal-lm":
            return CausalLM(kind, config, sites)
        case "classifier":
            return Classifier(kind, config, sites, find_table)
        case _:
            return Mlp(config)
