"""What a command is working on: phase, steps done of all, rate and time left, as text for displays."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import attrs

from ..boosting.round_plan import plan_round, steps_in
from ..boosting.started_run import StartedRun
from ..contracts import PolicyObjective
from ..contracts.records import RoundRecord
from ..hookspecs import hookimpl
from .time_left import RoundTimes
from .units import duration, magnitude_text

Clock = Callable[[], float]
"""Monotonic time in seconds."""

NAMES: Mapping[str, str] = {
    "probing": "calibrating",
    "gradient products": "calibrating",
    "activation products": "calibrating",
    "answering": "generating answers",
    "sampling answers": "generating answers",
    "validating": "evaluating",
    "prompts": "generating: prompts",
    "rows": "predicting: rows",
}
"""Phases as a user reads them, for reports with other names."""
UNITS: Mapping[str, str] = {
    "evaluating": "examples",
    "generating": "examples",
    "answering": "answers",
    "rows": "rows",
    "prompts": "prompts",
    "features": "examples",
    "factorising": "sites",
}
"""What a report's `done` counts, where a rate is of use."""
OUTER = frozenset({"rows", "prompts", "leaving one out"})
"""Work that consists of other work, whose reports are then left out."""
SHORT = 0.5
"""Seconds that a rate is measured over at least."""
SPAN = 2.0
"""Seconds of a phase before a time left is estimated from it."""
SHARE = 0.02
"""Share of a phase before a time left is estimated from it."""


@attrs.define
class Phase:
    """One piece of work, by its reports."""

    name: str
    total: int
    first: int
    """`done` at the first report: what came before it has no known duration."""
    began: float
    done: int
    moved: float
    """When `done` last grew."""

    def pace(self) -> float | None:
        """`done` per second; None while unknown."""
        span = self.moved - self.began
        return (self.done - self.first) / span if self.done > self.first and span >= SHORT else None

    def left(self, now: float) -> float | None:
        """Estimated seconds left; None while too little is done."""
        pace = self.pace()
        known = now - self.began >= SPAN and self.done - self.first >= SHARE * self.total
        if pace is None or not known or not self.total:
            return None
        return max(0.0, (self.total - self.done) / pace - (now - self.moved))


class Work:
    """The work of a command, by its reports. It may be read from another thread."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.began = clock()
        self._phases = dict[str, Phase]()
        self._paces = dict[str, float]()
        """Last known rates, by phase."""
        self._now: Phase | None = None

    def report(self, what: str, done: int, total: int) -> None:
        """Note a report of the current work."""
        if self._now is not None and self._now.name in OUTER and what != self._now.name:
            return
        now, phase = self.clock(), self._phases.get(what)
        if phase is None or done < phase.done or total != phase.total or 0 < total <= phase.done:
            phase = Phase(what, total, done, now, done, now)
            self._phases[what] = phase
        elif done > phase.done:
            phase.done, phase.moved = done, now
            if (pace := phase.pace()) is not None:
                self._paces[what] = pace
        self._now = phase

    def parts(self) -> list[str]:
        """Phase with its counts, time left and rate, in order of importance; what is unknown is left out."""
        phase, now = self._now, self.clock()
        if phase is None:
            return ["preparing"]
        counts = f" {phase.done:,}/{phase.total:,}" if phase.total else f" {phase.done:,}" * (phase.done > 0)
        left = self.time_left(phase, now)
        return [self._name(phase) + counts, *([left] if left else []), *self._rate(phase)]

    @property
    def share(self) -> float | None:
        """Share of the current phase that is done; None while unknown."""
        phase = self._now
        return min(1.0, phase.done / phase.total) if phase is not None and phase.total else None

    def line(self) -> str:
        """One line for a log."""
        return " · ".join([duration(self.clock() - self.began), *self.parts()])

    def time_left(self, phase: Phase, now: float) -> str:
        """Time left as text; empty while unknown."""
        left = phase.left(now)
        return f"about {duration(left)} left in this phase" if left is not None and left >= 1 else ""

    def unit(self, name: str) -> tuple[float, str]:
        """What one of a phase's `done` is: so many of a unit; an empty unit where a rate is of no use."""
        return 1.0, UNITS.get(name, "")

    def _name(self, phase: Phase) -> str:
        """A phase as a user reads it, with the batch that it belongs to."""
        name, batch = NAMES.get(phase.name, phase.name), self._phases.get("sampling answers")
        if phase.name != "answering" or batch is None:
            return name
        return f"batch {batch.done + 1} of {batch.total} · {name}"

    def _rate(self, phase: Phase) -> list[str]:
        """The phase's rate; before it is known, that of the last phase of its name."""
        pace, (factor, unit) = phase.pace() or self._paces.get(phase.name), self.unit(phase.name)
        return [f"{_rate(pace * factor)} {unit}/s"] if pace and unit else []

    def _forget(self) -> None:
        self._phases, self._now = {}, None


class RunWork(Work):
    """The work of a run, as a plugin for its events: rounds too, and the time left for all of them."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._times: RoundTimes | None = None
        self._step = (0.0, "")
        self._round = 0
        self._rounds = 0
        self._resumed_from = 0

    @hookimpl
    def run_started(self, run: StartedRun) -> None:
        """Note the run's rounds and batches, from its spec."""
        spec, self._rounds, self._resumed_from = run.spec, run.spec.rounds, run.resumed_from
        plans = [plan_round(spec, number) for number in range(1, spec.rounds + 1)]
        self._times = RoundTimes([plan.refit for plan in plans], [plan.steps for plan in plans])
        self._step = examples_per_step(run)

    @hookimpl
    def round_finished(self, record: RoundRecord) -> None:
        """Start the next round."""
        if self._times is not None:
            if record.round <= self._resumed_from:  # run by an earlier process: its duration is on record
                self._times.add(record.round, sum(record.seconds.values()), self.clock())
            else:
                self._times.finish(record.round, self.clock())
        self._round = record.round + 1
        self._forget()

    @hookimpl
    def run_finished(self) -> None:
        """No round is left."""
        self._times, self._round = None, 0
        self._forget()

    def parts(self) -> list[str]:
        """The round before the phase; its counts, time left and rate."""
        parts = super().parts()
        if self._times is None:
            return parts
        if self._round > self._rounds:
            return ["finishing"]
        if self._now is None:
            parts[0] = "starting"
        return [f"round {self._round} of {self._rounds} · {parts[0]}", *parts[1:]]

    def time_left(self, phase: Phase, now: float) -> str:
        """Of the run once a round is finished; before, of the phase."""
        left = self._times.left(now) if self._times is not None else None
        if left is None:
            return super().time_left(phase, now)
        return f"about {duration(left)} left" if left >= 1 else ""

    def unit(self, name: str) -> tuple[float, str]:
        """Of a training step: its examples, answers or tokens."""
        return self._step if name == "training" else super().unit(name)


def examples_per_step(run: StartedRun) -> tuple[float, str]:
    """How much one training step reads, and of what: tokens, answers sampled for a policy objective, or examples."""
    spec, workload = run.spec, run.plan.workload
    batch, objective = spec.optimizer.batch_size, spec.objective
    if isinstance(objective, PolicyObjective):
        return float(batch * objective.group_size), "answers"
    if workload is not None and (steps := steps_in(spec, run.plan.rounds)):
        return workload.trained / steps, "tokens"
    return float(batch), "examples"


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 10 else magnitude_text(value)
