"""Forward and backward pass through a stack of transformer blocks.

With gradient checkpointing: the forward pass saves only the input of every block, and the backward pass recomputes the block.
That costs a third more time and saves most activation memory. The backward pass ends at the lowest block with a site.
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
    """Token positions: `offsets (n + 1,)` of the sequences, and the cosines and sines of rotary angles."""

    offsets: Index
    rotary: tuple[Matrix, Matrix] | None = None


class Backbone(Protocol):
    """A transformer without its head: embeddings, blocks, final norm."""

    @property
    def layers(self) -> int:
        """Number of blocks."""
        ...

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the required weights."""
        ...

    @property
    def modules(self) -> tuple[str, ...]:
        """The linear layers of one block, below `block_path`."""
        ...

    def block_path(self, layer: int) -> str:
        """Path of a block."""
        ...

    def layout(self, tokens: Tokens, dtype: np.dtype[Any]) -> Layout:
        """The positions of the tokens."""
        ...

    def embed(self, weights: Mapping[str, Matrix], tokens: Tokens) -> Matrix:
        """Embeddings `X (tokens, d)`."""
        ...

    def block(self, linears: Linears, layer: int, X: Matrix, layout: Layout) -> tuple[Matrix, Any]:
        """The block's output, and its activations for the backward pass."""
        ...

    def block_backward(self, linears: Linears, layer: int, cache: Any, G: Matrix, layout: Layout) -> Matrix:
        """`dL/dX` of the block's input."""
        ...

    def final_norm(self, weights: Mapping[str, Matrix], X: Matrix) -> Matrix:
        """The hidden states `(tokens, d)` for the head."""
        ...

    def final_norm_backward(self, weights: Mapping[str, Matrix], X: Matrix, G: Matrix) -> Matrix:
        """`dL/dX` of the last block's output."""
        ...


@attrs.frozen(eq=False)
class ForwardPass:
    """Result of the forward pass: the layout, saved block inputs by layer, and the last block's output."""

    layout: Layout
    inputs: Mapping[int, Matrix]
    output: Matrix


def positions(tokens: Tokens) -> Index:
    """Every token's position in its sequence, from 0 `(tokens,)`."""
    return np.arange(len(tokens.ids), dtype=np.int64) - np.repeat(tokens.offsets[:-1], tokens.lengths)


def linear_weights(backbone: Backbone) -> frozenset[str]:
    """Names of all linear weights in the blocks."""
    paths = (backbone.block_path(layer) for layer in range(backbone.layers))
    return frozenset(f"{path}.{module}.weight" for path in paths for module in backbone.modules)


def lowest_block(sites: frozenset[str] | None, layers: int) -> int:
    """The lowest block with a site; `layers` if no block has one, 0 if `sites` is None."""
    if sites is None:
        return 0
    numbers = [re.search(r"\.layers?\.(\d+)\.", site) for site in sites]
    return min((int(found[1]) for found in numbers if found), default=layers)


def stack_forward(backbone: Backbone, linears: Linears, tokens: Tokens, lowest: int) -> ForwardPass:
    """Run all blocks, saving the inputs of those from `lowest` on."""
    X = backbone.embed(linears.weights, tokens)
    layout, inputs = backbone.layout(tokens, X.dtype), dict[int, Matrix]()
    for layer in range(backbone.layers):
        if layer >= lowest:
            inputs[layer] = X
        X, _ = backbone.block(linears, layer, X, layout)
    return ForwardPass(layout, inputs, X)


def stack_backward(backbone: Backbone, linears: Linears, forward: ForwardPass, G: Matrix) -> None:
    """Backpropagate `G = dL/d(output)` to the lowest saved block; fills `linears.pairs`."""
    for layer in sorted(forward.inputs, reverse=True):
        _, cache = backbone.block(linears, layer, forward.inputs[layer], forward.layout)
        G = backbone.block_backward(linears, layer, cache, G, forward.layout)
