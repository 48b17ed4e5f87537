"""The immutable base weights, memory-mapped from their files, and merging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...engine.contracts import DenseUpdate, FactoredUpdate, ModelSource, Update, WeightInfo
from ...engine.errors import NonFiniteError, UsageError

Ensemble = Sequence[tuple[Mapping[str, Update], float]]
SiteUpdates = Sequence[tuple[Update, float]]


class BaseWeights:
    """The base weights by name, read lazily from their files and never written."""

    def __init__(self, source: ModelSource) -> None:
        self._infos = {info.name: info for info in source.blueprint.weights}
        self._files = dict[str, safe_open]()
        for file in source.files:
            try:
                opened = safe_open(file, framework="pt")
            except (SafetensorError, OSError) as error:
                raise UsageError(f"{file}: not a readable safetensors file: {error}") from error
            self._files |= dict.fromkeys(opened.keys(), opened)
        for info in self._infos.values():
            self._check(info)
        self._finite = set[str]()

    def _check(self, info: WeightInfo) -> None:
        stored = info.stored or info.name
        if stored not in self._files:
            raise UsageError(f'the model\'s files have no weight "{stored}"')
        shape = tuple(self._files[stored].get_slice(stored).get_shape())
        if shape != info.shape:
            raise UsageError(f"{info.name}: shape {shape}, expected {info.shape}")

    def stored(self, name: str) -> Tensor:
        """A weight as stored in its file. Raises `NonFiniteError` for NaN or Inf."""
        info = self._infos[name]
        stored = info.stored or name
        found: Tensor = self._files[stored].get_tensor(stored)
        if name not in self._finite and not bool(torch.isfinite(found).all()):
            raise NonFiniteError(f"{name}: the base weight contains NaN or Inf")
        self._finite.add(name)
        return found

    def matrix(self, name: str) -> Tensor:
        """A linear weight as `(d_out, d_in)`, in its stored dtype, on the CPU."""
        found = self.stored(name)
        return found.T if self._infos[name].transposed else found

    def is_transposed(self, name: str) -> bool:
        """Whether the module stores the weight as `(d_in, d_out)`."""
        return self._infos[name].transposed


def factors(update: FactoredUpdate, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """`L = s U diag(S^a) R` and `M = V diag(S^b)`, so that `s dW = L M^T`; in float64, since they are small.

    The arrays are made C-contiguous first: a product can differ in the last bit with the memory layout, and a resumed run reads
    from disk what an uninterrupted one has in memory.
    """
    a, b = update.exponents
    U, S, V, core = map(np.ascontiguousarray, (update.frame.U, update.frame.S, update.frame.V, update.core))
    with np.errstate(over="ignore", invalid="ignore"):  # `require_finite` reports it, with the site
        return scale * ((U * S**a) @ core), V * S**b


def merge_into(total: Tensor, updates: SiteUpdates, site: str) -> None:
    """Add `sum_t s_t dW_t` in place to `total (d_out, d_in)`, the base in the master dtype. Raises `NonFiniteError`.

    All factored rounds are one product of stacked factors: `sum_t L_t M_t^T = [L_1 … L_T] [M_1 … M_T]^T`.
    """
    pairs = [factors(u, s) for u, s in updates if isinstance(u, FactoredUpdate)]
    if pairs:
        sides = zip(*pairs, strict=True)
        left, right = (torch.from_numpy(np.ascontiguousarray(np.hstack(side))) for side in sides)
        total.addmm_(left.to(total), right.to(total).T)
    for update, scale in updates:
        if isinstance(update, DenseUpdate):
            total.add_(torch.from_numpy(update.delta).to(total), alpha=scale)
    if updates:
        require_finite(total, site)


def require_finite(weight: Tensor, site: str) -> None:
    """Raise `NonFiniteError` naming the site. `aminmax` needs one pass and no copy, and propagates NaN."""
    if not all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(weight)):
        raise NonFiniteError(f"{site}: the merged weight contains NaN or Inf")


def rms_singular_value(weight: Tensor) -> float:
    """`||W||_F / sqrt(min(d_out, d_in))`."""
    W = weight.to(torch.float64)
    return float(torch.linalg.matrix_norm(W) / np.sqrt(min(W.shape)))


def site_updates(ensemble: Ensemble, site: str) -> SiteUpdates:
    """One site's updates with their scales, in round order."""
    return [(updates[site], scale) for updates, scale in ensemble if site in updates]


def equal_updates(one: SiteUpdates, two: SiteUpdates) -> bool:
    """Whether two lists of updates are equal element by element; then so are the merged weights."""
    return len(one) == len(two) and all(
        s == t and type(u) is type(v) and all(map(np.array_equal, _arrays(u), _arrays(v)))
        for (u, s), (v, t) in zip(one, two, strict=True)
    )


def _arrays(update: Update) -> list[ArrayLike]:
    if isinstance(update, DenseUpdate):
        return [update.delta]
    return [*attrs.astuple(update.frame, recurse=False), update.core, update.exponents]
