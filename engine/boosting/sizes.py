"""How many numbers a run trains and keeps, and the bytes they take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..contracts import FreeFactors, LinearCore, Parametrisation, Question, Site
from ..spec import Spec

ITEM = 8
"""Bytes of a number: frames and cores are float64."""
COPIES = 4
"""Trained values, their gradients, and an optimiser's two states."""


def trained_values(sites: Sequence[Site], parametrisations: Sequence[Parametrisation]) -> dict[str, int]:
    """How many numbers are trained under each name; tied sites share one."""
    counts = dict[str, int]()
    for site, p in zip(sites, parametrisations, strict=True):
        match p:
            case LinearCore():
                counts[p.group] = p.init.size
            case FreeFactors():
                counts[site.name] = p.rank * sum(site.shape)
            case _:
                counts[site.name] = site.shape[0] * site.shape[1]
    return counts


def stacked_rounds(spec: Spec, capacity: int | None) -> int:
    """Rounds that the last refit trains again; 0: there is no refit. Directions that run out end a run after `capacity` new ones."""
    played = spec.rounds if capacity is None else min(spec.rounds, spec.boosting.rounds_of(capacity))
    return spec.boosting.refitted_in(played)


def extra_bytes(
    sites: Sequence[Site],
    depths: Sequence[int],
    parametrisations: Sequence[Parametrisation],
    stacked: int,
) -> int:
    """What boosting adds to the model in the round that needs most: the refit of `stacked` rounds T, or any other where T is 0.

    A round has `max(depth, r) (d_out + d_in + 1)` numbers of directions a site, and its u trained ones four times over. A refit
    trains `T u`, and adds frames of `T r (d_out + d_in + 1)` and projections of `T u (T r)^2` numbers.
    """
    trained = max(stacked, 1) * sum(trained_values(sites, parametrisations).values())
    directions = 0
    for site, depth, p in zip(sites, depths, parametrisations, strict=True):
        rank = p.rank if isinstance(p, LinearCore) else 0
        directions += (max(depth, rank) + stacked * rank) * (sum(site.shape) + 1)
    return ITEM * (COPIES * trained + directions) + projection_bytes(parametrisations, stacked)


def projection_bytes(parametrisations: Iterable[Parametrisation], stacked: int) -> int:
    """Projections `(T u, T r, T r)` of a refit of T rounds, at all sites."""
    cores = [p for p in parametrisations if isinstance(p, LinearCore)]
    return sum(ITEM * stacked * p.init.size * (stacked * p.rank) ** 2 for p in cores)


def update_bytes(sites: Sequence[Site], parametrisations: Sequence[Parametrisation]) -> int:
    """One round's updates on disk: `r (d_out + d_in + 1 + r)` numbers of factors, or `d_out d_in` where there are none."""
    count = 0
    for site, p in zip(sites, parametrisations, strict=True):
        match p:
            case LinearCore() | FreeFactors():
                count += p.rank * (sum(site.shape) + 1 + p.rank)
            case _:
                count += site.shape[0] * site.shape[1]
    return ITEM * count


def question_bytes(question: Question | None, sites: Sequence[Site]) -> int:
    """Products with gradients, and factors of them, `(d_out + d_in) k` numbers each."""
    return 0 if question is None else 2 * ITEM * question.columns * sum(sum(site.shape) for site in sites)
