"""A stack of transformer blocks, up and down.

Going up, only the input of every block is kept; going down, a block is computed once more to have what its backward pass
needs. That costs a third more time and saves nearly all memory of activations. The way down ends at the lowest block that has
a weight to be trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import attrs
import numpy as np

from ...engine.contracts import Tokens
from .arrays import Index, Matrix
from .layers import Linears


@attrs.frozen(eq=False)
class Layout:
    """Where tokens stand: `offsets (n + 1,)` of the sequences, and the cosines and sines of rotary positions."""

    offsets: Index
    turn: tuple[Matrix, Matrix] | None = None


class Body(Protocol):
    """A transformer without its head: embeddings, blocks, a last norm."""

    @property
    def layers(self) -> int:
        """How many blocks."""
        ...

    @property
    def parameters(self) -> frozenset[str]:
        """The weights it needs."""
        ...

    @property
    def modules(self) -> tuple[str, ...]:
        """The linear layers of one block, below `block_path`."""
        ...

    def block_path(self, layer: int) -> str:
        """Path of a block."""
        ...

    def place(self, tokens: Tokens, dtype: np.dtype[Any]) -> Layout:
        """What the blocks have to know of the tokens' places."""
        ...

    def embed(self, weights: Mapping[str, Matrix], tokens: Tokens) -> Matrix:
        """`X (tokens, d)`."""
        ...

    def block(self, linears: Linears, layer: int, X: Matrix, layout: Layout) -> tuple[Matrix, Any]:
        """The block's output, and what its backward pass needs."""
        ...

    def block_backward(self, linears: Linears, layer: int, seen: Any, G: Matrix, layout: Layout) -> Matrix:
        """`dL/dX` of the block's input."""
        ...

    def finish(self, weights: Mapping[str, Matrix], X: Matrix) -> Matrix:
        """The hidden states that the head sees."""
        ...

    def finish_backward(self, weights: Mapping[str, Matrix], X: Matrix, G: Matrix) -> Matrix:
        """`dL/dX` of the last block's output."""
        ...


@attrs.frozen(eq=False)
class StackPass:
    """What going up left: the layout, the inputs of the blocks that will be descended, and the last output."""

    layout: Layout
    inputs: Mapping[int, Matrix]
    top: Matrix


def positions(tokens: Tokens) -> Index:
    """Every token's place in its own sequence, from 0 `(tokens,)`."""
    return np.arange(len(tokens.ids), dtype=np.int64) - np.repeat(tokens.offsets[:-1], tokens.lengths)


def linear_weights(body: Body) -> frozenset[str]:
    """Every linear weight of the blocks."""
    paths = (body.block_path(layer) for layer in range(body.layers))
    return frozenset(f"{path}.{module}.weight" for path in paths for module in body.modules)


def lowest_block(sites: frozenset[str] | None, layers: int) -> int:
    """The lowest block with a site; `layers` where there is none."""
    if sites is None:
        return 0
    numbers = [re.search(r"\.layers?\.(\d+)\.", site) for site in sites]
    return min((int(found[1]) for found in numbers if found), default=layers)


def climb(body: Body, linears: Linears, tokens: Tokens, lowest: int) -> StackPass:
    """From tokens to the output of the last block."""
    X = body.embed(linears.weights, tokens)
    layout, inputs = body.place(tokens, X.dtype), dict[int, Matrix]()
    for layer in range(body.layers):
        if layer >= lowest:
            inputs[layer] = X
        X, _ = body.block(linears, layer, X, layout)
    return StackPass(layout, inputs, X)


def descend(body: Body, linears: Linears, way: StackPass, G: Matrix) -> None:
    """From `G = dL/dX` at the top down to the lowest block kept; pairs of the linear layers are left in `linears`."""
    for layer in sorted(way.inputs, reverse=True):
        _, seen = body.block(linears, layer, way.inputs[layer], way.layout)
        G = body.block_backward(linears, layer, seen, G, way.layout)
