"""Predictions, losses and logits, computed in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Examples, Predictions
from ...engine.foundation.run_context import Report
from .devices import Placement
from .distributed import TorchProcessGroup
from .length_groups import Index, by_budget, lengths_of
from .losses import Targets, negative_log_likelihood, require_finite, residual_loss
from .nets import Net
from .trainables import to_array

T = TypeVar("T")


@attrs.frozen(kw_only=True, eq=False)
class Evaluation:
    """A model in its current state, and how its forward passes are batched."""

    net: Net
    place: Placement
    budget: int
    """Tokens per forward pass, including padding."""
    report: Report
    processes: TorchProcessGroup
    """The processes over which groups are sharded."""

    def predictions(self, examples: Examples) -> Predictions:
        """The argmax class (the first, on a tie) with all logits, or the number of completion tokens that are the argmax; and the loss."""
        if self.net.predicts_tokens:
            return self._token_predictions(examples)
        loss, rows = np.empty(len(examples)), dict[int, NDArray[np.float64]]()
        for group, (losses, logits) in self._by_group(examples, self._class_losses):
            loss[group] = losses
            rows |= zip(group.tolist(), logits, strict=True)
        logits = np.stack([rows[i] for i in range(len(examples))]) if rows else np.empty((0, 1))
        return Predictions(output=logits.argmax(axis=1).astype(np.int64), loss=loss, logits=logits)

    def _token_predictions(self, examples: Examples) -> Predictions:
        output, targets = (np.empty(len(examples), dtype=np.int64) for _ in range(2))
        loss = np.empty(len(examples))
        for group, found in self._by_group(examples, self._tokens):
            output[group], loss[group], targets[group] = found
        return Predictions(output=output, loss=loss, targets=targets)

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """Rows of logits, in example order."""
        rows: list[NDArray[np.float64]] = [np.empty((0, 0))] * len(examples)
        for group, found in self._by_group(examples, self._logits):
            for index, block in zip(group.tolist(), found, strict=True):
                rows[index] = block
        return np.concatenate(rows)

    def _by_group(self, examples: Examples, compute: Callable[[Examples], T]) -> list[tuple[Index, T]]:
        """The results of groups of examples; each group is one forward pass in one process."""
        groups = list(by_budget(lengths_of(examples), self.budget))

        def progress(done: int, total: int) -> None:
            self.report("evaluating", done, total)

        return self.processes.map_groups(groups, lambda group: compute(examples.take(group)), progress)

    def _class_losses(self, part: Examples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses `(n,)` and logits `(n, classes)` of one forward pass; in regression `(n, 1)`."""
        logits, dtype = require_finite(self.net.logits(part)), self.place.master_dtype
        if part.values is not None:
            losses = residual_loss(logits, part.values, dtype)
        else:
            losses = negative_log_likelihood(logits, part.labels, dtype)
        return to_array(losses), to_array(logits)

    def _tokens(self, part: Examples) -> tuple[Index, NDArray[np.float64], Index]:
        """Right tokens, mean loss and number of targets of every completion of one forward pass."""
        targets, logits = Targets.of(part, predicts_tokens=True), require_finite(self.net.logits(part))
        nll = negative_log_likelihood(logits, targets.labels, self.place.master_dtype)
        chosen = logits.argmax(dim=-1).cpu().numpy()
        loss = targets.per_example(to_array(nll)) / np.maximum(targets.counts, 1)
        right = targets.per_example((chosen == targets.labels).astype(np.float64)).astype(np.int64)
        return right, loss, targets.counts

    def _logits(self, part: Examples) -> list[NDArray[np.float64]]:
        counts = Targets.of(part, predicts_tokens=self.net.predicts_tokens).counts
        return np.split(to_array(self.net.logits(part)), np.cumsum(counts)[:-1])
