"""Holds plugins to their contracts: an answer that breaks one is a `PluginError` that names the plugin and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..contracts import Batch, Frame, Parametrisation, Refusal, Selection, Site
from ..errors import PluginError

TOLERANCE = 1e-5
"""Largest departure from orthonormal columns that a frame may have: what a float32 backend can hold, with room."""


def check_frame(frame: object, site: Site, rank: int, basis: str) -> Frame:
    """Hold a basis to its contract. Raises `PluginError` naming it, the site and what is wrong."""
    if not isinstance(frame, Frame):
        raise PluginError("basis", basis, f"returned {type(frame).__name__} for {site.name}, not a Frame")
    expected = ((site.shape[0], rank), (rank,), (site.shape[1], rank))
    shapes = (frame.U.shape, frame.S.shape, frame.V.shape)
    if shapes != expected:
        raise PluginError("basis", basis, f"{site.name}: shapes of U, S, V are {shapes}, expected {expected}")
    if not all(np.isfinite(x).all() for x in (frame.U, frame.S, frame.V)):
        raise PluginError("basis", basis, f"{site.name}: the frame contains NaN or Inf")
    if (departure := frame.departure()) > TOLERANCE:
        raise PluginError(
            "basis", basis, f"{site.name}: columns are not orthonormal (off by {departure:.1e})"
        )
    return frame


def check_selection(selection: object, examples: int, sampler: str) -> Selection:
    """Hold a sampler to its contract. Raises `PluginError` naming it and what is wrong."""
    if not isinstance(selection, Selection):
        raise PluginError("sampler", sampler, f"returned {type(selection).__name__}, not a Selection")
    indices, weights = selection.indices, selection.weights
    if indices.shape != weights.shape or indices.ndim != 1:
        raise PluginError(
            "sampler", sampler, f"{indices.shape} indices and {weights.shape} weights; one weight an index"
        )
    if len(indices) and (indices.min() < 0 or indices.max() >= examples):
        raise PluginError("sampler", sampler, f"an index outside [0, {examples})")
    if len(np.unique(indices)) != len(indices):
        raise PluginError("sampler", sampler, "the same example twice; give it a larger weight instead")
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise PluginError("sampler", sampler, "weights must be positive and finite")
    return selection


def check_parametrisation(answer: object, site: Site, adapter: str) -> Parametrisation:
    """What an adapter trains at a site. Raises `PluginError` for anything else."""
    if not isinstance(answer, Parametrisation):
        raise PluginError(
            "adapter", adapter, f"parametrise() returned {type(answer).__name__} for {site.name}"
        )
    return answer


def check_batches(batches: Sequence[Batch], steps: int, objective: str) -> Sequence[Batch]:
    """As many batches as there are steps. Raises `PluginError` for more or fewer."""
    if len(batches) != steps:
        raise PluginError("objective", objective, f"gave {len(batches)} batches for {steps} steps")
    return batches


def check_choice(choice: object, policy: str) -> float | Refusal:
    """A finite scale or a refusal; scale 0 is a refusal. Raises `PluginError` for anything else."""
    if isinstance(choice, Refusal):
        return choice
    if not isinstance(choice, int | float) or not np.isfinite(choice):
        problem = f"choose() returned {choice!r}, neither a finite scale nor a Refusal"
        raise PluginError("merge", policy, problem)
    return Refusal("the policy chose scale 0") if choice == 0 else float(choice)
