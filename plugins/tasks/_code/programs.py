"""Base class of tasks whose answers are programs, evaluated in the sandbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ....engine.contracts import Examples, Outcome, Predictions
from ....engine.foundation.options import Limit, option, positive, whole
from ....engine.sdk.judge import Judgement
from .._text.generative_task import GenerativeTask, texts_of
from .exercises import Exercises
from .extract import before, defines, fenced

if TYPE_CHECKING:
    from .sandbox import Program, Sandbox

Style = Literal["completion", "chat"]
filled = Limit("non-empty strings", bool)

MEASURED = {"timed-out": "timed_out", "killed": "crashed", "error": "errors", "unsupported": "unsupported"}
"""Verdicts besides passed and failed, and the measure for their share of all texts."""


@attrs.frozen(kw_only=True, slots=False)  # another base class has slots of its own
class ProgramTask(GenerativeTask):
    """Answers are programs, correct if the tests pass; they run only in the sandbox."""

    max_new_tokens: int = option(512, "maximum tokens of an answer", whole)
    style: Style = option(
        "completion",
        "completion: the model continues the code; chat: its first fenced block is the program",
    )
    stop: tuple[str, ...] = option(
        (), "stop strings, excluded from the answer; empty: the benchmark's", filled
    )
    pass_k: int = option(0, "with several samples, also measure pass@k for this k", min=0)
    seconds: float = option(
        3.0,
        "CPU seconds for a program, and for its tests; wall-clock limit: five times that, plus 5 s",
        positive,
    )
    memory_mb: int = option(
        512, "address space limit of a program, in MiB", Limit("at least 64", lambda x: x >= 64)
    )
    workers: int = option(0, "programs run in parallel; 0: one per core", min=0)
    unconfined: bool = option(
        False, "run programs without the sandbox; also needs BOOSTLORA_ALLOW_UNCONFINED=1 in the environment"
    )

    def check_programs(self) -> None:
        """Raise `ValueError` for contradictory options."""
        self.check_completions()
        if self.pass_k > self.samples:
            raise ValueError(f'"pass_k" = {self.pass_k} of "samples" = {self.samples} answers')

    @property
    def measures(self) -> tuple[str, ...]:
        """Shares of all texts, and pass@k with several samples."""
        chosen = (f"pass_{self.pass_k}",) if self.pass_k else ()
        return tuple(dict.fromkeys((*self.pass_measures, *chosen, *MEASURED.values())))

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox with these limits."""
        from .sandbox import Limits, Sandbox  # noqa: PLC0415 - not needed to read a spec

        limits = Limits(seconds=self.seconds, memory_mb=self.memory_mb)
        return Sandbox(limits=limits, unconfined=self.unconfined)

    def origin(self) -> Mapping[str, Any]:
        """Provenance: the sandbox's mechanisms."""
        return {"sandbox": self.sandbox.describe()}

    def judge_programs(
        self, examples: Examples, predictions: Predictions, code: Callable[[str], str]
    ) -> Outcome:
        """Correct if the tests pass; measures the shares of texts with `timed_out`, `crashed`, `errors`, `unsupported`.

        `code` cuts a text at its stop strings.
        """
        texts, exercises = texts_of(predictions), examples.inputs
        k = len(texts) // max(1, len(examples))
        programs = [self.program(exercises, i // k, code(text)) for i, text in enumerate(texts)]
        # Equal programs, common among samples, are run once.
        different = list(dict.fromkeys(programs))
        results = dict(zip(different, self.sandbox.judge_all(different, self.workers), strict=True))
        verdicts = [results[program].status for program in programs]
        judged = [
            Judgement(verdict == "passed", program.source.strip(), verdict if verdict in MEASURED else "")
            for program, verdict in zip(programs, verdicts, strict=True)
        ]
        outcome = self.outcome(examples, predictions, judged, k=self.pass_k)
        counts = Counter(verdicts)
        shares = {name: counts[verdict] / max(1, len(texts)) for verdict, name in MEASURED.items()}
        return attrs.evolve(outcome, measures={**outcome.measures, **shares})

    def program(self, exercises: Exercises, index: int, code: str) -> Program:
        """The program of an answer: appended to the opening, unless a chat answer repeats the whole function."""
        from .sandbox import Program  # noqa: PLC0415 - not needed to read a spec

        opening, entry = exercises.openings[index], exercises.entry_points[index]
        if self.style == "chat":
            block = fenced(code)
            code = code if block is None else block
            opening = f"{before(opening, entry)}\n" if defines(code, entry) else opening
        return Program(
            source=opening + code,
            tests=exercises.tests[index],
            setup=exercises.setups[index],
            entry_point=entry,
        )
