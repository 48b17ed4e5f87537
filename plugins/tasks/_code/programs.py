"""The options of tasks whose answers are programs, and their judgement in the sandbox."""

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
filled = Limit("texts that are not empty", bool)

MEASURED = {"timed-out": "timed_out", "killed": "crashed", "error": "errors", "unsupported": "unsupported"}
"""Verdicts beside passed and failed, and the measure that is their share of all texts."""


@attrs.frozen(kw_only=True, slots=False)  # beside another base with slots of its own
class ProgramTask(GenerativeTask):
    """Answers are programs: right where the tests pass, run in the sandbox and nowhere else."""

    max_new_tokens: int = option(512, "tokens of an answer at most", whole)
    style: Style = option(
        "completion",
        "completion: the model goes on writing code; chat: its first fenced block is the program",
    )
    stop: tuple[str, ...] = option(
        (), "strings that end an answer, themselves left out; empty: the benchmark's", filled
    )
    pass_k: int = option(0, "with several samples, measure pass@k for this k too", min=0)
    seconds: float = option(
        3.0, "CPU time of one program, and of its tests; by the clock five times that, and 5 s", positive
    )
    memory_mb: int = option(
        512, "address space of one program, in MiB", Limit("at least 64", lambda x: x >= 64)
    )
    workers: int = option(0, "programs that are judged at a time; 0: one for every core", min=0)
    unconfined: bool = option(
        False, "run programs with your own rights; needs BOOSTLORA_ALLOW_UNCONFINED=1 in the environment, too"
    )

    def check_programs(self) -> None:
        """Options that contradict each other. Raises ValueError."""
        self.check_completions()
        if self.pass_k > self.samples:
            raise ValueError(f'"pass_k" = {self.pass_k} of "samples" = {self.samples} answers')

    @property
    def measures(self) -> tuple[str, ...]:
        """Shares of all texts, and pass@k where there are several."""
        chosen = (f"pass_{self.pass_k}",) if self.pass_k else ()
        return tuple(dict.fromkeys((*self.pass_measures, *chosen, *MEASURED.values())))

    @property
    def sandbox(self) -> Sandbox:
        """Where programs run."""
        from .sandbox import Limits, Sandbox  # noqa: PLC0415 - not needed to read a spec

        limits = Limits(seconds=self.seconds, memory_mb=self.memory_mb)
        return Sandbox(limits=limits, unconfined=self.unconfined)

    def origin(self) -> Mapping[str, Any]:
        """What confined the programs."""
        return {"sandbox": self.sandbox.describe()}

    def judge_programs(
        self, examples: Examples, predictions: Predictions, code: Callable[[str], str]
    ) -> Outcome:
        """Right where the tests pass. Measured are shares of all texts: `timed_out`, `crashed`, `errors`, `unsupported`.

        `code` cuts a text to what counts of it.
        """
        texts, exercises = texts_of(predictions), examples.inputs
        k = len(texts) // max(1, len(examples))
        programs = [self.program(exercises, i // k, code(text)) for i, text in enumerate(texts)]
        # Programs that are there twice, as drawn ones often are, get one verdict.
        different = list(dict.fromkeys(programs))
        said = dict(zip(different, self.sandbox.judge_all(different, self.workers), strict=True))
        verdicts = [said[program].status for program in programs]
        judged = [
            Judgement(verdict == "passed", program.source.strip(), verdict if verdict in MEASURED else "")
            for program, verdict in zip(programs, verdicts, strict=True)
        ]
        outcome = self.outcome(examples, predictions, judged, k=self.pass_k)
        counts = Counter(verdicts)
        shares = {name: counts[verdict] / max(1, len(texts)) for verdict, name in MEASURED.items()}
        return attrs.evolve(outcome, measures={**outcome.measures, **shares})

    def program(self, exercises: Exercises, index: int, code: str) -> Program:
        """The program that an answer makes: behind what the prompt opened, unless it says the whole function again."""
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
