"""One line of `rounds.jsonl`: what a round did, and hashes that vouch for it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import attrs
import cattrs

from .merges import Metrics

Status = Literal["base", "merged", "refused", "nonfinite"]
"""How a round ended: the base model, merged, refused by the merge policy, or left out because of NaN or Inf."""

UNSEALED = ("seconds", "memory_bytes", "digest")
"""Fields that differ between two runs of the same experiment; the digest leaves them out."""


OPTIONAL = ("rollouts", "refit", "adapted", "stored")
"""Fields that are left out of the digest where they hold nothing: rounds without them have the digest they always had."""


@attrs.frozen(kw_only=True)
class RolloutMetrics:
    """What a round's policy answered, and what its rewards were."""

    answers: int
    tokens: int
    reward: float
    """Mean reward of all answers."""
    reward_first: float
    """Mean reward of the first batch, answered by the round's starting model."""
    reward_last: float
    groups: int
    zero_variance: int
    """Groups whose answers were all rewarded alike: they say nothing, and were dropped."""
    skipped: int = 0
    """Steps in which every group was silent, so that nothing was trained."""
    unended: int = 0
    """Answers that were cut off at the limit."""


@attrs.frozen(kw_only=True)
class RoundRecord:
    """A finished round. Round 0 is the base model, before any training."""

    round: int
    status: Status
    reason: str = ""
    """Why an update was refused, or what was not finite."""
    scale: float = 0.0
    """Scale with which the update was merged; 0: it was not."""
    failures: int
    """Training examples that were wrong before the round."""
    selected: int = 0
    """Examples the sampler offered."""
    trained_on: int = 0
    """Different examples that were drawn into batches."""
    train: Metrics
    validation: Metrics
    test: Metrics
    lost: int = 0
    """Training examples right before the round and wrong after it."""
    gained: int = 0
    """Training examples wrong before the round and right after it."""
    parameters: int = 0
    """Numbers trained in the round."""
    loss_first: float | None = None
    """Training loss of the first and the last batch, in nats."""
    loss_last: float | None = None
    rollouts: RolloutMetrics | None = None
    """What was answered, where the objective learns from rewards."""
    refit: bool | None = None
    """Whether it trained all earlier cores again, and took no new direction; None: no."""
    adapted: int | None = None
    """Sites that it adapted; None: all."""
    stored: int | None = None
    """Numbers to be kept to have the round again, where its frames hang on data, or where it added to earlier ones; None: those it trained."""
    rank: dict[str, int] = attrs.field(factory=dict)
    """Numerical rank of all that was merged so far, by site."""
    effective_rank: dict[str, float] = attrs.field(factory=dict)
    overlap: float | None = None
    """Largest cosine between any two rounds' directions so far, over sites and sides."""
    files: dict[str, str] = attrs.field(factory=dict)
    """SHA-256 of the round's files, by path within the run."""
    seconds: dict[str, float] = attrs.field(factory=dict)
    memory_bytes: int = 0
    """Peak memory of the process so far."""
    digest: str = ""
    """Hash of the previous digest and everything in this line that is the same whenever the experiment is run."""

    @property
    def numbers(self) -> int:
        """Numbers trained that no earlier round has trained: none in a refit."""
        return 0 if self.refit else self.parameters

    def sealed(self, previous: str) -> RoundRecord:
        """The record with its digest in the chain."""
        return attrs.evolve(self, digest=self._digest(previous))

    def is_sealed(self, previous: str) -> bool:
        """Whether the digest is right."""
        return self.digest == self._digest(previous)

    def _digest(self, previous: str) -> str:
        content: dict[str, Any] = {name: getattr(self, name) for name in SEALED}
        for name in ("train", "validation", "test"):
            metrics = attrs.asdict(
                content[name], recurse=False
            )  # recursion would double the time of reading a run
            content[name] = {key: value for key, value in metrics.items() if value != {}}
        content = {key: value for key, value in content.items() if not (value is None and key in OPTIONAL)}
        if self.rollouts is not None:
            content["rollouts"] = attrs.asdict(self.rollouts)
        return hashlib.sha256((previous + json.dumps(content, sort_keys=True)).encode()).hexdigest()

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(attrs.asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> RoundRecord:
        """Read a line back. Raises ValueError for one that is no record."""
        try:
            return cattrs.structure(json.loads(line), cls)
        except (cattrs.BaseValidationError, TypeError, AttributeError) as error:
            raise ValueError(f"not a round's record: {error}") from error


SEALED = tuple(field.name for field in attrs.fields(RoundRecord) if field.name not in UNSEALED)
"""Fields that the digest covers."""
