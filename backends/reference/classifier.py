"""Classifiers of texts: an encoder or a decoder, a pooling over its tokens, a linear head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ...engine.contracts import Tokens
from .arrays import Matrix
from .decoder import Decoder
from .deltas import Delta
from .encoder_bert import Bert
from .encoder_esm import Esm
from .layers import Linears
from .pooled import POOLINGS, pool, pool_backward
from .settings import refuse
from .stack import Body, StackPass, climb, descend, linear_weights, lowest_block


@attrs.frozen(eq=False)
class Tape:
    """What the backward pass needs: the way up, the hidden states, and one vector a sequence."""

    way: StackPass
    H: Matrix
    pooled: Matrix


def body_of(kind: str, hf: Mapping[str, Any], stored: Callable[[str], Matrix | None]) -> Body:
    """The body of a model type; `stored` finds a table in the files by how its name ends."""
    match kind:
        case "bert":
            return Bert(hf)
        case "esm":
            return Esm(hf, stored("rotary_embeddings.inv_freq"))
        case _:
            return Decoder(kind, hf)


class Classifier:
    """The architectures `classifier/…`: `config` has `hf`, the Hugging Face configuration, and `pooling`."""

    completes = False

    def __init__(
        self,
        kind: str,
        config: Mapping[str, Any],
        sites: frozenset[str] | None,
        stored: Callable[[str], Matrix | None] = lambda _: None,
    ) -> None:
        self._body, self._sites = body_of(kind, config["hf"], stored), sites
        self._lowest = lowest_block(sites, self._body.layers)
        self._pooling: str = config["pooling"]
        if self._pooling not in POOLINGS:
            raise refuse("pooling", self._pooling, POOLINGS)

    @property
    def parameters(self) -> frozenset[str]:
        """The weights it needs."""
        return self._body.parameters | {"head.weight", "head.bias"}

    @property
    def linears(self) -> frozenset[str]:
        """The weights that may be adapted."""
        return linear_weights(self._body) | {"head.weight"}

    def forward(
        self, weights: Mapping[str, Matrix], inputs: Tokens, deltas: Mapping[str, Delta]
    ) -> tuple[Matrix, Tape]:
        """Logits `(n, classes)`, and the tape."""
        linears = Linears(weights, deltas)
        way = climb(self._body, linears, inputs, self._lowest)
        H = self._body.finish(weights, way.top)
        pooled = pool(H, inputs.offsets, self._pooling)
        return linears.forward("head", pooled), Tape(way, H, pooled)

    def backward(
        self, weights: Mapping[str, Matrix], tape: Tape, G: Matrix, deltas: Mapping[str, Delta]
    ) -> dict[str, tuple[Matrix, Matrix]]:
        """For every site the pair `(X, G)` of its input and its output's gradient; `dL/dW = G^T X`."""
        linears = Linears(weights, deltas, self._sites)
        dH = pool_backward(
            tape.H, tape.way.layout.offsets, self._pooling, linears.backward("head", tape.pooled, G)
        )
        descend(self._body, linears, tape.way, self._body.finish_backward(weights, tape.way.top, dH))
        return linears.pairs
