"""Quantities of budgets, computed from a spec before training."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs

from ..boosting.experiment import SplitCache, prepare
from ..boosting.round_plan import steps_in, with_ranks
from ..errors import ExhaustedError
from ..registry import Registry
from ..spec.document import Document
from ..spec.faults import SpecError
from ..spec.ranks import Ranks
from ..spec.resolve import resolve
from ..spec.spec import Spec
from ..spec.start import Start
from .ablate import Quantity

PARAMETER_SLOTS = ("task", "model", "adapter", "basis", "backend")
"""Slots on which the number of parameters may depend."""


def measure(spec: Spec, quantity: Quantity, data: SplitCache | None = None) -> int:
    """A quantity of a spec: `parameters`, or in all rounds `total_parameters`, `steps` and `examples` (steps times the batch size).

    Parameters come from the plan, which accounts for tying and all sites; directions need not suffice for all rounds. Runs
    that stop early have less. A fully corrective round trains only parameters of earlier rounds.
    """
    steps = steps_in(spec, spec.rounds)
    match quantity:
        case "steps":
            return steps
        case "examples":
            return spec.optimizer.batch_size * steps
        case "parameters":
            return max(_parameters(spec, rank, data) for rank in _ranks(spec))
        case "total_parameters":
            return sum(n * _parameters(spec, rank, data) for rank, n in _ranks(spec).items())


def _ranks(spec: Spec) -> Counter[int]:
    """Number of rounds with new directions by rank; the adapter's rank with count 0 if there is no such round."""
    found = spec.ranks.counted(spec.boosting.fresh_in(spec.rounds))
    return found or Counter({spec.adapter.rank: 0})


def _parameters(spec: Spec, rank: int, data: SplitCache | None) -> int:
    """Parameters of one round with the given rank.

    A single round needs the fewest directions; whether they suffice for all rounds is checked later, with all keys solved.
    """
    head = attrs.evolve(spec.head, rounds=1)
    lone = attrs.evolve(with_ranks(spec, Ranks(usual=rank)), head=head, start=Start(), trackers={})
    return prepare(lone, data).plan.parameters


@attrs.frozen
class QuantityCache:
    """Computes quantities of documents, with a cache, since a plan may need the whole data set."""

    registry: Registry
    _known: dict[str, int] = attrs.field(factory=dict)
    _data: SplitCache = attrs.field(factory=SplitCache)

    def of(self, document: Document, quantity: Quantity) -> int:
        """The quantity. Raises `SpecError` for an invalid spec, and the errors of planning."""
        spec = resolve(document, self.registry)
        if quantity in {"steps", "examples"}:
            return measure(spec, quantity)
        content: list[Any] = [
            (spec.slots[slot].use, attrs.asdict(spec.slots[slot].plugin)) for slot in PARAMETER_SLOTS
        ]
        content += [attrs.asdict(spec.sites), spec.head.seed, quantity, sorted(_ranks(spec).items())]
        if (key := str(content)) not in self._known:
            self._known[key] = measure(spec, quantity, self._data)
        return self._known[key]

    def is_valid(self, document: Document) -> bool:
        """Whether a document is a valid spec."""
        try:
            resolve(document, self.registry)
        except SpecError:
            return False
        return True

    def try_measure(self, document: Document, quantity: Quantity) -> int | None:
        """The quantity; None if the spec is invalid, or the directions do not suffice for one round."""
        try:
            return self.of(document, quantity)
        except (SpecError, ExhaustedError):
            return None
