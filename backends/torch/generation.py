"""Decoding with a key-value cache, greedy or sampled, for many prompts side by side."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...engine.contracts import Examples, GenerationRequest, Sampling, Tokens, Written
from ...engine.errors import UsageError
from .batching import Index, by_budget
from .crew import ALONE, Team
from .devices import Place
from .losses import require_finite
from .nets import CausalNet, Net, Padded, speaking

Told = Callable[[int, int], None]


def continuations(
    net: Net,
    examples: Examples,
    request: GenerationRequest,
    *,
    place: Place,
    budget: int,
    told: Told,
    team: Team = ALONE,
) -> list[Written]:
    """What follows every prompt (the tokens before `starts`); those of like length are computed together.

    `budget` bounds the tokens of a group, `told(done, total)` hears how far it has come; `team` shares the groups out. Raises `UsageError` for a model that cannot write.
    """
    if not isinstance(examples.inputs, Tokens) or not isinstance(net, CausalNet):
        raise UsageError("only a causal language model can write")
    prompts, module = examples.inputs, net.module
    groups = list(by_budget(prompts.starts + request.max_new_tokens, budget))

    def write(group: Index) -> list[Written]:
        return _Conversation(module, prompts[group], request.take(group), place).finish()

    found = [Written(np.empty(0, dtype=np.int32))] * len(examples)
    for group, said in team.over(groups, write, told):
        for index, one in zip(group.tolist(), said, strict=True):
            found[index] = one
    return found


@attrs.define(eq=False)
class _Row:
    """One sequence in the making."""

    number: int
    tokens: list[int] = attrs.field(factory=list)
    end: int | None = None


class _Conversation:
    """Prompts side by side, padded to the left so that all continue in the same column.

    A sequence ends with an end token, when `finished` says so, or after `max_new_tokens`. Equal prompts that follow one another are read
    once. Once most rows have ended, the others go on without them.
    """

    def __init__(self, module: Any, prompts: Tokens, request: GenerationRequest, place: Place) -> None:
        self._module, self._request, self._place = module, request, place
        self._prompts = prompts
        self._cache: Any = None
        # transformers from 5.24 on calls it `cache`, and warns of its older name.
        self._cache_name = "cache" if "cache" in signature(module.forward).parameters else "past_key_values"
        self._rows = [_Row(i) for i in range(len(prompts))]
        self._open = list(self._rows)
        self._active = list(self._rows)
        """Rows of the tensors; some may have ended."""

    def finish(self) -> list[Written]:
        """Go on until all have ended."""
        for step in range(self._request.max_new_tokens):
            chosen = self._choose(self._read() if step == 0 else self._logits(), step)
            self._note(chosen)
            if not self._open:
                break
            self._advance(chosen)
        return [Written(np.array(row.tokens, dtype=np.int32), row.end) for row in self._rows]

    def _read(self) -> Tensor:
        """Read the prompts, equal neighbours once, and give the logits of every row's first token."""
        first, copies = _distinct(self._prompts)
        self._begin(self._prompts[first])
        logits = self._logits()
        if len(first) == len(copies):
            return logits
        if not hasattr(self._cache, "batch_select_indices"):
            self._begin(self._prompts)
            return self._logits()
        index = torch.from_numpy(copies).to(self._place.device)
        self._cache.batch_select_indices(index)
        self._ids, self._positions, self._mask = self._ids[index], self._positions[index], self._mask[index]
        return logits[index]

    def _begin(self, prompts: Tokens) -> None:
        padded = Padded.of(prompts, prompts.starts, self._place.device, left=True)
        self._ids, self._mask, self._cache = padded.ids, padded.mask, None
        self._positions = (padded.mask.cumsum(1) - 1).clamp(min=0)

    def _logits(self) -> Tensor:
        """Of the next token, `(rows, vocabulary)`."""
        rows = torch.arange(len(self._ids), device=self._place.device)
        with speaking(self._module, (rows, torch.full_like(rows, self._ids.shape[1] - 1))):
            answer = self._module(
                input_ids=self._ids,
                attention_mask=self._mask,
                position_ids=self._positions,
                use_cache=True,
                **{self._cache_name: self._cache},
            )
        self._cache = getattr(answer, self._cache_name)
        return require_finite(answer.logits)

    def _choose(self, logits: Tensor, step: int) -> Tensor:
        request = self._request
        if request.sampling is None:
            return logits.argmax(dim=-1)
        if request.draws is None:
            raise ValueError("sampling needs draws")
        draws = request.draws[[row.number for row in self._active], step]
        return sampled(logits, request.sampling, torch.from_numpy(draws))

    def _note(self, chosen: Tensor) -> None:
        """Append each open sequence's token, and close those that have ended."""
        ended, tokens = self._request.finished, dict(zip(map(id, self._active), chosen.tolist(), strict=True))
        for row in list(self._open):
            token = tokens[id(row)]
            if token in self._request.end_tokens:
                row.end = token
                self._open.remove(row)
                continue
            row.tokens.append(token)
            if ended is not None and ended(np.array(row.tokens, dtype=np.int32)):
                self._open.remove(row)

    def _advance(self, chosen: Tensor) -> None:
        """The chosen tokens become the next input; rows that have ended are left out once they are most of all."""
        self._ids, self._positions = chosen[:, None], self._positions[:, -1:] + 1
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
        if 2 * len(self._open) > len(self._active) or not hasattr(self._cache, "batch_select_indices"):
            return
        still = {id(row) for row in self._open}
        kept = [place for place, row in enumerate(self._active) if id(row) in still]
        index = torch.tensor(kept, device=self._place.device)
        self._cache.batch_select_indices(index)
        self._ids, self._positions, self._mask = self._ids[index], self._positions[index], self._mask[index]
        self._active = [self._active[place] for place in kept]


def _distinct(prompts: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first of every run of equal prompts, and for every prompt which of them it is."""
    asked = [prompts.sequence(i)[:start].tobytes() for i, start in enumerate(prompts.starts.tolist())]
    new = np.array([i == 0 or asked[i] != asked[i - 1] for i in range(len(asked))], dtype=np.bool_)
    return np.flatnonzero(new), np.cumsum(new, dtype=np.int64) - 1


def sampled(logits: Tensor, sampling: Sampling, draws: Tensor) -> Tensor:
    """A token for each row of `logits (n, vocabulary)`: where the cumulated probabilities exceed `draws (n,)`.

    Probabilities are summed in float64, where the device has it: over a large vocabulary, float32 is off by more than many a
    token's probability.
    """
    exact = torch.float32 if logits.device.type == "mps" else torch.float64
    p = torch.softmax(logits.to(exact) / sampling.temperature, dim=-1)
    if sampling.top_p < 1.0:
        p = p * nucleus(p, sampling.enough)
    edges = p.cumsum(dim=-1)
    points = draws.to(logits.device, exact)[:, None] * edges[:, -1:]
    places = torch.searchsorted(edges, points, right=True)[:, 0]
    return torch.minimum(places, _last(p))  # a point at the very end may be rounded over it


def nucleus(p: Tensor, enough: float) -> Tensor:
    """Which tokens are among the fewest likeliest whose probabilities add up to `enough`, `(n, vocabulary)`; the first, on a tie."""
    ordered, order = torch.sort(p, dim=-1, descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    return torch.zeros_like(p, dtype=torch.bool).scatter_(-1, order, before < enough)


def _last(p: Tensor) -> Tensor:
    """The last token of each row that has a probability."""
    places = torch.arange(p.shape[-1], device=p.device)
    return torch.where(p > 0, places, -1).amax(dim=-1)
