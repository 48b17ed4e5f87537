"""Checks of what plugins return: shapes, dtypes, ranges and finiteness.

Every check returns the checked value, or raises a `PluginError` that names the plugin and the fault. Without them a NaN or an index out
of range would surface rounds later, in another place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..contracts import Batch, Completion, Examples, Frame, Parametrisation, Refusal, Selection, Site
from ..errors import PluginError
from ..foundation.counts import count_text

TOLERANCE = 1e-5
"""Largest `max|U'U - I|` of a frame. Float32 factorisations reach about 1e-6; the rest is headroom."""


def check_frame(frame: object, site: Site, rank: int, basis: str) -> Frame:
    """A basis's frame: shapes of `site` and `rank`, finite, orthonormal columns."""
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


def check_labels(examples: Examples, split: str, classes: Sequence[str], task: str) -> Examples:
    """A split's labels: one integer for each example, in `[0, classes)`, or 0 where there are no classes."""
    labels = cast("object", examples.labels)
    where = f"labels of the {split} split"
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        kind = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise PluginError("task", task, f"{where} are {kind}; load() must return classes as integers (int64)")
    if labels.shape != (len(examples),):
        raise PluginError("task", task, f"{where} have shape {labels.shape}, expected ({len(examples)},)")
    count = max(1, len(classes))
    if labels.min() < 0 or labels.max() >= count:
        raise PluginError("task", task, f"{where} are {labels.min()} to {labels.max()}, outside [0, {count})")
    return examples


def check_selection(selection: object, examples: int, sampler: str) -> Selection:
    """A sampler's selection: unique indices in `[0, examples)`, each with a positive finite weight."""
    if not isinstance(selection, Selection):
        raise PluginError("sampler", sampler, f"returned {type(selection).__name__}, not a Selection")
    indices, weights = selection.indices, selection.weights
    if indices.shape != weights.shape or indices.ndim != 1:
        raise PluginError(
            "sampler",
            sampler,
            f"returned indices {indices.shape} and weights {weights.shape}; both must be (m,)",
        )
    if len(indices) and (indices.min() < 0 or indices.max() >= examples):
        raise PluginError("sampler", sampler, f"returned an index outside [0, {examples})")
    if len(np.unique(indices)) != len(indices):
        raise PluginError("sampler", sampler, "returned an example twice; give it a larger weight instead")
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise PluginError("sampler", sampler, "weights must be positive and finite")
    return selection


def check_parametrisation(parametrisation: object, site: Site, adapter: str) -> Parametrisation:
    """An adapter's parametrisation of a site."""
    if not isinstance(parametrisation, Parametrisation):
        raise PluginError(
            "adapter",
            adapter,
            f"parametrise() returned {type(parametrisation).__name__} for {site.name}, not LinearCore, FreeFactors or DenseDelta",
        )
    return parametrisation


def check_batches(batches: Sequence[Batch], steps: int, objective: str) -> Sequence[Batch]:
    """An objective's batches: one per step."""
    if len(batches) != steps:
        raise PluginError(
            "objective",
            objective,
            f"returned {count_text(len(batches), 'batch', 'batches')} for {count_text(steps, 'step')}",
        )
    return batches


def check_prompts(prompts: object, count: int, examples: int, objective: str) -> Sequence[NDArray[np.int64]]:
    """A policy objective's prompts: `count` non-empty index arrays into `[0, examples)`."""
    given = list(cast("Sequence[NDArray[np.int64]]", prompts)) if isinstance(prompts, Sequence) else []
    if len(given) != count:
        raise PluginError(
            "objective", objective, f"prompts() returned {len(given)} batches of prompts, expected {count}"
        )
    for indices in given:
        if indices.ndim != 1 or not len(indices) or indices.min() < 0 or indices.max() >= examples:
            raise PluginError(
                "objective",
                objective,
                f"prompts() must return non-empty arrays (b,) of indices in [0, {examples})",
            )
    return given


def check_rollouts(batch: object, objective: str) -> Batch:
    """A policy objective's batch: a sequence and an advantage per index, and finite per-token arrays."""
    if not isinstance(batch, Batch):
        raise PluginError("objective", objective, f"batch() returned {type(batch).__name__}, not Batch")
    rollouts = batch.rollouts
    if len(batch) == 0:
        return batch
    if rollouts is None or len(rollouts.tokens) != len(batch) or len(batch.weights) != len(batch):
        raise PluginError("objective", objective, "batch() must return one sequence and one weight per index")
    targets = int(rollouts.tokens.targets.sum())
    arrays = (rollouts.shares, rollouts.old, rollouts.start)
    if any(a is not None and (a.shape != (targets,) or not np.isfinite(a).all()) for a in arrays):
        problem = (
            f"batch(): shares and log-probabilities must be {targets} finite values, one per target token"
        )
        raise PluginError("objective", objective, problem)
    if batch.counts.shape != (len(batch),) or batch.counts.min() < 1:
        raise PluginError("objective", objective, "batch(): counts must be integers >= 1, one per sequence")
    if rollouts.beta and rollouts.start is None:
        raise PluginError(
            "objective",
            objective,
            "batch(): beta needs log-probabilities under the starting model; return True for it in remembers",
        )
    return batch


def check_completions(completions: object, count: int, generator: str) -> list[Completion]:
    """A generator's completions: one per prompt, each with a token or an end token."""
    if not isinstance(completions, list) or len(cast("list[object]", completions)) != count:
        raise PluginError("generator", generator, f"write() must return a list of {count} completions")
    for one in cast("list[object]", completions):
        if not isinstance(one, Completion):
            raise PluginError(
                "generator", generator, f"write() returned {type(one).__name__}, not Completion"
            )
        if not one.with_end:
            raise PluginError(
                "generator", generator, "write() returned a completion without tokens or end token"
            )
    return cast("list[Completion]", completions)


def check_choice(choice: object, policy: str) -> float | Refusal:
    """A merge policy's choice: a finite scale or a refusal. Scale 0 counts as a refusal."""
    if isinstance(choice, Refusal):
        return choice
    if not isinstance(choice, int | float) or not np.isfinite(choice):
        problem = f"choose() returned {choice!r}, neither a finite scale nor a Refusal"
        raise PluginError("merge", policy, problem)
    # The reason is part of the record, and so of the run's digest: its text must not change.
    return Refusal("the policy chose scale 0") if choice == 0 else float(choice)
