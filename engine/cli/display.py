"""Display of a run: a header, one line a round, and the result; or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import attrs

from ..analysis.run_findings import is_diverged
from ..boosting.plan import Plan
from ..boosting.started_run import StartedRun
from ..contracts import PolicyObjective
from ..contracts.records import RoundRecord
from ..contracts.run_info import RunInfo, RunResult
from ..foundation.counts import count_text
from ..hookspecs import hookimpl
from ..runs.directory import RunDirectory
from ..spec import Spec
from .columns import RoundTable
from .console import Console
from .layout import UNLIMITED, paragraph
from .summary import summary_lines
from .terminal import echo


def describe(spec: Spec, plan: Plan) -> list[str]:
    """A run in two lines: task, model and backend; rounds, adapter and choices."""
    use = {slot: spec.slots[slot].use for slot in spec.slots}
    sites = f"{len(plan.sites)} site{'s' * (len(plan.sites) != 1)}"
    counts = " / ".join(f"{count} {name}" for name, count in plan.examples.items())
    most = "up to " * (len(plan.ranks) > 1)
    choices = " · ".join(f"{slot} {use[slot]}" for slot in ("basis", "sampler", "optimizer", "merge"))
    return [
        f"{use['task']} ({counts}) · {use['model']}, {sites} · backend {use['backend']} · seed {spec.head.seed}",
        f"{count_text(spec.rounds, 'round')} · {use['adapter']}: {most}{plan.parameters} parameters a round · {choices}",
    ]


class RunDisplay:
    """The table of a run on a terminal or in a log, as a plugin for the run's events."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._rewards = False
        self._table: RoundTable | None = None
        self._remarks = 0

    @property
    def width(self) -> int:
        """Characters of a round's line without remarks; unlimited in a log."""
        return (self.console.width if self.console.is_terminal else UNLIMITED) - self._remarks

    @hookimpl
    def run_started(self, run: StartedRun) -> None:
        """Print the header."""
        self.console.print(f"[bold]{run.spec.head.name}[/bold] · {run.path}")
        self._print((*describe(run.spec, run.plan), *(f"note: {note}" for note in run.plan.notes)))
        if run.resumed_from:
            self.console.print(f"resuming after round {run.resumed_from}")
        self.console.print()
        self._rewards = isinstance(run.spec.objective, PolicyObjective)
        self._remarks = _remarks_width(run.spec, len(run.plan.sites))
        self._table = None

    @hookimpl
    def round_finished(self, record: RoundRecord) -> None:
        """Print one line; above the first one, whose measures tell the kind of task, the column titles."""
        if self._table is None:
            self._table = RoundTable(width=self.width, base=record, rewards=self._rewards)
            self.console.print(self._table.header(), style="bold")
        well = record.status in {"base", "merged"} and not is_diverged(record, self._table.base)
        self.console.print(self._table.row(record), style=None if well else "yellow", markup=False)

    @hookimpl
    def run_finished(self, run: RunInfo, result: RunResult) -> None:
        """Print how the run ended."""
        self.console.print()
        self.console.print(
            f"{result.status}: {result.reason}", style="red" if result.failed else "green", markup=False
        )

    def conclude(self, directory: RunDirectory, result: dict[str, Any]) -> None:
        """Print the summary."""
        self._print(summary_lines(directory, result))

    def _print(self, texts: Iterable[str]) -> None:
        for text in texts:
            for line in paragraph(text, "  "):
                self.console.print(line, markup=False)


def _remarks_width(spec: Spec, sites: int) -> int:
    """Characters of the longest remark that a round of the spec may have."""
    top = spec.boosting.top_sites
    remarks = (["refit"] if spec.boosting.refit_every else []) + (
        [f"{top} of {count_text(sites, 'site')}"] if top else []
    )
    return len("  " + ", ".join(remarks)) if remarks else 0


class JsonLines:
    """Events of a run for scripts, one JSON object a line."""

    @hookimpl
    def run_started(self, run: StartedRun) -> None:
        """`{"event": "run_started", …}`."""
        plan = run.plan.as_json()
        self._print(
            "run_started",
            path=str(run.path),
            spec_sha256=run.spec.sha256,
            resumed_from=run.resumed_from,
            plan=plan,
        )

    @hookimpl
    def round_finished(self, record: RoundRecord) -> None:
        """`{"event": "round_finished", …}`."""
        self._print("round_finished", **attrs.asdict(record))

    @hookimpl
    def run_finished(self, result: RunResult) -> None:
        """`{"event": "run_finished", …}`."""
        self._print("run_finished", **result.as_json())

    def _print(self, event: str, **content: Any) -> None:
        echo(json.dumps({"event": event, **content}))
