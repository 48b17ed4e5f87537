"""The immutable base weights, read from their files, and merging."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike
from safetensors import SafetensorError, safe_open

from ...engine.contracts import DenseUpdate, FactoredUpdate, ModelSource, Update, WeightInfo
from ...engine.errors import NonFiniteError, UsageError
from .arrays import Matrix

Ensemble = Sequence[tuple[Mapping[str, Update], float]]

STORED = ("BF16", "F16", "F32", "F64")
"""Supported dtypes, by their names in safetensors."""


def find_table(source: ModelSource, suffix: str) -> Matrix | None:
    """A stored non-parameter tensor, by the suffix of its name (the first of several), in float64; None if there is none.

    Old checkpoints store such tables, one per layer and all equal, in the dtype that the model was trained with.
    """
    with suppress(SafetensorError, OSError):  # `load` reports unreadable files
        for file in source.files:
            with safe_open(file, framework="np") as tensors:
                for name in sorted(tensors.keys()):
                    if name.endswith(suffix):
                        return tensors.get_tensor(name).astype(np.float64)
    return None


def load(source: ModelSource, names: Iterable[str], dtype: DTypeLike = np.float64) -> dict[str, Matrix]:
    """The named weights as read-only arrays; matrices are `(d_out, d_in)` whatever the file's orientation.

    Raises `UsageError` naming a missing or misshapen weight, and `NonFiniteError` for NaN or Inf.
    """
    infos = {info.name: info for info in source.blueprint.weights}
    found = dict[str, Matrix]()
    with ExitStack() as stack:
        where = dict[str, tuple[Path, safe_open]]()
        for file in source.files:
            try:
                tensors = stack.enter_context(safe_open(file, framework="np"))
            except (SafetensorError, OSError) as error:
                raise UsageError(f"{file}: not a readable safetensors file: {error}") from error
            where |= dict.fromkeys(tensors.keys(), (file, tensors))
        for name in sorted(names):
            if name not in infos:
                needs = f"which {source.blueprint.architecture} needs with this configuration"
                raise UsageError(f'the model\'s blueprint has no weight "{name}", {needs}')
            stored = infos[name].stored or name
            if stored not in where:
                raise UsageError(f'the model\'s files have no weight "{stored}"')
            found[name] = _read(infos[name], *where[stored], dtype)
    return found


def _read(info: WeightInfo, file: Path, tensors: safe_open, dtype: DTypeLike) -> Matrix:
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


def _require_ml_dtypes(file: Path) -> None:
    try:
        importlib.import_module("ml_dtypes")  # registers bfloat16 with NumPy
    except ImportError as error:
        raise UsageError(
            f"{file}: NumPy reads bfloat16 only with ml_dtypes; pip install ml-dtypes"
        ) from error


def dense(update: Update, dtype: DTypeLike = np.float64) -> Matrix:
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
    """`W = W_0 + sum_t s_t dW_t`, in round order; without updates, the base itself."""
    if not updates:
        return base
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with the site
        total = base + sum(float(scale) * dense(update, base.dtype) for update, scale in updates)
    if not np.isfinite(total).all():
        raise NonFiniteError(f"{site}: the merged weight contains NaN or Inf")
    return total
