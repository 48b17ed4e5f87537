"""Weights: the immutable base from its files, and the model that base and updates make."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ...engine.contracts import DenseUpdate, FactoredUpdate, ModelSource, Update, WeightInfo
from ...engine.errors import NonFiniteError, UsageError
from .arrays import Matrix

Ensemble = Sequence[tuple[Mapping[str, Update], float]]

STORED = ("BF16", "F16", "F32", "F64")
"""Stored types that are read, as safetensors calls them."""


def table(source: ModelSource, ending: str) -> Matrix | None:
    """A stored tensor that is no parameter, by how its name ends (the first of several), in float64; None without one.

    Old checkpoints hold such tables, one a layer and all alike, in the precision that the model was trained with.
    """
    with suppress(SafetensorError, OSError):  # `load` says what is wrong with a file
        for file in source.files:
            with safe_open(file, framework="np") as tensors:
                for name in sorted(tensors.keys()):
                    if name.endswith(ending):
                        return tensors.get_tensor(name).astype(np.float64)
    return None


def load(source: ModelSource, names: Iterable[str], dtype: Any = np.float64) -> dict[str, Matrix]:
    """The named weights, tensor by tensor, read-only; matrices `(d_out, d_in)`, whichever way the file has them.

    Raises naming the weight that is missing, misshapen or not finite.
    """
    infos = {info.name: info for info in source.blueprint.weights}
    found = dict[str, Matrix]()
    with ExitStack() as stack:
        where = dict[str, tuple[Any, Any]]()
        for file in source.files:
            try:
                tensors = stack.enter_context(safe_open(file, framework="np"))
            except (SafetensorError, OSError) as error:
                raise UsageError(f"{file}: not a readable safetensors file: {error}") from error
            where |= dict.fromkeys(tensors.keys(), (file, tensors))
        for name in sorted(names):
            if name not in infos:
                needs = f"which {source.blueprint.architecture} needs as it is configured"
                raise UsageError(f'the model\'s blueprint has no weight "{name}", {needs}')
            stored = infos[name].stored or name
            if stored not in where:
                raise UsageError(f'the model\'s files have no weight "{stored}"')
            found[name] = _read(infos[name], *where[stored], dtype)
    return found


def _read(info: WeightInfo, file: Any, tensors: Any, dtype: Any) -> Matrix:
    stored = info.stored or info.name
    kind = tensors.get_slice(stored).get_dtype()
    if kind not in STORED:
        raise UsageError(
            f"{file}: {stored} is stored as {kind}; the reference backend reads {', '.join(STORED)}"
        )
    if kind == "BF16":
        _require_ml_dtypes(file)
    try:
        raw = tensors.get_tensor(stored)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{file}: {stored} cannot be read: {error}") from error
    if raw.shape != info.shape:
        raise UsageError(f"{info.name}: shape {raw.shape}, expected {info.shape}")
    value = np.ascontiguousarray(raw.T if info.transposed else raw).astype(dtype)
    if not np.isfinite(value).all():
        raise NonFiniteError(f"{info.name}: the base weight contains NaN or Inf")
    value.flags.writeable = False
    return value


def _require_ml_dtypes(file: Any) -> None:
    try:
        importlib.import_module("ml_dtypes")  # makes bfloat16 known to NumPy
    except ImportError as error:
        raise UsageError(
            f"{file}: NumPy reads bfloat16 only with ml_dtypes; pip install ml-dtypes"
        ) from error


def dense(update: Update, dtype: Any = np.float64) -> Matrix:
    """`dW = U diag(S^a) R diag(S^b) V^T (d_out, d_in)`, computed in `dtype`."""
    match update:
        case DenseUpdate():
            return update.delta.astype(dtype, copy=False)
        case FactoredUpdate():
            a, b = update.exponents
            U, S, V, R = (
                X.astype(dtype, copy=False)
                for X in (update.frame.U, update.frame.S, update.frame.V, update.core)
            )
            return (U * S**a) @ R @ (V * S**b).T


def merged(base: Matrix, updates: Sequence[tuple[Update, float]], site: str) -> Matrix:
    """`W = W_0 + sum_t s_t dW_t`, in the order of the rounds; without updates, the base itself, bit for bit."""
    if not updates:
        return base
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with the site
        total = base + sum(float(scale) * dense(update, base.dtype) for update, scale in updates)
    if not np.isfinite(total).all():
        raise NonFiniteError(f"{site}: the merged weight contains NaN or Inf")
    return total
