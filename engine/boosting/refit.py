"""Fully corrective rounds: one joint update of all earlier cores, in their own frames.

With earlier updates `dW_t = s_t U_t diag(S_t^a) R_t diag(S_t^b) V_t'`, `R_t = sum_i v_ti P_ti`, a refit adds

    sum_t U_t diag(S_t^a) D_t diag(S_t^b) V_t',    D_t = sum_i d_ti P_ti,

with all `d_t` trained together from zero. So `s_t R_t + D_t` is the refitted core of round t. This is one `LinearCore` in the stacked frame
`U = [U_1 ... U_T]`, with the `D_t` as blocks of its diagonal. Totally corrective boosting likewise fits all weights anew after a
weak learner (Warmuth et al., 2006; Shalev-Shwartz et al., 2010). No direction is new, so the rank of the ensemble stays. Earlier
rounds are not changed, so every prefix of the ensemble stays a model.
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
    """The stacked frames of a refit, and the block-diagonal cores trained in them, by site."""

    frames: Mapping[str, Frame]
    parametrisations: Mapping[str, Parametrisation]


@attrs.frozen(kw_only=True, eq=False)
class Past:
    """An earlier round: its updates, and what it trained at each site."""

    number: int
    updates: Mapping[str, Update]
    parametrisations: Mapping[str, Parametrisation]


def refit_of(past: Sequence[Past]) -> Refit:
    """Stack every site's earlier frames, with their cores as diagonal blocks.

    Rounds whose update does not match the current adapter are left out (those inherited from a run with another adapter). Tied sites
    stay tied where they were changed in the same rounds.
    """
    frames, cores = dict[str, Frame](), dict[str, Parametrisation]()
    sites = dict.fromkeys(site for round_ in past for site in round_.updates)
    for site in sites:
        blocks = [(r.number, *block) for r in past if (block := _block(r, site)) is not None]
        if not blocks:
            continue
        numbers = [number for number, _, _ in blocks]
        stacked, linear = [frame for _, frame, _ in blocks], [core for _, _, core in blocks]
        # The group names the rounds too: sites share one vector only if its entries mean the same blocks at each.
        frames[site] = Frame(
            U=np.hstack([f.U for f in stacked]),
            S=np.concatenate([f.S for f in stacked]),
            V=np.hstack([f.V for f in stacked]),
        )
        cores[site] = _block_diagonal(linear, f"{linear[0].group}@{','.join(map(str, numbers))}")
    return Refit(frames=frames, parametrisations=cores)


def _block(past: Past, site: str) -> tuple[Frame, LinearCore] | None:
    """A round's frame and core at a site; None unless update and parametrisation agree in rank and exponents."""
    update, core = past.updates.get(site), past.parametrisations.get(site)
    if not isinstance(update, FactoredUpdate) or not isinstance(core, LinearCore):
        return None
    # A stacked core has one pair of exponents, so only rounds that agree in it can be stacked.
    matches = update.frame.rank == core.rank and update.exponents == core.exponents
    return (update.frame, core) if matches else None


def _block_diagonal(cores: Sequence[LinearCore], group: str) -> LinearCore:
    """The core `R = diag(D_1, ..., D_T)` with projections `(sum u_t, sum r_t, sum r_t)`, starting at zero."""
    ranks, sizes = [core.rank for core in cores], [core.init.size for core in cores]
    projections = np.zeros((sum(sizes), sum(ranks), sum(ranks)))
    row, corner = 0, 0
    for core, rank, size in zip(cores, ranks, sizes, strict=True):
        block = _unit_matrices(rank) if core.projections is None else core.projections
        # P_ti stands in the diagonal block of round t, so no direction of one round is paired with another round's.
        projections[row : row + size, corner : corner + rank, corner : corner + rank] = block
        row, corner = row + size, corner + rank
    return LinearCore(
        rank=sum(ranks),
        group=group,
        projections=projections,
        # A refit adds to the merged rounds, so it starts from no change.
        init=np.zeros(sum(sizes)),
        exponents=cores[0].exponents,
    )


def _unit_matrices(rank: int) -> Matrix:
    """The `r^2` unit matrices `(r^2, r, r)`, row by row: what `projections = None` stands for."""
    return np.eye(rank**2).reshape(rank**2, rank, rank)
