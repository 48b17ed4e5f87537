"""The bench on which models are compared: who is there, by which rule, and what was found."""

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
    """The candidate cannot go on with the round; its finding says why."""


@attrs.frozen(kw_only=True, eq=False)
class Session:
    """Three models, the rule for the candidate, and the findings so far."""

    runners: RoundRunners
    criterion: Criterion
    limits: Limits
    report: Report
    findings: list[Finding] = attrs.field(factory=list)

    @property
    def models(self) -> Mapping[str, BoostedModel]:
        """By role: `truth`, `yardstick` where one is needed, `candidate`."""
        runners = self.runners
        roles = {"truth": runners.truth, "yardstick": runners.yardstick, "candidate": runners.candidate}
        return {role: runner.experiment.model for role, runner in roles.items() if runner is not None}

    def add(self, found: Sequence[Finding]) -> None:
        """Keep what was found."""
        self.findings.extend(found)

    def synchronise(self, number: int) -> None:
        """Put every model onto the truth's ensemble."""
        for role, model in self.models.items():
            with self.blamed(number, "merged weight", "every site", role):
                model.assemble(self.runners.truth.ensemble)

    @contextmanager
    def blamed(self, number: int, quantity: str, where: str, role: str = "candidate") -> Generator[None]:
        """Ask a model. What the candidate raises is a departure of `quantity`, and ends the round."""
        runner = self.runners.candidate if role == "candidate" else self.runners.truth
        try:
            with blame("backend", runner.experiment.name_of("backend")):
                yield
        except (NonFiniteError, PluginError, RunError) as error:
            if role != "candidate":
                message = (
                    f"round {number}: the {role} itself cannot go on, so nothing can be held to it: {error}"
                )
                raise RunError(message) from error
            self.findings.append(at(number, quantity, where, error=math.inf, note=str(error)))
            raise StoppedError from error


def at(
    number: int, quantity: str, where: str, *, error: float = 0.0, allowed: float = 0.0, note: str = ""
) -> Finding:
    """A finding at a place."""
    return Finding(round=number, quantity=quantity, where=where, error=error, allowed=allowed, note=note)
