"""The model in the middle of a round, as a policy: it answers prompts, and says how likely answers are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from ...engine.contracts import Completion, Examples, GenerationRequest
from .deltas import adapted
from .generation import continuations
from .length_groups import Index, by_budget, lengths_of
from .losses import Targets, negative_log_likelihood, require_finite
from .round_state import Round
from .trainables import to_array


@attrs.frozen(kw_only=True, eq=False)
class TorchPolicy:
    """What is being trained as it is now; asked between two steps."""

    state: Round
    budget: int
    """Tokens computed at once, padding counted."""
    report: Callable[[str, int, int], None]

    @contextmanager
    def _acting(self, *, start: bool = False) -> Generator[None]:
        """No gradients, and every site with its adapter; with `start`, the model as the round found it."""
        trainables = self.state.trainables
        with torch.no_grad():
            adapters = {} if start else trainables.adapters(trainables.cores.assemble())
            with adapted(self.state.layers, adapters):
                yield

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Continuations of every prompt."""
        with self._acting():
            return continuations(
                self.state.net,
                examples,
                request,
                place=self.state.place,
                budget=self.budget,
                told=lambda done, total: self.report("answering", done, total),
                processes=self.state.processes,
            )

    def log_probabilities(
        self, examples: Examples, temperature: float, *, start: bool = False
    ) -> NDArray[np.float64]:
        """Of every token to be predicted, in the order of the examples, in nats."""
        place = self.state.place

        def of_group(group: Index) -> list[NDArray[np.float64]]:
            part = examples.take(group)
            targets = Targets.of(part, completes=True)
            logits = require_finite(self.state.net.logits(part))
            nll = to_array(negative_log_likelihood(logits, targets.labels, place.master, temperature))
            return np.split(-nll, np.cumsum(targets.counts)[:-1])

        found: list[NDArray[np.float64]] = [np.empty(0)] * len(examples)
        groups = list(by_budget(lengths_of(examples), self.budget))
        with self._acting(start=start):
            for group, blocks in self.state.processes.over(groups, of_group):
                for index, block in zip(group.tolist(), blocks, strict=True):
                    found[index] = block
        return np.concatenate(found)

    def weight(self, site: str) -> NDArray[np.float64]:
        """A site's weight with what is being trained merged into it."""
        weight, update = to_array(self.state.layers[site].weight), self.state.trainables.update(site)
        if update is None:
            return weight
        L, M = update.factors()
        return weight + L @ M.T
