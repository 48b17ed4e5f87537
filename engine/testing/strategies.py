"""Hypothesis strategies and small synthetic data, models and sites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from ..contracts import Blueprint, Examples, Frame, ModelSource, Outcome, Site, Values, WeightInfo
from ..foundation.atomic import file_sha256

contract_settings = settings(
    deadline=None,  # shared machines stall; a slow example is no failure
    suppress_health_check=[HealthCheck.differing_executors],  # the suites are inherited by design
)

seeds = st.integers(0, 2**32 - 1)


def make_outcome(correct: NDArray[np.bool_], rng: np.random.Generator) -> Outcome:
    """An outcome with the given correctness; wrong examples have larger losses, ids are shuffled."""
    n = len(correct)
    loss = np.where(correct, rng.uniform(0.0, 0.6, n), rng.uniform(0.7, 4.0, n))
    ids = rng.permutation(10 * n)[:n].astype(np.int64)
    prediction = rng.integers(0, 3, n)
    return Outcome(ids=ids, prediction=prediction, loss=loss, correct=correct, reward=correct.astype(float))


@st.composite
def outcomes(draw: st.DrawFn, min_size: int = 1, max_size: int = 60) -> Outcome:
    """Outcomes with any mixture of right and wrong examples."""
    correct = draw(st.lists(st.booleans(), min_size=min_size, max_size=max_size))
    return make_outcome(np.array(correct, dtype=np.bool_), np.random.default_rng(draw(seeds)))


class MatrixSite:
    """A site view over a plain matrix, decomposed by NumPy, to test bases without a model; `depth` limits its directions."""

    def __init__(
        self, W: NDArray[np.float64], merged: NDArray[np.float64] | None = None, depth: int | None = None
    ) -> None:
        self.W, self.merged = W, W if merged is None else merged
        self.depth = min(W.shape) if depth is None else depth
        self.name, self.used = "layers.0.weight", list[Frame]()

    @property
    def shape(self) -> tuple[int, int]:
        """`(d_out, d_in)`."""
        return self.W.shape[0], self.W.shape[1]

    def directions(self, indices: Sequence[int] | range) -> Frame:
        """Singular triplets of `W`. Raises IndexError beyond `depth`, as in a run."""
        beyond = [int(i) for i in indices if not 0 <= i < self.depth]
        if beyond:
            raise IndexError(
                f"directions {beyond} of {self.name} requested, but depth() declared {self.depth}"
            )
        return _triplets(self.W).take(indices)

    def merged_directions(self, count: int) -> Frame:
        """Leading triplets of the merged matrix."""
        return _triplets(self.merged).take(range(count))

    def rms_singular_value(self) -> float:
        """Root mean square singular value."""
        return float(np.linalg.norm(self.W) / np.sqrt(min(self.W.shape)))


def _triplets(W: NDArray[np.float64]) -> Frame:
    U, S, Vt = np.linalg.svd(W, full_matrices=False)
    sign = np.where(U[np.argmax(np.abs(U), axis=0), np.arange(U.shape[1])] < 0, -1.0, 1.0)
    return Frame(U=U * sign, S=S, V=Vt.T * sign)


SITES = (
    Site(name="layers.0.self_attn.q_proj.weight", shape=(9, 7), layer=0),
    Site(name="layers.0.self_attn.v_proj.weight", shape=(5, 7), layer=0),
    Site(name="layers.1.self_attn.q_proj.weight", shape=(9, 7), layer=1),
    Site(name="layers.1.self_attn.v_proj.weight", shape=(5, 7), layer=1),
)
"""Sites of a small transformer."""


def tiny_mlp(
    folder: Path,
    seed: int = 0,
    *,
    hidden: tuple[int, ...] = (6, 5),
    activation: str = "tanh",
    outputs: int = 3,
) -> ModelSource:
    """A random perceptron with 4 inputs and 3 classes, or 1 value, in a safetensors file."""
    rng = np.random.default_rng(seed)
    widths, tensors, weights = (4, *hidden, outputs), dict[str, Any](), list[WeightInfo]()
    for i in range(len(widths) - 1):
        name = "head" if i == len(hidden) else f"layers.{i}"
        shape = (widths[i + 1], widths[i])
        tensors[f"{name}.weight"] = rng.standard_normal(shape).astype(np.float32)
        tensors[f"{name}.bias"] = rng.standard_normal(shape[0]).astype(np.float32)
        weights.append(
            WeightInfo(name=f"{name}.weight", shape=shape, role="head" if name == "head" else "linear")
        )
        weights.append(WeightInfo(name=f"{name}.bias", shape=shape[:1]))
    path = folder / f"mlp-{seed}.safetensors"
    save_file(tensors, path)
    blueprint = Blueprint(
        architecture="mlp", config={"hidden": list(hidden), "activation": activation}, weights=tuple(weights)
    )
    return ModelSource(blueprint=blueprint, files=(path,), sha256=file_sha256(path))


def sites_of(source: ModelSource) -> list[Site]:
    """Every matrix of a source as a site."""
    return [
        Site(name=w.name, shape=(w.shape[0], w.shape[1]))
        for w in source.blueprint.weights
        if len(w.shape) == 2
    ]


def tiny_examples(seed: int = 1, n: int = 20) -> Examples:
    """Random rows of 4 numbers with labels of 3 classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n).astype(np.int64)
    return Examples(ids=np.arange(n, dtype=np.int64), inputs=rng.standard_normal((n, 4)), labels=labels)


def tiny_values(seed: int = 1, n: int = 20) -> Examples:
    """The same rows with values of a regression, in units of 2 around 5."""
    examples = tiny_examples(seed, n)
    y = 2.0 * np.random.default_rng(seed + 1).standard_normal(n)
    return attrs.evolve(
        examples,
        labels=np.zeros(n, dtype=np.int64),
        values=Values(standardised=y, mean=5.0, std=2.0),
    )
