"""Weights: the immutable base from its files, and the model that base and updates make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ...engine.contracts import DenseUpdate, FactoredUpdate, ModelSource, Update
from ...engine.errors import NonFiniteError, UsageError

Matrix = NDArray[np.float64]
Ensemble = Sequence[tuple[Mapping[str, Update], float]]


def load(source: ModelSource) -> dict[str, Matrix]:
    """Every weight of the blueprint as float64. Raises naming the weight that is missing, misshapen or not finite."""
    found = dict[str, Matrix]()
    for file in source.files:
        try:
            with safe_open(file, framework="np") as tensors:
                found |= {name: tensors.get_tensor(name).astype(np.float64) for name in tensors.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise UsageError(f"{file}: not a readable safetensors file: {error}") from error
    for info in source.blueprint.weights:
        if info.name not in found:
            raise UsageError(f'the model\'s files have no weight "{info.name}"')
        if found[info.name].shape != info.shape:
            raise UsageError(f"{info.name}: shape {found[info.name].shape}, expected {info.shape}")
        if not np.isfinite(found[info.name]).all():
            raise NonFiniteError(f"{info.name}: the base weight contains NaN or Inf")
        found[info.name].flags.writeable = False
    return found


def dense(update: Update) -> Matrix:
    """`dW = U diag(S^a) R diag(S^b) V^T (d_out, d_in)`."""
    match update:
        case DenseUpdate():
            return update.delta
        case FactoredUpdate():
            a, b = update.exponents
            frame = update.frame
            return (frame.U * frame.S**a) @ update.core @ (frame.V * frame.S**b).T


def merged(base: Matrix, updates: Sequence[tuple[Update, float]], site: str) -> Matrix:
    """`W = W_0 + sum_t s_t dW_t`, in the order of the rounds; without updates, the base itself, bit for bit."""
    if not updates:
        return base
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with the site
        total = base + sum(scale * dense(update) for update, scale in updates)
    if not np.isfinite(total).all():
        raise NonFiniteError(f"{site}: the merged weight contains NaN or Inf")
    return total
