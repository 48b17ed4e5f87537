"""How answers are read off the logits, in groups of examples that are computed at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, Predictions
from ...engine.foundation.run_context import Report
from .devices import Place
from .distributed import TorchProcessGroup
from .length_groups import Index, by_budget, lengths_of
from .losses import Targets, negative_log_likelihood, require_finite
from .nets import Net
from .trainables import to_array

T = TypeVar("T")


@attrs.frozen(kw_only=True, eq=False)
class Evaluation:
    """A module as it is, and how it is asked."""

    net: Net
    place: Place
    budget: int
    """Tokens computed at once, padding counted."""
    report: Report
    processes: TorchProcessGroup
    """The processes among which groups are shared out."""

    def predictions(self, examples: Examples) -> Predictions:
        """Class of the largest logit (the first, on a tie), or how many tokens of the completion are; and the loss."""
        output = np.empty(len(examples), dtype=np.int64)
        loss, counts = np.empty(len(examples)), np.empty(len(examples), dtype=np.int64)
        for group, found in self._by_group(examples, self._answers):
            output[group], loss[group], counts[group] = found
        return Predictions(output=output, loss=loss, targets=counts if self.net.completes else None)

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """Rows of logits, in the order of the examples."""
        rows: list[NDArray[np.float64]] = [np.empty((0, 0))] * len(examples)
        for group, found in self._by_group(examples, self._logits):
            for index, block in zip(group.tolist(), found, strict=True):
                rows[index] = block
        return np.concatenate(rows)

    def _by_group(self, examples: Examples, compute: Callable[[Examples], T]) -> list[tuple[Index, T]]:
        """Groups of examples that are computed at once, each in one process, with what came of them."""
        groups = list(by_budget(lengths_of(examples), self.budget))

        def told(done: int, total: int) -> None:
            self.report("evaluating", done, total)

        return self.processes.over(groups, lambda group: compute(examples.take(group)), told)

    def _answers(self, part: Examples) -> tuple[Index, NDArray[np.float64], Index]:
        """Output, loss and number of targets of examples that are computed at once."""
        completes = self.net.completes
        targets, logits = Targets.of(part, completes=completes), require_finite(self.net.logits(part))
        nll = negative_log_likelihood(logits, targets.labels, self.place.master)
        chosen = logits.argmax(dim=-1).cpu().numpy()
        loss = targets.per_example(to_array(nll)) / np.maximum(targets.counts, 1)
        right = targets.per_example((chosen == targets.labels).astype(np.float64)).astype(np.int64)
        return right if completes else chosen, loss, targets.counts

    def _logits(self, part: Examples) -> list[NDArray[np.float64]]:
        counts = Targets.of(part, completes=self.net.completes).counts
        return np.split(to_array(self.net.logits(part)), np.cumsum(counts)[:-1])
