"""Gradient oracles over plain matrices, to test data-driven bases without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..contracts import Factors, Products
from ..sdk.directions.complement import scaled
from .strategies import MatrixSite

Matrix = NDArray[np.float64]


class MatrixOracle:
    """By site, a gradient `G (d_out, d_in)`, inputs `X (n, d_in)` and a weight; counts passes and columns.

    The loss is `<G, W>`, so the gradient is constant while a probe trains.
    """

    def __init__(
        self,
        gradients: Mapping[str, Matrix],
        inputs: Mapping[str, Matrix] | None = None,
        weights: Mapping[str, Matrix] | None = None,
        parts: int = 1,
    ) -> None:
        self.gradients, self.inputs, self.weights = gradients, inputs or {}, weights or {}
        self.parts = parts
        """Batches per pass; a probe step uses one."""
        self.passes = 0
        """Passes over the examples."""
        self.columns = 0
        """Columns of the widest factor so far."""

    def gradient_products(
        self, *, right: Factors | None = None, left: Factors | None = None
    ) -> Mapping[str, Products]:
        """`G O` and `G' Q`."""
        right, left = right or {}, left or {}
        self._count(1, right, left)
        return {
            name: Products(
                right=self.gradients[name] @ right[name] if name in right else None,
                left=self.gradients[name].T @ left[name] if name in left else None,
            )
            for name in {**right, **left}
        }

    def activation_products(self, right: Factors) -> Factors:
        """`X' X O / n`."""
        self._count(1, right)
        return {
            name: self.inputs[name].T @ (self.inputs[name] @ factor) / len(self.inputs[name])
            for name, factor in right.items()
        }

    def weight(self, site: str) -> Matrix:
        """The site's weight."""
        return self.weights[site]

    def probe(self, rank: int, steps: int, lr: float) -> Mapping[str, tuple[Matrix, Matrix]]:
        """Plain gradient steps on `<G, B A>` from `B = 0` and a Gaussian `A'`, the same in every call."""
        self.passes += -(-steps // self.parts)
        self.columns = max(self.columns, rank)
        return {name: _trained(G, rank, steps, lr) for name, G in self.gradients.items()}

    def _count(self, passes: int, *requested: Factors) -> None:
        self.passes += passes
        self.columns = max(
            [self.columns, *(factor.shape[1] for factors in requested for factor in factors.values())]
        )


def _trained(G: Matrix, rank: int, steps: int, lr: float) -> tuple[Matrix, Matrix]:
    """`B (d_out, rank)`, `A' (d_in, rank)`; `G` is normalised to `||G||_F = 1`."""
    rng = np.random.default_rng([rank, *G.shape])
    B, At = np.zeros((G.shape[0], rank)), rng.standard_normal((G.shape[1], rank))
    G, size = scaled(G)
    G = G / size if size else G
    for _ in range(steps):
        B, At = B - lr * G @ At, At - lr * G.T @ B
    return B, At


def random_oracle(sites: Sequence[MatrixSite], rng: np.random.Generator, parts: int = 1) -> MatrixOracle:
    """Random gradients and inputs at every site, independent of its weight."""
    return MatrixOracle(
        gradients={site.name: rng.standard_normal(site.shape) for site in sites},
        inputs={site.name: rng.standard_normal((2 * site.shape[1], site.shape[1])) for site in sites},
        weights={site.name: site.merged for site in sites},
        parts=parts,
    )


def zero_oracle(sites: Sequence[MatrixSite]) -> MatrixOracle:
    """Zero gradients and zero inputs."""
    return MatrixOracle(
        gradients={site.name: np.zeros(site.shape) for site in sites},
        inputs={site.name: np.zeros((3, site.shape[1])) for site in sites},
        weights={site.name: site.merged for site in sites},
    )
