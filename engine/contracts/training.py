"""Training of a round: selections, batches, rollouts, the request to a backend, and its result."""

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

    `indices` `(m,)` int64 into the training split, each at most once; `weights` `(m,)` float64, positive: relative
    probabilities of being drawn into a batch. An empty selection ends the run as converged.
    """

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.indices)

    @classmethod
    def empty(cls) -> Selection:
        """The empty selection: nothing left to learn."""
        return cls(indices=np.empty(0, dtype=np.int64), weights=np.empty(0, dtype=np.float64))

    @classmethod
    def equal(cls, indices: NDArray[np.int64]) -> Selection:
        """Every example of `indices` with the same weight."""
        return cls(indices=np.asarray(indices, dtype=np.int64), weights=np.ones(len(indices)))

    @classmethod
    def with_replay(cls, chosen: NDArray[np.int64], others: NDArray[np.int64], replay: float) -> Selection:
        """Each of m `chosen` examples with weight `(1 - replay) / m`, and each of n `others` with weight `replay / n`.

        Only the chosen ones, equally weighted, where there are no others or `replay` is 0.
        """
        if replay == 0.0 or len(others) == 0:
            return cls.equal(chosen)
        weights = [
            np.full(len(chosen), (1 - replay) / len(chosen)),
            np.full(len(others), replay / len(others)),
        ]
        return cls(indices=np.concatenate([chosen, others]), weights=np.concatenate(weights))


@attrs.frozen(kw_only=True, eq=False)
class Rollouts:
    """Sampled answers with a clipped policy-gradient loss (PPO, GRPO): `tokens` holds b sequences, prompts and completions.

    With the ratio `rho_t = p(y_t) / p_old(y_t)` of a completion's token t, the advantage `A` of its sequence (the batch's weight) and the
    token's `share` in the loss, `L = sum_t share_t [beta k_t - min(rho_t A, clip(rho_t, 1 - low, 1 + high) A)]` (Schulman et al.,
    2017), where `k_t = q - log q - 1` with `q = p_start(y_t) / p(y_t)` estimates the KL divergence from the
    round's starting model (Shao et al., 2024). Probabilities are those of `softmax(z / temperature)`. Arrays have one entry per target token.
    """

    tokens: Tokens
    shares: NDArray[np.float64]
    temperature: float = 1.0
    old: NDArray[np.float64] | None = None
    """Log-probabilities under the sampling policy; None: it is the current policy, so `rho = 1`."""
    start: NDArray[np.float64] | None = None
    """Log-probabilities under the round's starting model; needed where `beta` is not 0."""
    clip: tuple[float, float] = (0.2, 0.2)
    """`(low, high)`: the ratio is clipped to `[1 - low, 1 + high]`."""
    beta: float = 0.0
    counts: NDArray[np.int64] | None = None
    """Number of identical answers that each sequence stands for `(b,)`; None: one each. The sequence's shares already include them, so
    the loss does not use the counts; means over several batches do."""

    def take(self, indices: NDArray[np.int64]) -> Rollouts:
        """The sequences at `indices`, with the array entries of their tokens."""
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
    that every example counts the same. With `rollouts`, one sequence per index, weights are advantages, and the loss is that of `Rollouts`.
    In regression, with the residual `r_i = z_i - y_i` of the standardised value, it is `sum_i w_i l(r_i) / b`, where `l(r) = r^2`; with
    `delta`, `l(r) = r^2 / 2` for `|r| <= delta` and `delta (|r| - delta / 2)` beyond (Huber, 1964). An empty batch has loss 0, and its
    step changes nothing.
    """

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]
    rollouts: Rollouts | None = None
    delta: float | None = None
    """Threshold of the Huber loss, in standard deviations of the target."""

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of examples, or of identical answers, that each row stands for `(b,)`."""
        counts = None if self.rollouts is None else self.rollouts.counts
        return np.ones(len(self), dtype=np.int64) if counts is None else counts

    def take(self, indices: NDArray[np.int64]) -> Batch:
        """A part of the batch. For gradient accumulation, divide its loss by the size of the whole batch, not of the part."""
        rollouts = None if self.rollouts is None else self.rollouts.take(indices)
        return attrs.evolve(
            self, indices=self.indices[indices], weights=self.weights[indices], rollouts=rollouts
        )

    def weighted(self, weights: NDArray[np.float64]) -> Batch:
        """The batch with its weights multiplied by those of its examples, for `weights` of the training split `(n,)`."""
        return attrs.evolve(self, weights=self.weights * weights[self.indices])

    def rows(self, examples: Examples) -> Examples:
        """The batch's examples; with rollouts, their inputs are prompts with sampled answers."""
        rows = examples.take(self.indices)
        return rows if self.rollouts is None else attrs.evolve(rows, inputs=self.rollouts.tokens)


@attrs.frozen(kw_only=True, eq=False)
class Answers:
    """K sampled and judged answers to each of b prompts; arrays are indexed by `(prompt, sample)`.

    `indices` `(b,)` into the training split; `tokens`: b K sequences, those of one prompt adjacent; `rewards` `(b, K)`;
    `ended` `(b, K)`: whether the answer ended by itself, and was not cut off at the limit.
    """

    indices: NDArray[np.int64]
    tokens: Tokens
    rewards: NDArray[np.float64]
    ended: NDArray[np.bool_]
    longest: int
    """Most tokens of an answer, end token included."""
    old: NDArray[np.float64] | None = None
    start: NDArray[np.float64] | None = None
    """Log-probabilities of every answer token, where the objective needs them; see `Rollouts`."""


class Policy(Protocol):
    """The model during training, with the current values of the round's parameters; rollouts are sampled from it."""

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """One completion per prompt (the tokens before `starts`)."""
        ...

    def log_probabilities(
        self, examples: Examples, temperature: float, *, start: bool = False
    ) -> NDArray[np.float64]:
        """Log-probabilities of all target tokens `(targets,)`, in nats; with `start`, under the round's starting model."""
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """A site's weight `(d_out, d_in)` with the round's current update merged."""
        ...


Batches = Sequence[Batch] | Callable[[Policy], Iterator[Batch]]
"""Fixed batches, or a function that samples them from the policy. Its iterator is advanced once per step, after the update of the last."""


@attrs.frozen(kw_only=True, eq=False)
class Step:
    """Trace of one optimiser step: loss and gradients before it, values after it."""

    number: int
    """Counting from 1."""
    loss: float
    gradients: Mapping[str, NDArray[np.float64]]
    values: Mapping[str, NDArray[np.float64]]


@attrs.frozen(kw_only=True, eq=False)
class TrainingRequest:
    """Everything a backend needs to train one round. The backend draws no random numbers of its own."""

    parametrisations: Mapping[str, Parametrisation]
    frames: Mapping[str, Frame]
    """Frames by site name, for the sites whose parametrisation is a `LinearCore`."""
    examples: Examples
    batches: Batches
    learning_rates: NDArray[np.float64]
    """One rate per batch."""
    optimizer: object
    """The optimiser plugin: `rule` names the update rule, its fields are the hyperparameters."""
    on_step: Callable[[int, float], None] = lambda step, loss: None
    trace: Callable[[Step], None] | None = None
    """Called with every full step, for verification. It costs copies, and synchronisation on an accelerator."""

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.learning_rates)

    @property
    def fixed_batches(self) -> Sequence[Batch]:
        """The batches, if they are fixed. Raises TypeError if they are sampled from the policy."""
        if callable(self.batches):
            raise TypeError("these batches are sampled during training")
        return self.batches

    def iter_batches(self, policy: Policy) -> Iterator[Batch]:
        """Iterate over the batches; sampled ones come from `policy`."""
        return self.batches(policy) if callable(self.batches) else iter(self.batches)


@attrs.frozen(kw_only=True, eq=False)
class Training:
    """The result of one round of training."""

    updates: Mapping[str, Update]
    values: Mapping[str, NDArray[np.float64]]
    """Trained values, by tied group (linear cores) or by site and factor: the only new information of the round."""
    losses: NDArray[np.float64]
    """Loss before each step, in nats."""

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(value.size for value in self.values.values())
