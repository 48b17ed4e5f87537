"""How many numbers a run trains and keeps, and the bytes they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..contracts import CalibrationSpec, FreeFactors, LinearCore, Parametrisation, Site
from ..spec import Spec

ITEM = 8
"""Bytes of a number: frames and cores are float64."""
COPIES = 4
"""Trained values, their gradients, and an optimiser's two states."""
ByRank = Mapping[int, Sequence[Parametrisation]]
"""By the rank of a round, what it trains at every site."""


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


def parameters_in(sites: Sequence[Site], by_rank: ByRank, rounds: Mapping[int, int]) -> int:
    """How many numbers rounds train in all; `rounds` counts them by rank."""
    return sum(n * sum(trained_values(sites, by_rank[rank]).values()) for rank, n in rounds.items())


def stacked_rounds(spec: Spec, capacity: int | None) -> Mapping[int, int]:
    """Rounds that the last refit trains again, by rank; none: there is no refit.

    Directions that run out end a run after `capacity` new rounds.
    """
    played = spec.rounds if capacity is None else min(spec.rounds, spec.boosting.rounds_of(capacity))
    return spec.ranks.counted(spec.boosting.refitted_in(played))


def extra_bytes(
    sites: Sequence[Site], depths: Sequence[int], by_rank: ByRank, stacked: Mapping[int, int]
) -> int:
    """What boosting adds to the model in the round that needs most: the refit of `stacked` rounds, or any other where there is none.

    A round has `max(depth, r) (d_out + d_in + 1)` numbers of directions a site, and its u trained ones four times over. A refit of
    rounds t trains `sum_t u_t`, and adds frames of `sum_t r_t (d_out + d_in + 1)` and projections of `sum_t u_t (sum_t r_t)^2` numbers.
    """
    trained = max(parameters_in(sites, by_rank, {rank: 1}) for rank in by_rank)
    trained = max(trained, parameters_in(sites, by_rank, stacked))
    directions = 0
    for place, (site, depth) in enumerate(zip(sites, depths, strict=True)):
        ranks = {rank: _rank_in_frame(found[place]) for rank, found in by_rank.items()}
        again = sum(n * ranks[rank] for rank, n in stacked.items())
        directions += (max(depth, *ranks.values()) + again) * (sum(site.shape) + 1)
    return ITEM * (COPIES * trained + directions) + projection_bytes(by_rank, stacked)


def _rank_in_frame(p: Parametrisation) -> int:
    return p.rank if isinstance(p, LinearCore) else 0


def projection_bytes(by_rank: ByRank, stacked: Mapping[int, int]) -> int:
    """Projections `(sum_t u_t, sum_t r_t, sum_t r_t)` of a refit of rounds t, at all sites."""
    size = 0
    for place in range(len(next(iter(by_rank.values())))):
        cores = [(n, p) for rank, n in stacked.items() if isinstance(p := by_rank[rank][place], LinearCore)]
        size += sum(n * p.init.size for n, p in cores) * sum(n * p.rank for n, p in cores) ** 2
    return ITEM * size


def update_bytes(sites: Sequence[Site], by_rank: ByRank) -> int:
    """The largest round's updates on disk: `r (d_out + d_in + 1 + r)` numbers of factors, or `d_out d_in` where there are none."""
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
    """Products with gradients, and factors of them, `(d_out + d_in) k` numbers each."""
    return (
        0 if calibration is None else 2 * ITEM * calibration.columns * sum(sum(site.shape) for site in sites)
    )
