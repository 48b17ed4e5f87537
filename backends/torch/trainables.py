"""A round's trained parameters as leaf tensors, and the adapters built from them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...engine.contracts import (
    DenseDelta,
    DenseUpdate,
    FactoredUpdate,
    Frame,
    FreeFactors,
    LinearCore,
    Parametrisation,
    TrainingRequest,
    Update,
)
from .deltas import Adapter, CoreAdapter, DenseAdapter, FactorAdapter, Layer
from .devices import Placement

Array = NDArray[np.float64]


class Cores:
    """All linear cores of a round: one leaf holds every group's `v`, and one einsum gives the R of all sites of a shape.

    `v (total,)` concatenates the groups; `P (s, u, r, r)` stacks s sites; `R_s = sum_i v[index[s, i]] P[s, i]`, as in TinyLoRA.
    """

    def __init__(self, request: TrainingRequest, place: Placement) -> None:
        self.specs = {s: p for s, p in request.parametrisations.items() if isinstance(p, LinearCore)}
        self.frames: dict[str, Frame] = {}
        starts = dict[str, Array]()
        for site, spec in self.specs.items():
            if site not in request.frames:
                raise ValueError(f"{site}: a linear core needs a frame")
            self.frames[site] = request.frames[site]
            # Tied sites share their group's `v`: the first one's start is everyone's.
            starts.setdefault(spec.group, spec.init)
        ends = np.cumsum([0, *(len(start) for start in starts.values())]).tolist()
        self.places = {group: slice(a, b) for group, a, b in zip(starts, ends[:-1], ends[1:], strict=True)}
        flat = np.concatenate(list(starts.values())) if starts else np.zeros(0)
        # One leaf, so that an optimiser step does not launch kernels for every site.
        self.v = torch.tensor(flat, dtype=place.master_dtype, device=place.device, requires_grad=True)
        self._bundles = [self._bundle(sites, place) for sites in self._same_shape()]
        self._sides = {site: self._factors(site, place) for site in self.specs}

    def _same_shape(self) -> list[list[str]]:
        """Sites grouped by the shape of their projections, so that they can be stacked."""
        groups = dict[tuple[int, int, bool], list[str]]()
        for site, spec in self.specs.items():
            groups.setdefault((spec.rank, len(spec.init), spec.projections is None), []).append(site)
        return list(groups.values())

    def _bundle(self, sites: list[str], place: Placement) -> tuple[list[str], Tensor, Tensor | None]:
        where = [np.arange(len(self.v))[self.places[self.specs[site].group]] for site in sites]
        given = [self.specs[site].projections for site in sites]
        P = np.stack([p for p in given if p is not None]) if given[0] is not None else None
        index = torch.from_numpy(np.stack(where)).to(place.device)
        return sites, index, None if P is None else torch.from_numpy(P).to(place.device, place.master_dtype)

    def _factors(self, site: str, place: Placement) -> tuple[Tensor, Tensor]:
        """`L = U diag(S^a)` and `M = V diag(S^b)` in the compute dtype, transposed: `(r, d_out)` and `(r, d_in)`."""
        frame, (a, b) = self.frames[site], self.specs[site].exponents
        sides = ((frame.U * frame.S**a).T, (frame.V * frame.S**b).T)
        left, right = (
            torch.from_numpy(np.ascontiguousarray(side)).to(place.device, place.compute_dtype)
            for side in sides
        )
        return left, right

    def assemble(self) -> dict[str, Tensor]:
        """`R (r, r)` of every site, differentiable in `v`."""
        found = dict[str, Tensor]()
        for sites, index, P in self._bundles:
            # Tied sites have equal rows of `index`, so their gradients add up in `v`.
            v, r = self.v[index], self.specs[sites[0]].rank
            R = v.view(len(sites), r, r) if P is None else torch.einsum("su,suij->sij", v, P)
            found |= dict(zip(sites, R.unbind(), strict=True))
        return found

    def adapters(self, cores: Mapping[str, Tensor]) -> dict[str, Adapter]:
        """Adapters `L R M^T` with the given cores R."""
        return {site: CoreAdapter(left, cores[site], right) for site, (left, right) in self._sides.items()}

    def split(self, flat: Tensor) -> dict[str, Array]:
        """Split a vector of the length of `v` by group."""
        array = to_array(flat)
        return {group: array[place].copy() for group, place in self.places.items()}

    def updates(self, values: Mapping[str, Array]) -> dict[str, Update]:
        """Every site's update; `R` is summed in float64 from the recorded values."""
        return {site: update_of(site, spec, self.frames[site], values) for site, spec in self.specs.items()}


class Trainables:
    """All trained parameters of a round: the cores, and the free factors or dense deltas of other sites."""

    def __init__(self, request: TrainingRequest, layers: Mapping[str, Layer], place: Placement) -> None:
        self.cores = Cores(request, place)
        self._specs = request.parametrisations
        self._free = dict[str, Tensor]()
        self._scales = dict[str, float]()
        for site, spec in request.parametrisations.items():
            d_out, d_in = layers[site].weight.shape
            match spec:
                case FreeFactors():
                    self._scales[site] = spec.scale
                    starts = {f"{site}:A": spec.A, f"{site}:B": np.zeros((d_out, spec.rank))}
                case DenseDelta():
                    starts = {site: np.zeros((d_out, d_in))}
                case LinearCore():
                    starts = {}
            for name, start in starts.items():
                leaf = torch.tensor(start, dtype=place.master_dtype, device=place.device, requires_grad=True)
                self._free[name] = leaf

    @property
    def leaves(self) -> list[Tensor]:
        """The optimiser's parameters."""
        return [*([self.cores.v] if self.cores.specs else []), *self._free.values()]

    def adapters(self, cores: Mapping[str, Tensor]) -> dict[str, Adapter]:
        """The adapter of every adapted site."""
        found = self.cores.adapters(cores)
        for site, scale in self._scales.items():
            found[site] = FactorAdapter(self._free[f"{site}:A"], self._free[f"{site}:B"], scale)
        for site, delta in self._free.items():
            if site in self._specs:
                found[site] = DenseAdapter(delta)
        return found

    def values(self) -> dict[str, Array]:
        """The parameters, by group or by site and factor."""
        return self.cores.split(self.cores.v) | {name: to_array(x) for name, x in self._free.items()}

    def gradients(self) -> dict[str, Array]:
        """The gradients under the same names; zero where there is none."""
        v = self.cores.v
        found = self.cores.split(torch.zeros_like(v) if v.grad is None else v.grad)
        grads = {name: torch.zeros_like(x) if x.grad is None else x.grad for name, x in self._free.items()}
        return found | {name: to_array(grad) for name, grad in grads.items()}

    def update(self, site: str) -> Update | None:
        """The current update of one site; None if it is not trained."""
        match self._specs.get(site):
            case None:
                return None
            case LinearCore(group=group) as spec:
                place = self.cores.places[group]
                return update_of(site, spec, self.cores.frames[site], {group: to_array(self.cores.v[place])})
            case spec:
                names = (name for name in (site, f"{site}:A", f"{site}:B") if name in self._free)
                return update_of(site, spec, None, {name: to_array(self._free[name]) for name in names})

    def updates(self, values: Mapping[str, Array]) -> dict[str, Update]:
        """The update of every site."""
        free = {site: spec for site, spec in self._specs.items() if not isinstance(spec, LinearCore)}
        return self.cores.updates(values) | {s: update_of(s, spec, None, values) for s, spec in free.items()}


def update_of(site: str, spec: Parametrisation, frame: Frame | None, values: Mapping[str, Array]) -> Update:
    """The update of a site for trained values; a core `R = sum_i v_i P_i` is summed in float64."""
    match spec:
        case LinearCore():
            if frame is None:
                raise ValueError(f"{site}: a linear core needs a frame")
            v, r = values[spec.group], spec.rank
            core = v.reshape(r, r) if spec.projections is None else np.tensordot(v, spec.projections, 1)
            return FactoredUpdate(frame=frame, core=core.copy(), exponents=spec.exponents)
        case FreeFactors():
            A, B = values[f"{site}:A"], values[f"{site}:B"]
            free = Frame(U=B, S=np.ones(len(A)), V=A.T)
            return FactoredUpdate(frame=free, core=spec.scale * np.eye(len(A)), orthonormal=False)
        case DenseDelta():
            return DenseUpdate(delta=values[site])


def to_array(x: Tensor) -> Array:
    """A float64 NumPy copy of a tensor."""
    return x.detach().cpu().to(torch.float64).numpy().copy()
