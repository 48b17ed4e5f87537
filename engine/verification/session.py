"""State of a verification: models, criterion and findings."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import attrs

from ..contracts import BoostedModel
from ..errors import NonFiniteError, PluginError, RunError, blame
from ..foundation.run_context import Report
from .criterion import Criterion
from .findings import Finding
from .limits import Limits
from .models import RoundRunners


class StoppedError(Exception):
    """The candidate failed in this round; its finding names the cause."""


@attrs.frozen(kw_only=True, eq=False)
class Session:
    """Models by role, the criterion for the candidate, and the findings so far."""

    runners: RoundRunners
    criterion: Criterion
    limits: Limits
    report: Report
    findings: list[Finding] = attrs.field(factory=list)

    @property
    def models(self) -> Mapping[str, BoostedModel]:
        """Models by role: `truth`, `yardstick` if needed, `candidate`."""
        runners = self.runners
        roles = {"truth": runners.truth, "yardstick": runners.yardstick, "candidate": runners.candidate}
        return {role: runner.experiment.model for role, runner in roles.items() if runner is not None}

    def add(self, found: Sequence[Finding]) -> None:
        """Add findings."""
        self.findings.extend(found)

    def synchronise(self, number: int) -> None:
        """Assemble the truth's ensemble in every model."""
        for role, model in self.models.items():
            with self.blamed(number, "merged weight", "every site", role):
                model.assemble(self.runners.truth.ensemble)

    @contextmanager
    def blamed(self, number: int, quantity: str, where: str, role: str = "candidate") -> Generator[None]:
        """Guard a model's computation: an error of the candidate is a departure of `quantity` and ends the round."""
        runner = self.runners.candidate if role == "candidate" else self.runners.truth
        try:
            with blame("backend", runner.experiment.name_of("backend")):
                yield
        except (NonFiniteError, PluginError, RunError) as error:
            if role != "candidate":
                message = (
                    f"round {number}: the {role} itself failed, so there is nothing to compare with: {error}"
                )
                raise RunError(message) from error
            self.findings.append(at(number, quantity, where, error=math.inf, note=str(error)))
            raise StoppedError from error


def at(
    number: int, quantity: str, where: str, *, error: float = 0.0, allowed: float = 0.0, note: str = ""
) -> Finding:
    """A finding at a location."""
    return Finding(round=number, quantity=quantity, where=where, error=error, allowed=allowed, note=note)
