"""The model during a round as a policy: it generates completions and returns their log-probabilities."""

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
from .round_state import RoundState
from .trainables import to_array


@attrs.frozen(kw_only=True, eq=False)
class TorchPolicy:
    """The model in training, at its current parameters; used between optimiser steps."""

    state: RoundState
    budget: int
    """Tokens per forward pass, including padding."""
    report: Callable[[str, int, int], None]

    @contextmanager
    def _inference(self, *, start: bool = False) -> Generator[None]:
        """A context without gradients and with all adapters; with `start`, the round's starting model."""
        trainables = self.state.trainables
        with torch.no_grad():
            # Without adapters the module is the merged model of earlier rounds, since training never changes its weights.
            adapters = {} if start else trainables.adapters(trainables.cores.assemble())
            with adapted(self.state.layers, adapters):
                yield

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Completions of every prompt."""
        with self._inference():
            return continuations(
                self.state.net,
                examples,
                request,
                place=self.state.place,
                budget=self.budget,
                progress=lambda done, total: self.report("answering", done, total),
                processes=self.state.processes,
            )

    def log_probabilities(
        self, examples: Examples, temperature: float, *, start: bool = False
    ) -> NDArray[np.float64]:
        """Log-probabilities in nats of all target tokens `(targets,)`, in example order."""
        place = self.state.place

        def of_group(group: Index) -> list[NDArray[np.float64]]:
            part = examples.take(group)
            targets = Targets.of(part, predicts_tokens=True)
            logits = require_finite(self.state.net.logits(part))
            nll = to_array(negative_log_likelihood(logits, targets.labels, place.master_dtype, temperature))
            return np.split(-nll, np.cumsum(targets.counts)[:-1])

        found: list[NDArray[np.float64]] = [np.empty(0)] * len(examples)
        groups = list(by_budget(lengths_of(examples), self.budget))
        with self._inference(start=start):
            for group, blocks in self.state.processes.map_groups(groups, of_group):
                for index, block in zip(group.tolist(), blocks, strict=True):
                    found[index] = block
        return np.concatenate(found)

    def weight(self, site: str) -> NDArray[np.float64]:
        """A site's weight `(d_out, d_in)` with the current update merged."""
        weight, update = to_array(self.state.layers[site].weight), self.state.trainables.update(site)
        if update is None:
            return weight
        L, M = update.factors()
        # In float64, as `merged` does: the model's own dtype would round the update.
        return weight + L @ M.T
