"""Round records: the lines of `rounds.jsonl`, with metrics, file hashes and a digest chain.

The digest is `SHA-256(previous digest + JSON of the reproducible fields)`, so equal last digests mean equal runs, and no earlier round can
be changed unnoticed.
"""

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
"""Fields that the digest leaves out where they are None, so that records written before these fields existed keep their digest."""


@attrs.frozen(kw_only=True)
class RolloutMetrics:
    """Statistics of a round's sampled answers and their rewards."""

    answers: int
    tokens: int
    reward: float
    """Mean reward of all answers."""
    reward_first: float
    """Mean reward of the first batch, sampled from the round's starting model."""
    reward_last: float
    groups: int
    zero_variance: int
    """Groups whose answers all had the same reward: their advantages are zero, so they were dropped."""
    skipped: int = 0
    """Steps without training, since every group had zero reward variance."""
    unended: int = 0
    """Answers that were cut off at the token limit."""


@attrs.frozen(kw_only=True)
class RoundRecord:
    """A finished round. Round 0 is the base model, before any training."""

    round: int
    status: Status
    reason: str = ""
    """Why an update was refused, or what was not finite. Part of the digest."""
    scale: float = 0.0
    """Scale with which the update was merged; 0: not merged."""
    failures: int
    """Training examples that were wrong before the round."""
    selected: int = 0
    """Examples selected by the sampler, after subsampling."""
    trained_on: int = 0
    """Distinct examples in the round's batches."""
    train: Metrics
    validation: Metrics
    test: Metrics
    lost: int = 0
    """Training examples right before the round and wrong after it."""
    gained: int = 0
    """Training examples wrong before the round and right after it."""
    parameters: int = 0
    """Parameters trained in the round."""
    loss_first: float | None = None
    """Training loss of the first and the last batch, in nats."""
    loss_last: float | None = None
    rollouts: RolloutMetrics | None = None
    """Statistics of sampled answers, with a policy objective."""
    refit: bool | None = None
    """True for a fully corrective round, which trains all earlier cores again; None otherwise."""
    adapted: int | None = None
    """Number of adapted sites; None: all."""
    stored: int | None = None
    """Parameters to store to rebuild the round, where frames depend on data or the round is a refit; None: `parameters`."""
    rank: dict[str, int] = attrs.field(factory=dict)
    """Numerical rank of `sum_t s_t dW_t`, by site."""
    effective_rank: dict[str, float] = attrs.field(factory=dict)
    """`exp(-sum p log p)` of its normalised singular values `p`, by site (Roy and Vetterli, 2007)."""
    overlap: float | None = None
    """Largest cosine between any two rounds' directions so far, over sites and sides."""
    files: dict[str, str] = attrs.field(factory=dict)
    """SHA-256 of the round's files, by path within the run."""
    seconds: dict[str, float] = attrs.field(factory=dict)
    memory_bytes: int = 0
    """Peak memory of the process so far."""
    digest: str = ""
    """Hash of the previous digest and the reproducible fields of this record."""

    @property
    def new_parameters(self) -> int:
        """Trained parameters that no earlier round has trained; 0 in a refit."""
        return 0 if self.refit else self.parameters

    def sealed(self, previous: str) -> RoundRecord:
        """The record with its digest, chained to the `previous` one."""
        return attrs.evolve(self, digest=self._digest(previous))

    def is_sealed(self, previous: str) -> bool:
        """Whether the digest matches the record and the `previous` digest."""
        return self.digest == self._digest(previous)

    def _digest(self, previous: str) -> str:
        content: dict[str, Any] = {name: getattr(self, name) for name in SEALED}
        for name in ("train", "validation", "test"):
            metrics = attrs.asdict(
                content[name], recurse=False
            )  # recursion would double the time of reading a run
            # Without what is empty, so that records written before these fields existed keep their digest.
            content[name] = {key: value for key, value in metrics.items() if value not in ({}, ())}
        content = {key: value for key, value in content.items() if not (value is None and key in OPTIONAL)}
        if self.rollouts is not None:
            content["rollouts"] = attrs.asdict(self.rollouts)
        return hashlib.sha256((previous + json.dumps(content, sort_keys=True)).encode()).hexdigest()

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(attrs.asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> RoundRecord:
        """Read a line. Raises ValueError if it is not a record."""
        try:
            return cattrs.structure(json.loads(line), cls)
        except (cattrs.BaseValidationError, TypeError, AttributeError) as error:
            raise ValueError(f"not a round record: {error}") from error


SEALED = tuple(field.name for field in attrs.fields(RoundRecord) if field.name not in UNSEALED)
"""Fields that the digest covers."""
