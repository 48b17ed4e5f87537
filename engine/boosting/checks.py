"""Holds plugins to their contracts: an answer that breaks one is a `PluginError` that names the plugin and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..contracts import Batch, Completion, Frame, Parametrisation, Refusal, Selection, Site
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


def check_prompts(prompts: object, count: int, examples: int, objective: str) -> Sequence[NDArray[np.int64]]:
    """As many groups of prompts as are to be asked, none empty. Raises `PluginError` for anything else."""
    given = list(cast("Sequence[NDArray[np.int64]]", prompts)) if isinstance(prompts, Sequence) else []
    if len(given) != count:
        raise PluginError("objective", objective, f"prompts() gave {len(given)} groups for {count}")
    for indices in given:
        if indices.ndim != 1 or not len(indices) or indices.min() < 0 or indices.max() >= examples:
            raise PluginError("objective", objective, f"prompts() gave indices outside [0, {examples})")
    return given


def check_rollouts(batch: object, objective: str) -> Batch:
    """A batch whose arrays fit each other, with a share for every token. Raises `PluginError` for anything else."""
    if not isinstance(batch, Batch):
        raise PluginError("objective", objective, f"batch() returned {type(batch).__name__}, not Batch")
    rollouts = batch.rollouts
    if len(batch) == 0:
        return batch
    if rollouts is None or len(rollouts.tokens) != len(batch) or len(batch.weights) != len(batch):
        raise PluginError("objective", objective, "batch() must give a sequence and a weight for each index")
    targets = int(rollouts.tokens.targets.sum())
    arrays = (rollouts.shares, rollouts.old, rollouts.start)
    if any(a is not None and (a.shape != (targets,) or not np.isfinite(a).all()) for a in arrays):
        problem = f"batch(): shares and log-probabilities must be {targets} finite numbers, one a token"
        raise PluginError("objective", objective, problem)
    if batch.counts.shape != (len(batch),) or batch.counts.min() < 1:
        raise PluginError(
            "objective", objective, "batch(): counts must be a whole number of answers a sequence"
        )
    if rollouts.beta and rollouts.start is None:
        raise PluginError("objective", objective, "batch(): beta needs log-probabilities of the start")
    return batch


def check_completions(written: object, count: int, generator: str) -> list[Completion]:
    """A continuation of every prompt. Raises `PluginError` for anything else."""
    if not isinstance(written, list) or len(cast("list[object]", written)) != count:
        raise PluginError("generator", generator, f"write() must return a list of {count} continuations")
    for one in cast("list[object]", written):
        if not isinstance(one, Completion):
            raise PluginError("generator", generator, f"write() returned {type(one).__name__}, not Written")
        if not one.trained:
            raise PluginError("generator", generator, "write() gave a continuation of no token and no end")
    return cast("list[Completion]", written)


def check_choice(choice: object, policy: str) -> float | Refusal:
    """A finite scale or a refusal; scale 0 is a refusal. Raises `PluginError` for anything else."""
    if isinstance(choice, Refusal):
        return choice
    if not isinstance(choice, int | float) or not np.isfinite(choice):
        problem = f"choose() returned {choice!r}, neither a finite scale nor a Refusal"
        raise PluginError("merge", policy, problem)
    return Refusal("the policy chose scale 0") if choice == 0 else float(choice)
