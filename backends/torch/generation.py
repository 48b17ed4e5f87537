"""Text written for many prompts side by side, greedy or sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import attrs
import numpy as np
import torch
from torch import Tensor

from ...engine.contracts import Completion, Examples, GenerationRequest, Sampling, Tokens
from ...engine.errors import UsageError
from .devices import Place
from .distributed import SINGLE, TorchProcessGroup
from .length_groups import Index, by_budget
from .losses import require_finite
from .nets import CausalNet, Net
from .next_logits import RECOMPUTED, CachedSteps, RecomputedSteps, Steps, Way, way_of

Progress = Callable[[int, int], None]


def continuations(
    net: Net,
    examples: Examples,
    request: GenerationRequest,
    *,
    place: Place,
    budget: int,
    told: Progress,
    processes: TorchProcessGroup = SINGLE,
) -> list[Completion]:
    """What follows every prompt (the tokens before `starts`); those of like length are computed together.

    `budget` bounds the tokens of a group, `told(done, total)` hears how far it has come; `team` shares the groups out. Raises `UsageError` for a model that cannot write.
    """
    if not isinstance(examples.inputs, Tokens) or not isinstance(net, CausalNet):
        raise UsageError("only a causal language model can write")
    prompts = examples.inputs
    groups = list(by_budget(prompts.starts + request.max_new_tokens, budget))
    way = way_of(net, prompts, place) if groups else RECOMPUTED

    def write(group: Index) -> list[Completion]:
        return _Conversation(net, prompts[group], request.take(group), place, way).finish()

    found = [Completion(np.empty(0, dtype=np.int32))] * len(examples)
    for group, said in processes.over(groups, write, told):
        for index, one in zip(group.tolist(), said, strict=True):
            found[index] = one
    return found


@attrs.define(eq=False)
class _Row:
    """One sequence in the making."""

    number: int
    prompt: list[int]
    tokens: list[int] = attrs.field(factory=list)
    end: int | None = None


class _Conversation:
    """Prompts side by side, each continued until it ends.

    A sequence ends with an end token, when `finished` says so, or after `max_new_tokens`. Where the cache can be divided, equal prompts that
    follow one another are read once, and once most rows have ended, the others go on without them.
    """

    def __init__(
        self, net: CausalNet, prompts: Tokens, request: GenerationRequest, place: Place, way: Way
    ) -> None:
        self._request, self._place = request, place
        starts = prompts.starts.tolist()
        self._rows = [_Row(i, prompts.sequence(i)[:start].tolist()) for i, start in enumerate(starts)]
        self._open = list(self._rows)
        self._active = list(self._rows)
        """Rows that are computed; some may have ended."""
        self._steps: Steps = (
            CachedSteps(net.module, place, prepared=way.prepared) if way.cached else RecomputedSteps(net)
        )
        self._divides = way.divides

    def finish(self) -> list[Completion]:
        """Go on until all have ended."""
        for step in range(self._request.max_new_tokens):
            chosen = self._choose(self._read() if step == 0 else self._steps.logits(self._given()), step)
            self._note(chosen)
            if not self._open:
                break
            self._advance(chosen)
        return [Completion(np.array(row.tokens, dtype=np.int32), row.end) for row in self._rows]

    def _given(self) -> list[list[int]]:
        return [row.prompt + row.tokens for row in self._active]

    def _read(self) -> Tensor:
        """The logits of every row's first token; equal neighbours are read once."""
        prompts = [row.prompt for row in self._rows]
        first, copies = _distinct(prompts)
        if not self._divides or len(first) == len(copies):
            return self._steps.logits(prompts)
        logits = self._steps.logits([prompts[i] for i in first])
        index = torch.tensor(copies, device=self._place.device)
        self._steps.take(index)
        return logits[index]

    def _choose(self, logits: Tensor, step: int) -> Tensor:
        request = self._request
        require_finite(logits)
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
        self._steps.feed(chosen)
        if 2 * len(self._open) > len(self._active) or not self._divides:
            return
        still = {id(row) for row in self._open}
        kept = [place for place, row in enumerate(self._active) if id(row) in still]
        self._steps.take(torch.tensor(kept, device=self._place.device))
        self._active = [self._active[place] for place in kept]


def _distinct(prompts: Sequence[list[int]]) -> tuple[list[int], list[int]]:
    """The first of every run of equal prompts, and for every prompt which of them it is."""
    new = [i == 0 or prompt != prompts[i - 1] for i, prompt in enumerate(prompts)]
    return [i for i, is_new in enumerate(new) if is_new], [n - 1 for n in accumulate(map(int, new))]


def sampled(logits: Tensor, sampling: Sampling, draws: Tensor) -> Tensor:
    """A token for each row of `logits (n, vocabulary)`: where the cumulated probabilities exceed `draws (n,)`.

    Probabilities are summed in float64, where the device has it: over a large vocabulary, float32 is off by more than many a
    token's probability.
    """
    exact = torch.float32 if logits.device.type == "mps" else torch.float64
    p = torch.softmax(logits.to(exact) / sampling.temperature, dim=-1)
    if sampling.top_p < 1.0:
        p = p * nucleus(p, sampling.nucleus_mass)
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
