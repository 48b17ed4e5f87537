"""Products with gradients and activations, computed from the pairs `(X, G)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Batch, Factors, Products
from ...engine.errors import NonFiniteError
from .arrays import Matrix

Pairs = Mapping[str, tuple[Matrix, Matrix]]
"""By site `(X, G)`: its input `X (n, d_in)` and `G = dL/dY (n, d_out)`; `dL/dW = G'X`."""


@attrs.define(kw_only=True, eq=False)
class ProductSums:
    """`sum_b s_b G_b'(X_b O)` and `sum_b s_b X_b'(G_b Q)` with `s_b = n_b / sum_b n_b`, summed in the factors' dtype."""

    right: Mapping[str, Matrix]
    left: Mapping[str, Matrix]
    GO: Mapping[str, Matrix]
    GQ: Mapping[str, Matrix]

    @classmethod
    def of(
        cls, right: Factors, left: Factors, shapes: Mapping[str, tuple[int, int]], dtype: np.dtype[Any]
    ) -> ProductSums:
        """Zero sums."""
        return cls(
            right={site: factor.astype(dtype) for site, factor in right.items()},
            left={site: factor.astype(dtype) for site, factor in left.items()},
            GO={site: np.zeros((shapes[site][0], factor.shape[1]), dtype) for site, factor in right.items()},
            GQ={site: np.zeros((shapes[site][1], factor.shape[1]), dtype) for site, factor in left.items()},
        )

    def add(self, batches: Sequence[Batch], compute: Callable[[Batch], tuple[float, Pairs]]) -> None:
        """Add all batches; `compute` returns a batch's loss and pairs. Raises `NonFiniteError` if a loss is NaN or Inf."""
        total = sum(int(batch.counts.sum()) for batch in batches)
        for batch in batches:
            if not len(batch):
                continue
            # Batches may differ in size: weighted by their examples, the sum is the mean over all of them.
            part = int(batch.counts.sum()) / total
            loss, pairs = compute(batch)
            if not np.isfinite(loss):
                raise NonFiniteError(f"gradient products: the loss of a batch is {loss}")
            for site, factor in self.right.items():
                X, G = pairs[site]
                # `G'(X O)`, from right to left: `G'X` would be a dense gradient of the weight's size.
                self.GO[site][:] += factor.dtype.type(part) * (G.T @ (X @ factor))
            for site, factor in self.left.items():
                X, G = pairs[site]
                self.GQ[site][:] += factor.dtype.type(part) * (X.T @ (G @ factor))

    def products(self) -> dict[str, Products]:
        """The products, by site. Raises `NonFiniteError`."""
        return {
            site: Products(
                right=_finite(self.GO[site], site, "gradient") if site in self.GO else None,
                left=_finite(self.GQ[site], site, "gradient") if site in self.GQ else None,
            )
            for site in dict.fromkeys((*self.right, *self.left))
        }


@attrs.define(eq=False)
class ActivationGram:
    """A delta of 0 that accumulates `w X'(X O)` of its site's input rows, and their weights `w`."""

    right: Matrix
    total: Matrix
    weight: float = 0.0
    share: float = 1.0
    """Weight of every row of the current forward pass."""

    @classmethod
    def of(cls, factor: NDArray[np.float64], dtype: np.dtype[Any]) -> ActivationGram:
        """Zero sums."""
        right = factor.astype(dtype)
        return cls(right, np.zeros_like(right))

    def forward(self, X: Matrix) -> Matrix:
        """Accumulate the input, and return 0."""
        self.total += self.total.dtype.type(self.share) * (X.T @ (X @ self.right))
        self.weight += self.share * len(X)
        # One column, which broadcasts over the layer's outputs.
        return np.zeros((len(X), 1), dtype=X.dtype)

    def backward(self, G: Matrix) -> Matrix:
        """0: the delta does not depend on its input."""
        return np.zeros((len(G), 1), dtype=G.dtype)

    def gradients(self, X: Matrix, G: Matrix) -> Mapping[str, Matrix]:
        """Empty: it has no parameters."""
        del X, G
        return {}


def row_shares(batch: Batch) -> NDArray[np.float64]:
    """Weight of each row of a batch. A rollout's weight is an advantage, so its count is used instead."""
    return batch.weights if batch.rollouts is None else batch.counts.astype(np.float64)


def weighted_means(grams: Mapping[str, ActivationGram]) -> dict[str, NDArray[np.float64]]:
    """`X' diag(w) X O / sum w` of every site; 0 without rows. Raises `NonFiniteError`."""
    # With a total weight of 0 the sum is 0 too: dividing by 1 avoids 0 / 0.
    means = {site: gram.total / gram.total.dtype.type(gram.weight or 1.0) for site, gram in grams.items()}
    return {site: _finite(means[site], site, "activations") for site in means}


def _finite(found: Matrix, site: str, what: str) -> NDArray[np.float64]:
    if not np.isfinite(found).all():
        raise NonFiniteError(f"{site}: products with its {what} contain NaN or Inf")
    return found.astype(np.float64)
