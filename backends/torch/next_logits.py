"""Next-token logits, step by step, with the model's cache where it gives the same logits as full recomputation.

Architectures cache different things: keys and values, recurrent states, both, or nothing; and they treat padding masks
differently. Whether a model's cache is correct is therefore tested once per model.
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
from .devices import Placement
from .nets import CacheMode, CausalNet, PaddedTokens, accepted_arguments, selected_logits

PROMPTS, PROMPT_TOKENS, STEPS = 3, 12, 3
"""Prompts on which a mode is tested, tokens of the longest one, and decoding steps."""
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.1}
"""Relative error of the logits. A wrong cache is off by the size of the logits; smaller differences are rounding."""

NO_CACHE = CacheMode(cached=False, selectable=True)
CACHE_MODES = tuple(
    CacheMode(cached=True, selectable=selectable, prepared=prepared)
    for selectable in (True, False)
    for prepared in (False, True)
)
"""In the order in which they are tested."""


class Steps(Protocol):
    """Decodes a batch of sequences one token at a time."""

    def logits(self, sequences: Sequence[list[int]]) -> Tensor:
        """Next-token logits `(rows, vocabulary)`; `sequences` are all tokens so far."""
        ...

    def feed(self, chosen: Tensor) -> None:
        """Append the chosen tokens `(rows,)`."""
        ...

    def select(self, index: Tensor) -> None:
        """Keep the rows at `index`, in that order; an index may repeat."""
        ...


@attrs.frozen(eq=False)
class UncachedSteps:
    """Recomputes all tokens at every step, as in evaluation: slow, but correct for every model."""

    net: CausalNet

    def logits(self, sequences: Sequence[list[int]]) -> Tensor:
        """Logits at the last token of each sequence, padded on the right."""
        tokens = Tokens.join(sequences)
        return self.net.next_logits(tokens, np.arange(len(tokens)), tokens.lengths - 1)

    def feed(self, chosen: Tensor) -> None:
        """Do nothing: there is no state."""

    def select(self, index: Tensor) -> None:
        """Do nothing: there is no state."""


class CachedSteps:
    """Decodes with the model's cache. Prompts are left-padded, so that all sequences continue in the same column."""

    def __init__(self, module: Any, place: Placement, *, prepared: bool) -> None:
        self._module, self._place, self._prepared = module, place, prepared
        # transformers >= 5.24 names it `cache` and warns about the old name.
        self._cache_name = "cache" if "cache" in signature(module.forward).parameters else "past_key_values"
        self._cache: Any = None
        self._ids = self._mask = self._positions = torch.empty(0)

    def logits(self, sequences: Sequence[list[int]]) -> Tensor:
        """Prefill with the sequences on the first call; later calls compute the fed tokens only."""
        if self._cache is None:
            tokens = Tokens.join(sequences)
            padded = PaddedTokens.of(tokens, tokens.lengths, self._place.device, left=True)
            self._ids, self._mask = padded.ids, padded.mask
            # Positions count real tokens; the padding on the left gets 0, and is masked.
            self._positions = (padded.mask.cumsum(1) - 1).clamp(min=0)
        rows = torch.arange(len(self._ids), device=self._place.device)
        with selected_logits(self._module, (rows, torch.full_like(rows, self._input().shape[1] - 1))):
            answer = self._module(**accepted_arguments(self._module, self._arguments()))
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
        """Append the chosen tokens, and extend mask and positions."""
        self._ids = torch.cat([self._ids, chosen[:, None]], dim=1)
        self._positions = self._positions[:, -1:] + 1
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)

    def select(self, index: Tensor) -> None:
        """Select or duplicate rows of the cache."""
        layers = getattr(self._cache, "layers", None)
        for layer in [self._cache] if layers is None else layers:
            # Recurrent layers have only `reorder_cache`, which beam search uses.
            (getattr(layer, "batch_select_indices", None) or layer.reorder_cache)(index)
        self._ids, self._positions, self._mask = self._ids[index], self._positions[index], self._mask[index]


def find_cache_mode(net: CausalNet, prompts: Tokens, place: Placement) -> CacheMode:
    """The fastest correct mode for a model, tested once on prefixes of a few prompts."""
    if net.cache_mode is None:
        sample = _sample(prompts)
        sequences = [*sample, list(sample[-1])]
        expected = _test_logits(UncachedSteps(net), sequences, selectable=True)
        net.cache_mode = next(
            (mode for mode in CACHE_MODES if _matches(net, mode, sequences, expected, place)), NO_CACHE
        )
        if not net.cache_mode.cached:
            warnings.warn(
                f"{type(net.module).__name__} has no cache, or gives other logits with it than without: generation recomputes all "
                "tokens at every step, which is slow",
                RuntimeWarning,
                stacklevel=2,
            )
    return net.cache_mode


def _sample(prompts: Tokens) -> list[list[int]]:
    """Prefixes of a few prompts, each a quarter of its length shorter than the previous one, so that some are padded."""
    found = list[list[int]]()
    for i, start in enumerate(prompts.starts[:PROMPTS].tolist()):
        length = min(start, PROMPT_TOKENS)
        found.append(prompts.sequence(i)[: length - length * i // 4].tolist())
    return found


def _matches(
    net: CausalNet, mode: CacheMode, sequences: list[list[int]], expected: Tensor, place: Placement
) -> bool:
    try:
        steps = CachedSteps(net.module, place, prepared=mode.prepared)
        found = _test_logits(steps, sequences, selectable=mode.selectable)
    # Models fail in many ways with a cache of another kind: any error means that the mode is not usable.
    except Exception:
        return False
    if found.shape != expected.shape or not bool(torch.isfinite(found).all()):
        return False
    # Relative to the logits' norm, since their size differs between models.
    return bool((found - expected).norm() <= TOLERANCES[place.compute_dtype] * expected.norm())


def _test_logits(steps: Steps, sequences: list[list[int]], *, selectable: bool) -> Tensor:
    """Logits of a few steps, concatenated. The last two sequences are equal.

    If `selectable`, the last row is a duplicate made by `select`, and the first row is dropped before the last step.
    """
    given = [list(sequence) for sequence in sequences]
    if selectable:
        found = [steps.logits(given[:-1])]
        steps.select(torch.tensor([*range(len(given) - 1), len(given) - 2], device=found[0].device))
        found[0] = torch.cat([found[0], found[0][-1:]])
    else:
        found = [steps.logits(given)]
    vocabulary = found[0].shape[-1]
    for step in range(1, STEPS):
        chosen = [(sequence[0] + 7 * step + i) % vocabulary for i, sequence in enumerate(given)]
        steps.feed(torch.tensor(chosen, device=found[0].device))
        given = [[*sequence, token] for sequence, token in zip(given, chosen, strict=True)]
        if selectable and step == STEPS - 1:
            steps.select(torch.arange(1, len(given), device=found[0].device))
            found.append(steps.logits(given[1:]))
        else:
            found.append(steps.logits(given))
    last = found[-1] if selectable else found[-1][1:]
    return torch.cat([*found[:-1], last]).double()
