"""Fully corrective rounds: all earlier cores trained again, together, in the frames they have.

With earlier updates `dW_t = s_t U_t diag(S_t^a) R_t diag(S_t^b) V_t'` such a round adds `sum_t U_t diag(S_t^a) D_t diag(S_t^b) V_t'`, where
every `D_t = sum_i d_ti P_ti` is of the kind of its `R_t`: as if all `R_t` were trained on from where they are. In totally corrective
boosting (Warmuth et al., 2006; Shalev-Shwartz et al., 2010) all weights are fitted anew after every weak learner. No
direction is new, so the rank stays; the ensemble stays a list to which things are added, and any prefix of it a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import FactoredUpdate, Frame, LinearCore, Parametrisation, Update

Matrix = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Refit:
    """What a fully corrective round trains, and in which frames."""

    frames: Mapping[str, Frame]
    parametrisations: Mapping[str, Parametrisation]


@attrs.frozen(kw_only=True, eq=False)
class Past:
    """An earlier round, with what it trained at each site."""

    number: int
    updates: Mapping[str, Update]
    parametrisations: Mapping[str, Parametrisation]


def refit_of(past: Sequence[Past]) -> Refit:
    """Stack every site's earlier frames, and their cores along a diagonal.

    Rounds whose update is no core of the kind that is trained now (another run's, from which this one goes on) stay as they are.
    Sites that are tied stay tied where they have the same rounds.
    """
    frames, cores = dict[str, Frame](), dict[str, Parametrisation]()
    sites = dict.fromkeys(site for round_ in past for site in round_.updates)
    for site in sites:
        pieces = [(r.number, *piece) for r in past if (piece := _piece(r, site)) is not None]
        if not pieces:
            continue
        numbers = [number for number, _, _ in pieces]
        stacked, linear = [frame for _, frame, _ in pieces], [core for _, _, core in pieces]
        frames[site] = Frame(
            U=np.hstack([f.U for f in stacked]),
            S=np.concatenate([f.S for f in stacked]),
            V=np.hstack([f.V for f in stacked]),
        )
        cores[site] = _along_diagonal(linear, f"{linear[0].group}@{','.join(map(str, numbers))}")
    return Refit(frames=frames, parametrisations=cores)


def _piece(past: Past, site: str) -> tuple[Frame, LinearCore] | None:
    """A round's frame and kind of core at a site, where they belong together."""
    update, core = past.updates.get(site), past.parametrisations.get(site)
    if not isinstance(update, FactoredUpdate) or not isinstance(core, LinearCore):
        return None
    like = update.frame.rank == core.rank and update.exponents == core.exponents
    return (update.frame, core) if like else None


def _along_diagonal(cores: Sequence[LinearCore], group: str) -> LinearCore:
    """One core with the given ones as blocks, all of them starting at zero."""
    ranks, sizes = [core.rank for core in cores], [core.init.size for core in cores]
    projections = np.zeros((sum(sizes), sum(ranks), sum(ranks)))
    place, corner = 0, 0
    for core, rank, size in zip(cores, ranks, sizes, strict=True):
        block = _units(rank) if core.projections is None else core.projections
        projections[place : place + size, corner : corner + rank, corner : corner + rank] = block
        place, corner = place + size, corner + rank
    return LinearCore(
        rank=sum(ranks),
        group=group,
        projections=projections,
        init=np.zeros(sum(sizes)),
        exponents=cores[0].exponents,
    )


def _units(rank: int) -> Matrix:
    """The `r^2` unit matrices, row by row."""
    return np.eye(rank**2).reshape(rank**2, rank, rank)
