"""Trained parameters of a run, and the memory and disk space of frames, cores, projections and calibration products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..contracts import Blueprint, CalibrationSpec, FreeFactors, LinearCore, Parametrisation, Site
from ..spec import Spec

ITEM = 8
"""Bytes of a value: frames and cores are float64."""
COPIES = 4
"""Arrays per trained parameter: value, gradient, and two optimiser moments (Adam)."""
ByRank = Mapping[int, Sequence[Parametrisation]]
"""The parametrisation of every site, by the round's rank."""


def trained_values(sites: Sequence[Site], parametrisations: Sequence[Parametrisation]) -> dict[str, int]:
    """Number of parameters by name: the tied group of a linear core, or the site. Tied sites are counted once."""
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


def parameters_in(sites: Sequence[Site], by_rank: ByRank, rounds: Mapping[int, int]) -> int:
    """Total number of parameters; `rounds` is the number of rounds by rank."""
    return sum(n * sum(trained_values(sites, by_rank[rank]).values()) for rank, n in rounds.items())


def stacked_rounds(spec: Spec, capacity: int | None) -> Mapping[int, int]:
    """Number of earlier rounds in the last refit, by rank; empty where no round is a refit.

    A run ends after `capacity` rounds with new directions; its last refit may come before the planned one.
    """
    rounds = spec.rounds if capacity is None else min(spec.rounds, spec.boosting.rounds_of(capacity))
    return spec.ranks.counted(spec.boosting.refitted_in(rounds))


def extra_bytes(
    sites: Sequence[Site], depths: Sequence[int], by_rank: ByRank, stacked: Mapping[int, int]
) -> int:
    """Peak memory that boosting adds to the model: an upper bound over all rounds, the refit of `stacked` rounds included.

    Per site, an ordinary round holds `max(depth, r) (d_out + d_in + 1)` values of directions and `4 u` of trained parameters. A refit
    of rounds t trains `sum_t u_t` parameters, in frames of `sum_t r_t (d_out + d_in + 1)` values, with dense projections of
    `(sum_t u_t) (sum_t r_t)^2` values.
    """
    trained = max(parameters_in(sites, by_rank, {rank: 1}) for rank in by_rank)
    trained = max(trained, parameters_in(sites, by_rank, stacked))
    directions = 0
    for index, (site, depth) in enumerate(zip(sites, depths, strict=True)):
        ranks = {rank: _rank_in_frame(found[index]) for rank, found in by_rank.items()}
        refitted = sum(n * ranks[rank] for rank, n in stacked.items())
        directions += (max(depth, *ranks.values()) + refitted) * (sum(site.shape) + 1)
    return ITEM * (COPIES * trained + directions) + projection_bytes(by_rank, stacked)


def _rank_in_frame(p: Parametrisation) -> int:
    return p.rank if isinstance(p, LinearCore) else 0


def projection_bytes(by_rank: ByRank, stacked: Mapping[int, int]) -> int:
    """Bytes of a refit's projections `(sum_t u_t, sum_t r_t, sum_t r_t)`, at all sites. They grow with the cube of the rounds."""
    size = 0
    for index in range(len(next(iter(by_rank.values())))):
        cores = [(n, p) for rank, n in stacked.items() if isinstance(p := by_rank[rank][index], LinearCore)]
        size += sum(n * p.init.size for n, p in cores) * sum(n * p.rank for n, p in cores) ** 2
    return ITEM * size


def summed_bytes(blueprint: Blueprint, sites: Sequence[Site], itemsize: int) -> int:
    """Bytes of the dense sums `W + dW` that a training step holds, and of their gradients, at the sites that need them.

    The forward pass takes all sums at once; the backward pass frees a gradient `(d_out, d_in)` only after that of the last layer.
    """
    chosen = {site.name for site in sites}
    return 2 * itemsize * sum(w.size for w in blueprint.weights if w.summed and w.name in chosen)


def update_bytes(sites: Sequence[Site], by_rank: ByRank) -> int:
    """Size on disk of the largest round's updates.

    Per site, `U, S, V` and the core take `r (d_out + d_in + 1 + r)` values, a dense update `d_out d_in`.
    """
    return ITEM * max(_update_parameters(sites, found) for found in by_rank.values())


def _update_parameters(sites: Sequence[Site], parametrisations: Sequence[Parametrisation]) -> int:
    count = 0
    for site, p in zip(sites, parametrisations, strict=True):
        match p:
            case LinearCore() | FreeFactors():
                count += p.rank * (sum(site.shape) + 1 + p.rank)
            case _:
                count += site.shape[0] * site.shape[1]
    return count


def calibration_bytes(calibration: CalibrationSpec | None, sites: Sequence[Site]) -> int:
    """Bytes of the factors `O, Q` and of the products `G O, G' Q`: `(d_out + d_in) k` values each, at all sites."""
    return (
        0 if calibration is None else 2 * ITEM * calibration.columns * sum(sum(site.shape) for site in sites)
    )
