"""Batched generation, greedy or sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import attrs
import numpy as np
import torch
from torch import Tensor

from ...engine.contracts import Completion, Examples, GenerationRequest, Sampling, Tokens
from ...engine.errors import UsageError
from .devices import Placement
from .distributed import SINGLE, TorchProcessGroup
from .length_groups import Index, by_budget
from .losses import require_finite
from .nets import CacheMode, CausalNet, Net
from .next_logits import NO_CACHE, CachedSteps, Steps, UncachedSteps, find_cache_mode

Progress = Callable[[int, int], None]


def continuations(
    net: Net,
    examples: Examples,
    request: GenerationRequest,
    *,
    place: Placement,
    budget: int,
    progress: Progress,
    processes: TorchProcessGroup = SINGLE,
) -> list[Completion]:
    """The completions of all prompts (the tokens before `starts`); prompts of similar length are batched together.

    `budget` bounds the tokens of a batch; `processes` shards the batches. Raises `UsageError` if the model is not a causal
    language model.
    """
    if not isinstance(examples.inputs, Tokens) or not isinstance(net, CausalNet):
        raise UsageError("only a causal language model can generate text")
    prompts = examples.inputs
    # By the longest length that a sequence may reach: the cache grows while it is decoded.
    groups = list(by_budget(prompts.starts + request.max_new_tokens, budget))
    mode = find_cache_mode(net, prompts, place) if groups else NO_CACHE

    def generate(group: Index) -> list[Completion]:
        return _BatchDecoder(net, prompts[group], request.take(group), place, mode).run()

    found = [Completion(np.empty(0, dtype=np.int32))] * len(examples)
    for group, completions in processes.map_groups(groups, generate, progress):
        for index, completion in zip(group.tolist(), completions, strict=True):
            found[index] = completion
    return found


@attrs.define(eq=False)
class _Sequence:
    """A prompt and the tokens generated so far."""

    index: int
    prompt: list[int]
    tokens: list[int] = attrs.field(factory=list)
    end: int | None = None


class _BatchDecoder:
    """Decodes a batch of prompts until all have ended.

    A sequence ends at an end token, when `finished` returns True, or after `max_new_tokens`. If rows of the cache can be selected,
    equal neighbouring prompts share one prefill, and finished rows are dropped once they are the majority.
    """

    def __init__(
        self, net: CausalNet, prompts: Tokens, request: GenerationRequest, place: Placement, mode: CacheMode
    ) -> None:
        self._request, self._place = request, place
        starts = prompts.starts.tolist()
        self._rows = [_Sequence(i, prompts.sequence(i)[:start].tolist()) for i, start in enumerate(starts)]
        self._unfinished = list(self._rows)
        self._active = list(self._rows)
        """Rows in the batch; some may have ended."""
        self._steps: Steps = (
            CachedSteps(net.module, place, prepared=mode.prepared) if mode.cached else UncachedSteps(net)
        )
        self._selectable = mode.selectable

    def run(self) -> list[Completion]:
        """Decode until all sequences have ended."""
        for step in range(self._request.max_new_tokens):
            logits = self._prefill() if step == 0 else self._steps.logits(self._sequences())
            chosen = self._next_tokens(logits, step)
            self._append(chosen)
            if not self._unfinished:
                break
            self._advance(chosen)
        return [Completion(np.array(row.tokens, dtype=np.int32), row.end) for row in self._rows]

    def _sequences(self) -> list[list[int]]:
        return [row.prompt + row.tokens for row in self._active]

    def _prefill(self) -> Tensor:
        """The logits of every row's first new token; equal neighbouring prompts are computed once."""
        prompts = [row.prompt for row in self._rows]
        first, copies = _distinct(prompts)
        if not self._selectable or len(first) == len(copies):
            return self._steps.logits(prompts)
        logits = self._steps.logits([prompts[i] for i in first])
        index = torch.tensor(copies, device=self._place.device)
        self._steps.select(index)
        return logits[index]

    def _next_tokens(self, logits: Tensor, step: int) -> Tensor:
        request = self._request
        require_finite(logits)
        if request.sampling is None:
            return logits.argmax(dim=-1)
        if request.draws is None:
            raise ValueError("sampling needs draws")
        # By the row's own index, not its place: the tokens of a prompt do not depend on which rows have ended.
        draws = request.draws[[row.index for row in self._active], step]
        return sampled(logits, request.sampling, torch.from_numpy(draws))

    def _append(self, chosen: Tensor) -> None:
        """Append each unfinished sequence's token, and retire sequences that have ended."""
        finished = self._request.finished
        tokens = dict(zip(map(id, self._active), chosen.tolist(), strict=True))
        for row in list(self._unfinished):
            token = tokens[id(row)]
            if token in self._request.end_tokens:
                row.end = token
                self._unfinished.remove(row)
                continue
            row.tokens.append(token)
            if finished is not None and finished(np.array(row.tokens, dtype=np.int32)):
                self._unfinished.remove(row)

    def _advance(self, chosen: Tensor) -> None:
        """Feed the chosen tokens back; drop finished rows once they are at least half of the batch."""
        self._steps.feed(chosen)
        # Selecting copies the cache: doing so only at halvings bounds the copies by the logarithm of the batch.
        if 2 * len(self._unfinished) > len(self._active) or not self._selectable:
            return
        unfinished = {id(row) for row in self._unfinished}
        kept = [i for i, row in enumerate(self._active) if id(row) in unfinished]
        self._steps.select(torch.tensor(kept, device=self._place.device))
        self._active = [self._active[i] for i in kept]


def _distinct(prompts: Sequence[list[int]]) -> tuple[list[int], list[int]]:
    """The first index of every run of equal prompts, and for every prompt the index of its run."""
    new = [i == 0 or prompt != prompts[i - 1] for i, prompt in enumerate(prompts)]
    return [i for i, is_new in enumerate(new) if is_new], [n - 1 for n in accumulate(map(int, new))]


def sampled(logits: Tensor, sampling: Sampling, draws: Tensor) -> Tensor:
    """Inverse-CDF sampling: for each row of `logits (n, vocabulary)`, the first token whose cumulative probability exceeds `draws (n,)`.

    `p = softmax(z / temperature)`, cut to its nucleus. Sums are float64 where the device has it: over a large vocabulary the
    rounding error of float32 exceeds the probability of many tokens.
    """
    exact = torch.float32 if logits.device.type == "mps" else torch.float64
    p = torch.softmax(logits.to(exact) / sampling.temperature, dim=-1)
    if sampling.top_p < 1.0:
        p = p * nucleus(p, sampling.nucleus_mass)
    # The draw is scaled by the last edge, so `p` need not be normalised after the nucleus cut.
    edges = p.cumsum(dim=-1)
    points = draws.to(logits.device, exact)[:, None] * edges[:, -1:]
    places = torch.searchsorted(edges, points, right=True)[:, 0]
    return torch.minimum(places, _last(p))  # rounding may push a draw near 1 past the last edge


def nucleus(p: Tensor, enough: float) -> Tensor:
    """Mask `(n, vocabulary)` of the smallest set of most likely tokens whose probabilities sum to `enough`; lower ids win ties.

    Nucleus sampling (Holtzman et al., 2020).
    """
    # Stable, so that the lower id comes first among equal probabilities on every device.
    ordered, order = torch.sort(p, dim=-1, descending=True, stable=True)
    # The mass before a token: the token that crosses `enough` is still part of the nucleus.
    before = ordered.cumsum(dim=-1) - ordered
    return torch.zeros_like(p, dtype=torch.bool).scatter_(-1, order, before < enough)


def _last(p: Tensor) -> Tensor:
    """The last token of each row with nonzero probability."""
    places = torch.arange(p.shape[-1], device=p.device)
    return torch.where(p > 0, places, -1).amax(dim=-1)
