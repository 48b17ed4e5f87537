"""The logits of the next token, step by step: with the model's cache where that gives what computing everything anew gives.

Architectures keep different things between steps: keys and values, the states of recurrent layers, both, or nothing; and they read a mask
over padding in different ways. What a cache is worth is tried out, once for each model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from inspect import signature
from typing import Any, Protocol

import attrs
import numpy as np
import torch
from torch import Tensor

from ...engine.contracts import Tokens
from .devices import Place
from .nets import CausalNet, Padded, accepted, selected_logits

TRIED, LONGEST, STEPS = 3, 12, 3
"""Prompts on which a way is tried, tokens of the longest one, and steps."""
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.1}
"""Relative error of the logits. A wrong state is off by the size of the logits; the rest is room for rounding."""


@attrs.frozen
class Way:
    """How the next token is computed."""

    cached: bool
    """From what the model kept of the tokens before; else from all of them."""
    divides: bool = False
    """Whether rows can be taken out of the cache, or doubled."""
    prepared: bool = False
    """Whether the model's own `prepare_inputs_for_generation` chooses what it is given."""


RECOMPUTED = Way(cached=False, divides=True)
WAYS = tuple(
    Way(cached=True, divides=divides, prepared=prepared)
    for divides in (True, False)
    for prepared in (False, True)
)
"""In the order in which they are tried."""


class Steps(Protocol):
    """Sequences that grow by a token at a time."""

    def logits(self, sequences: Sequence[list[int]]) -> Tensor:
        """Of the token that follows each, `(rows, vocabulary)`; `sequences` are all tokens so far."""
        ...

    def feed(self, chosen: Tensor) -> None:
        """The tokens `(rows,)` that were chosen are the next input."""
        ...

    def take(self, index: Tensor) -> None:
        """The rows at `index` from now on."""
        ...


@attrs.frozen(eq=False)
class RecomputedSteps:
    """Everything is computed anew for every token, as it is in evaluation: slow, and right for every model."""

    net: CausalNet

    def logits(self, sequences: Sequence[list[int]]) -> Tensor:
        """The sequences side by side, padding to the right; the last token of each speaks."""
        tokens = Tokens.join(sequences)
        return self.net.next_logits(tokens, np.arange(len(tokens)), tokens.lengths - 1)

    def feed(self, chosen: Tensor) -> None:
        """Nothing is kept."""

    def take(self, index: Tensor) -> None:
        """Nothing is kept."""


class CachedSteps:
    """Padding to the left, so that all sequences continue in the same column; then one token of each at a time."""

    def __init__(self, module: Any, place: Place, *, prepared: bool) -> None:
        self._module, self._place, self._prepared = module, place, prepared
        # transformers from 5.24 on calls it `cache`, and warns of its older name.
        self._cache_name = "cache" if "cache" in signature(module.forward).parameters else "past_key_values"
        self._cache: Any = None
        self._ids = self._mask = self._positions = torch.empty(0)

    def logits(self, sequences: Sequence[list[int]]) -> Tensor:
        """The sequences are read once; afterwards the tokens that were fed are."""
        if self._cache is None:
            tokens = Tokens.join(sequences)
            padded = Padded.of(tokens, tokens.lengths, self._place.device, left=True)
            self._ids, self._mask = padded.ids, padded.mask
            self._positions = (padded.mask.cumsum(1) - 1).clamp(min=0)
        rows = torch.arange(len(self._ids), device=self._place.device)
        with selected_logits(self._module, (rows, torch.full_like(rows, self._input().shape[1] - 1))):
            answer = self._module(**accepted(self._module, self._arguments()))
        self._cache = getattr(answer, self._cache_name)
        return answer.logits

    def _input(self) -> Tensor:
        return self._ids if self._cache is None else self._ids[:, -1:]

    def _arguments(self) -> dict[str, Any]:
        given = {"attention_mask": self._mask, "use_cache": True, self._cache_name: self._cache}
        if self._prepared:
            length = self._input().shape[1]
            first = self._cache is None
            return self._module.prepare_inputs_for_generation(
                self._ids, next_sequence_length=length, is_first_iteration=first, **given
            )
        return {"input_ids": self._input(), "position_ids": self._positions, **given}

    def feed(self, chosen: Tensor) -> None:
        """The chosen tokens go to the end."""
        self._ids = torch.cat([self._ids, chosen[:, None]], dim=1)
        self._positions = self._positions[:, -1:] + 1
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)

    def take(self, index: Tensor) -> None:
        """The cache is divided, or rows of it doubled."""
        layers = getattr(self._cache, "layers", None)
        for layer in [self._cache] if layers is None else layers:
            # Layers that keep states know only the second name, by which beams are exchanged.
            (getattr(layer, "batch_select_indices", None) or layer.reorder_cache)(index)
        self._ids, self._positions, self._mask = self._ids[index], self._positions[index], self._mask[index]


def way_of(net: CausalNet, prompts: Tokens, place: Place) -> Way:
    """The quickest way that is right for a model, tried on the beginnings of a few prompts; found once."""
    if net.way is None:
        sample = _sample(prompts)
        sequences = [*sample, list(sample[-1])]
        expected = _tried(RecomputedSteps(net), sequences, divides=True)
        net.way = next((way for way in WAYS if _is_right(net, way, sequences, expected, place)), RECOMPUTED)
        if not net.way.cached:
            warnings.warn(
                f"{type(net.module).__name__} gives other answers with its cache than without, or has none: every token is computed "
                "from all tokens before it, which is slow",
                RuntimeWarning,
                stacklevel=2,
            )
    return net.way


def _sample(prompts: Tokens) -> list[list[int]]:
    """The beginnings of a few prompts, each a quarter shorter than the one before would be, so that short ones are padded too."""
    found = list[list[int]]()
    for i, start in enumerate(prompts.starts[:TRIED].tolist()):
        length = min(start, LONGEST)
        found.append(prompts.sequence(i)[: length - length * i // 4].tolist())
    return found


def _is_right(net: CausalNet, way: Way, sequences: list[list[int]], expected: Tensor, place: Place) -> bool:
    try:
        found = _tried(CachedSteps(net.module, place, prepared=way.prepared), sequences, divides=way.divides)
    except Exception:
        return False
    if found.shape != expected.shape or not bool(torch.isfinite(found).all()):
        return False
    return bool((found - expected).norm() <= TOLERANCES[place.compute] * expected.norm())


def _tried(steps: Steps, sequences: list[list[int]], *, divides: bool) -> Tensor:
    """Logits of a few steps; the last two rows are equal, and where rows can be taken out, one of them and then the first are."""
    given = [list(sequence) for sequence in sequences]
    if divides:
        found = [steps.logits(given[:-1])]
        steps.take(torch.tensor([*range(len(given) - 1), len(given) - 2], device=found[0].device))
        found[0] = torch.cat([found[0], found[0][-1:]])
    else:
        found = [steps.logits(given)]
    vocabulary = found[0].shape[-1]
    for step in range(1, STEPS):
        chosen = [(sequence[0] + 7 * step + i) % vocabulary for i, sequence in enumerate(given)]
        steps.feed(torch.tensor(chosen, device=found[0].device))
        given = [[*sequence, token] for sequence, token in zip(given, chosen, strict=True)]
        if divides and step == STEPS - 1:
            steps.take(torch.arange(1, len(given), device=found[0].device))
            found.append(steps.logits(given[1:]))
        else:
            found.append(steps.logits(given))
    last = found[-1] if divides else found[-1][1:]
    return torch.cat([*found[:-1], last]).double()
