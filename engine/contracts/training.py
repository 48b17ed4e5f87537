"""What a round trains on, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from .cores import Parametrisation
from .examples import Examples
from .frames import Frame
from .generation import Completion, GenerationRequest
from .sequences import Tokens
from .updates import Update


@attrs.frozen(kw_only=True, eq=False)
class Selection:
    """The examples a round trains on.

    `indices` `(m,)` int64 into the training split, each at most once; `weights` `(m,)` float64, positive: the relative
    chance with which an example is drawn into a batch. Empty: nothing is left to learn, and the run has converged.
    """

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.indices)

    @classmethod
    def empty(cls) -> Selection:
        """Nothing is left to learn."""
        return cls(indices=np.empty(0, dtype=np.int64), weights=np.empty(0, dtype=np.float64))

    @classmethod
    def equal(cls, indices: NDArray[np.int64]) -> Selection:
        """Every example of `indices` with the same weight."""
        return cls(indices=np.asarray(indices, dtype=np.int64), weights=np.ones(len(indices)))


@attrs.frozen(kw_only=True, eq=False)
class Rollouts:
    """What a policy wrote: sequences `tokens` (b of them), whose completions are to be made likelier or less likely.

    With the ratio `rho_t = p(y_t) / p_old(y_t)` of a completion's token t, the advantage `A` of its sequence (the batch's weight) and the
    token's `share` in the loss, `L = sum_t share_t [beta k_t - min(rho_t A, clip(rho_t, 1 - low, 1 + high) A)]` (Schulman et al.,
    2017), where `k_t = q - log q - 1` with `q = p_start(y_t) / p(y_t)` estimates the divergence from the round's starting model (Shao et
    al., 2024). Probabilities are those of `softmax(z / temperature)`. Arrays have an entry for every token to be predicted.
    """

    tokens: Tokens
    shares: NDArray[np.float64]
    temperature: float = 1.0
    old: NDArray[np.float64] | None = None
    """Log-probabilities under the policy that wrote them; None: that is the current one, whose ratio is 1."""
    start: NDArray[np.float64] | None = None
    """Log-probabilities under the round's starting model; needed where `beta` is not 0."""
    clip: tuple[float, float] = (0.2, 0.2)
    """How far the ratio may fall below 1, and rise above it, and still count."""
    beta: float = 0.0
    counts: NDArray[np.int64] | None = None
    """Equal answers that each sequence stands for `(b,)`, whose shares are added up in its own; None: one each. The loss needs none
    of it; who counts answers does, as means over several batches do."""

    def take(self, indices: NDArray[np.int64]) -> Rollouts:
        """The sequences at `indices`, with what belongs to their tokens."""
        counts: list[int] = self.tokens.targets.tolist()
        ends = list(accumulate(counts))
        places = [np.arange(ends[i] - counts[i], ends[i], dtype=np.int64) for i in indices.tolist()]
        flat = np.concatenate(places) if places else np.empty(0, dtype=np.int64)

        def at(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
            return None if values is None else values[flat]

        return attrs.evolve(
            self,
            tokens=self.tokens[indices],
            shares=self.shares[flat],
            old=at(self.old),
            start=at(self.start),
            counts=None if self.counts is None else self.counts[indices],
        )


@attrs.frozen(kw_only=True, eq=False)
class Batch:
    """One optimiser step: `indices` `(b,)` into the training split and `weights` `(b,)`.

    Supervised, the loss is `-sum_i w_i log p(y_i | x_i) / b`, the log-likelihood of a completion being the mean over its tokens, so
    that every example counts the same. With `rollouts`, a sequence for each index, weights are advantages, and the loss is theirs.
    A batch without an example has nothing to say: its loss is 0, and the step changes nothing.
    """

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]
    rollouts: Rollouts | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Examples, or answers, that each row stands for `(b,)`."""
        told = None if self.rollouts is None else self.rollouts.counts
        return np.ones(len(self), dtype=np.int64) if told is None else told

    def take(self, indices: NDArray[np.int64]) -> Batch:
        """A part of the batch; its loss is that part of the loss only if it keeps the whole batch's size in mind."""
        rollouts = None if self.rollouts is None else self.rollouts.take(indices)
        return Batch(indices=self.indices[indices], weights=self.weights[indices], rollouts=rollouts)

    def rows(self, examples: Examples) -> Examples:
        """The batch's examples; with rollouts, as the policy continued them."""
        rows = examples.take(self.indices)
        return rows if self.rollouts is None else attrs.evolve(rows, inputs=self.rollouts.tokens)


@attrs.frozen(kw_only=True, eq=False)
class Answers:
    """What a policy answered to b prompts, K times each, and how it was judged; an answer's place is `(prompt, sample)`.

    `indices` `(b,)` into the training split; `tokens`: b K sequences, those of a prompt one after the other; `rewards` `(b, K)`;
    `ended` `(b, K)`: whether the answer came to its end, and was not cut off at the limit.
    """

    indices: NDArray[np.int64]
    tokens: Tokens
    rewards: NDArray[np.float64]
    ended: NDArray[np.bool_]
    longest: int
    """Tokens that an answer may have, its end token among them."""
    old: NDArray[np.float64] | None = None
    start: NDArray[np.float64] | None = None
    """Log-probabilities of every answered token, where the objective wants them; see `Rollouts`."""


class Policy(Protocol):
    """The model in the middle of a round, with what is being trained as it is now: what rollouts are sampled from."""

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Continuations of every prompt (the tokens before `starts`)."""
        ...

    def log_probabilities(
        self, examples: Examples, temperature: float, *, start: bool = False
    ) -> NDArray[np.float64]:
        """Of every token to be predicted `(targets,)`, in nats; with `start`, under the model that the round began with."""
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """A site's weight `(d_out, d_in)`, with what is being trained merged into it."""
        ...


Batches = Sequence[Batch] | Callable[[Policy], Iterator[Batch]]
"""Batches that are known beforehand, or that are made from what the policy does; the next one is asked for after each step."""


@attrs.frozen(kw_only=True, eq=False)
class Step:
    """One optimiser step as a backend saw it: the loss and the gradients before it, the values after it."""

    number: int
    """Counting from 1."""
    loss: float
    gradients: Mapping[str, NDArray[np.float64]]
    values: Mapping[str, NDArray[np.float64]]


@attrs.frozen(kw_only=True, eq=False)
class TrainingRequest:
    """Everything a backend needs to train one round; it draws no random number of its own."""

    parametrisations: Mapping[str, Parametrisation]
    frames: Mapping[str, Frame]
    """Frames by site name, for the sites whose parametrisation is a `LinearCore`."""
    examples: Examples
    batches: Batches
    learning_rates: NDArray[np.float64]
    """One rate per batch."""
    optimizer: object
    """The optimiser plugin: its `rule` names the update rule, its fields are the rule's constants."""
    on_step: Callable[[int, float], None] = lambda step, loss: None
    trace: Callable[[Step], None] | None = None
    """Is told every step in full, for verification; it costs copies, and on an accelerator waiting."""

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.learning_rates)

    @property
    def known(self) -> Sequence[Batch]:
        """The batches, where they are known beforehand. Raises TypeError where they are not."""
        if callable(self.batches):
            raise TypeError("these batches are made while training goes on")
        return self.batches

    def drawn(self, policy: Policy) -> Iterator[Batch]:
        """The batches one by one."""
        return self.batches(policy) if callable(self.batches) else iter(self.batches)


@attrs.frozen(kw_only=True, eq=False)
class Training:
    """What one round of training gave."""

    updates: Mapping[str, Update]
    values: Mapping[str, NDArray[np.float64]]
    """What was trained, by group (linear cores) or by site and factor: the only new information of the round."""
    losses: NDArray[np.float64]
    """Loss before each step, in nats."""

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(value.size for value in self.values.values())
