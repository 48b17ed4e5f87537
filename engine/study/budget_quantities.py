"""Quantities that budgets hold: what a spec will train, before anything is trained."""

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

DECIDE = ("task", "model", "adapter", "basis", "backend")
"""Slots on which the number of parameters may depend."""


def measure(spec: Spec, quantity: Quantity, data: SplitCache | None = None) -> int:
    """A quantity of a spec: `parameters`, or in all rounds `total_parameters`, `steps` and `examples` (steps times the batch size).

    The number of parameters comes from the plan, so tying and every site count; directions need not suffice for all rounds.
    Runs that end early have less. A fully corrective round trains no number that others do not.
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
    """By rank, how many rounds that take new directions have it; the adapter's, where there is no round."""
    found = spec.ranks.counted(spec.boosting.fresh_in(spec.rounds))
    return found or Counter({spec.adapter.rank: 0})


def _parameters(spec: Spec, rank: int, data: SplitCache | None) -> int:
    """Numbers of one round of a rank.

    One round needs the fewest directions: what many rounds need is held against the plan later, with all keys solved.
    """
    head = attrs.evolve(spec.head, rounds=1)
    lone = attrs.evolve(with_ranks(spec, Ranks(usual=rank)), head=head, start=Start(), trackers={})
    return prepare(lone, data).plan.parameters


@attrs.frozen
class Measures:
    """Measures documents, and remembers numbers of parameters, since a plan may need all the data."""

    registry: Registry
    _known: dict[str, int] = attrs.field(factory=dict)
    _data: SplitCache = attrs.field(factory=SplitCache)

    def of(self, document: Document, quantity: Quantity) -> int:
        """The quantity. Raises `SpecError` for a spec that is wrong, and what making a plan raises."""
        spec = resolve(document, self.registry)
        if quantity in {"steps", "examples"}:
            return measure(spec, quantity)
        content: list[Any] = [
            (spec.slots[slot].use, attrs.asdict(spec.slots[slot].plugin)) for slot in DECIDE
        ]
        content += [attrs.asdict(spec.sites), spec.head.seed, quantity, sorted(_ranks(spec).items())]
        if (key := str(content)) not in self._known:
            self._known[key] = measure(spec, quantity, self._data)
        return self._known[key]

    def is_sound(self, document: Document) -> bool:
        """Whether a document is a spec."""
        try:
            resolve(document, self.registry)
        except SpecError:
            return False
        return True

    def on_trial(self, document: Document, quantity: Quantity) -> int | None:
        """The quantity; None where the value on trial is not legal, or the directions do not suffice for one round."""
        try:
            return self.of(document, quantity)
        except (SpecError, ExhaustedError):
            return None
